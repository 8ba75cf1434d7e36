"""Options that several commands have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mpvss_model.config import StreamConfig
from mpvss_model.settings import Setting, is_table, settings_of

__all__ = [
    "SAMPLE_BAG",
    "DeviceOption",
    "InferenceSizeOption",
    "IntervalOption",
    "JsonOption",
    "ModelOption",
    "PrecisionOption",
    "ThreadsOption",
    "TopicOption",
    "with_settings",
]

SAMPLE_BAG = Path(__file__).parents[2] / "samples" / "rooms"

ModelOption = Annotated[str, typer.Option(help="Shipped model's name, checkpoint directory or hub id.")]
IntervalOption = Annotated[int, typer.Option(help="A key frame every so many frames; 1 segments each frame.")]
TopicOption = Annotated[str | None, typer.Option(help="Camera topic, if the bag has several.", show_default=False)]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads of the model; 0 for half of the cores.")]
PrecisionOption = Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; auto is fp16 on a GPU, else fp32.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Settings that are given so often that they have a short name.
SHORT_NAMES = {"max_interval_frames": "--interval"}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each setting of the configurations that it takes.

    A parameter whose type is a table of settings, such as `StreamConfig`, is made from options such as ``--history-weight``,
    which have the table's defaults and descriptions.

    Args:
        command: With annotations that can be evaluated where it is defined.
    """
    signature = inspect.signature(command, eval_str=True)
    tables = {name: given.annotation for name, given in signature.parameters.items() if is_table(given.annotation)}

    @functools.wraps(command)
    def with_options(**options: Any) -> None:
        configs = {
            name: table(**{setting.name: options.pop(setting.name) for setting in settings_of(table)})
            for name, table in tables.items()
        }
        command(**options, **configs)

    parameters = [option for given in signature.parameters.values() for option in _options_of(given)]
    with_options.__signature__ = inspect.Signature(parameters)
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _options_of(given: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The parameter itself, or one for each setting of its table. By keyword, as typer calls them anyway."""
    if not is_table(given.annotation):
        yield given.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    for setting in settings_of(given.annotation):
        yield inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=Annotated[type(setting.default), _option(setting)],
        )


def _option(setting: Setting) -> Any:
    names = [SHORT_NAMES[setting.name]] if setting.name in SHORT_NAMES else []
    names.append("--" + setting.name.replace("_", "-"))
    return typer.Option(*names, help=setting.description + ".", metavar=setting.unit or None)


# For commands that take no other setting of a stream.
InferenceSizeOption = Annotated[int, next(_option(row) for row in settings_of(StreamConfig) if row.name == "inference_size")]
