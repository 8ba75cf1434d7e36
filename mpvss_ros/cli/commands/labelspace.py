"""``mpvss labelspace``: what those who read the labels must know of the model's classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["labelspace"]

ModelArgument = Annotated[str, typer.Argument(help="Shipped model's name, checkpoint directory or hub id.")]
NamesOption = typer.Option(help="Classes, separated by commas, if not those of the usual names.", show_default=False)


def labelspace(
    model: ModelArgument,
    *,
    for_: Annotated[str, typer.Option("--for", help="nav2, hydra or elevation_mapping.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the files, whose names begin with the model's.")] = Path("."),
    class_map: Annotated[
        list[str] | None,
        typer.Option(help="An entry of the node's parameter class_map; may be given often.", show_default="the profile's"),
    ] = None,
    unlabeled_id: Annotated[
        int | None, typer.Option(help="The node's parameter unlabeled_id.", show_default="the profile's")
    ] = None,
    objects: Annotated[str | None, NamesOption] = None,
    surfaces: Annotated[str | None, NamesOption] = None,
    dynamic: Annotated[str | None, NamesOption] = None,
    invalid: Annotated[str | None, NamesOption] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write the label space, costmap layer or subscriber that goes with a model's classes."""
    from mpvss_model import ConfigError, VideoSegmentor
    from mpvss_model.errors import DataError
    from mpvss_model.files import write_whole
    from mpvss_ros.consumers.files import CONSUMERS

    if for_ not in CONSUMERS:
        raise ConfigError(f"--for {for_} must be one of {', '.join(CONSUMERS)}")
    given = {"objects": objects, "surfaces": surfaces, "dynamic": dynamic, "invalid": invalid}
    texts = CONSUMERS[for_].files(
        VideoSegmentor.from_pretrained(model, device="cpu").class_names,
        class_map=None if class_map is None else tuple(class_map),
        unlabeled_id=unlabeled_id,
        roles={role: None if names is None else _separated(names) for role, names in given.items()},
    )
    files = {out / f"{Path(model).name}_{end}": text for end, text in texts.items()}
    if out.exists() and not out.is_dir():
        raise DataError(f"cannot write to {str(out)!r}: there is a file")
    for file in files:
        if file.exists() and not overwrite:
            raise DataError(f"{str(file)!r} is there already: give --overwrite, or another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        write_whole(file, lambda path, text=text: path.write_text(text, encoding="utf-8"))
        print(file)


def _separated(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
