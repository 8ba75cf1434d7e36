"""Options that several commands have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

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
    "SplitOption",
    "ThingClassesOption",
    "ThreadsOption",
    "TopicOption",
    "with_settings",
]

SAMPLE_BAG = Path(__file__).parents[2] / "samples" / "rooms"

ModelOption = Annotated[str, typer.Option(help="Shipped model's name, checkpoint directory, hub id or .onnx file.")]
IntervalOption = Annotated[int, typer.Option(help="A key frame every so many frames; 1 segments each frame.")]
TopicOption = Annotated[str | None, typer.Option(help="Camera topic, if the bag has several.", show_default=False)]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Part of a data set; by default val, or test where there is none. all: everything.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int, typer.Option(help="CPU threads of the model; 0 for half of the cores.")]
PrecisionOption = Annotated[
    str, typer.Option(help="auto, fp32, bf16 or fp16; auto is fp16 on a GPU, bf16 on CPUs made for it, else fp32.")
]
NamesOption = Annotated[str, typer.Option(help="What to call the sources, separated by commas.", show_default=False)]
ThingClassesOption = Annotated[
    str,
    typer.Option(
        help="Names of the model's classes that are things, separated by commas; by default as the model says.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

# Settings that are given so often that they have a short name.
SHORT_NAMES = {"max_interval_frames": "--interval"}
# Whole numbers of which a command that takes several configurations may be given several, separated by commas.
LISTED = "max_interval_frames"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each setting of the configurations that it takes.

    A parameter whose type is a table of settings, such as `StreamConfig`, is made from options such as ``--history-weight``,
    which have the table's defaults and descriptions. One of type ``tuple[StreamConfig, ...]`` is a configuration for each
    value of ``--interval``.

    Args:
        command: With annotations that can be evaluated where it is defined.
    """
    signature = inspect.signature(command, eval_str=True)
    tables = {name: table for name, given in signature.parameters.items() if (table := _table_of(given.annotation))}
    several = {name for name in tables if not is_table(signature.parameters[name].annotation)}

    @functools.wraps(command)
    def with_options(**options: Any) -> None:
        configs: dict[str, Any] = {}
        for name, table in tables.items():
            values = {setting.name: options.pop(setting.name) for setting in settings_of(table)}
            if name in several:
                configs[name] = tuple(table(**{**values, LISTED: value}) for value in values[LISTED])
            else:
                configs[name] = table(**values)
        command(**options, **configs)

    parameters = [option for given in signature.parameters.values() for option in _options_of(given)]
    with_options.__signature__ = inspect.Signature(parameters)
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _options_of(given: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The parameter itself, or one for each setting of its table. By keyword, as typer calls them anyway."""
    table = _table_of(given.annotation)
    if table is None:
        yield given.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        return
    for setting in settings_of(table):
        is_listed = setting.name == LISTED and not is_table(given.annotation)
        yield inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=setting.default,
            annotation=Annotated[type(setting.default), _option(setting, is_listed)],
        )


def _table_of(annotation: Any) -> type | None:
    """The table of settings that a type, or a tuple's type, is made from; None if there is none."""
    if get_origin(annotation) is tuple:
        annotation = get_args(annotation)[0]
    return annotation if is_table(annotation) else None


def _option(setting: Setting, is_listed: bool) -> Any:
    names = [SHORT_NAMES[setting.name]] if setting.name in SHORT_NAMES else []
    names.append("--" + setting.name.replace("_", "-"))
    metavar = f"{setting.unit}[,...]" if is_listed else setting.unit or None
    parser = _whole_numbers if is_listed else None
    return typer.Option(*names, help=setting.description + ".", metavar=metavar, parser=parser)


def _whole_numbers(text: str) -> tuple[int, ...]:
    """``3,5`` -> 3 and 5, each once."""
    try:
        return tuple(dict.fromkeys(int(number) for number in str(text).split(",")))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number, nor several separated by commas") from None


def separate_names(names: str) -> list[str]:
    """What `NamesOption` holds; none if it is empty."""
    return [name.strip() for name in names.split(",")] if names else []


# For commands that take no other setting of a stream.
InferenceSizeOption = Annotated[
    int, next(_option(row, is_listed=False) for row in settings_of(StreamConfig) if row.name == "inference_size")
]
