"""Networks of ``transformers`` from their files: are they whole, of the right kind, and do the weights fit?"""

from __future__ import annotations

import copy
import os
import re
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub.utils import logging as hub_logging
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.segmentor.config_file import read_config
from mpvss_model.segmentor.tensor_files import check_tensor_file
from mpvss_model.text_files import read_json_object

__all__ = ["class_names_of", "few", "listed", "load_config", "load_network", "quiet", "write_network"]

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# Weights of as many outputs as there are classes, by the end of their names, and how many outputs "no object" has.
CLASS_HEADS = {
    "class_predictor.weight": 1,
    "class_embed.weight": 1,
    "decode_head.classifier.weight": 0,
    "head.head.4.weight": 0,
}
# Others that have a number for each class, or belong to a head that nothing here reads.
CLASS_TENSORS = (
    "class_predictor.",
    "class_embed.",
    ".classifier.",
    "head.head.4.",
    "criterion.empty_weight",
    "auxiliary_head.",
)
LISTED_CHARACTERS = 200

Network = TypeVar("Network", bound=PreTrainedModel)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, attempts to reach the hub, and advice for a model's authors out of a robot's log."""
    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        logging.enable_progress_bar()


def load_config(name_or_dir: str, model_type: str):
    """The configuration of a checkpoint.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        model_type: Of the models that can be used.

    Raises:
        CheckpointError: If it is missing, broken or of another type.
    """
    if os.path.isdir(name_or_dir):
        _check_type(name_or_dir, read_config(name_or_dir)["model_type"], model_type)
    try:
        config = AutoConfig.from_pretrained(name_or_dir, trust_remote_code=False)
    except Exception as error:  # a wrong entry and a hub that does not answer show in many ways
        raise CheckpointError(f"cannot load model {name_or_dir!r}: {_cause(name_or_dir, error)}") from error
    _check_type(name_or_dir, config.model_type, model_type)
    class_names_of(getattr(config, "segmentor", config), name_or_dir)
    return config


def load_network(
    network_class: type[Network],
    name_or_dir: str,
    *,
    surplus: bool = False,
    unread: str | None = None,
    config: PreTrainedConfig | None = None,
) -> Network:
    """The network of a checkpoint with its weights, in evaluation mode.

    Where ``id2label`` leaves numbers out and the weights have an output for these, too, the classes there are called
    ``unnamed``.

    Args:
        network_class: A class of ``transformers``, or registered with it.
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        surplus: Whether there may be tensors that the network does not have.
        unread: Pattern of the names of tensors that may be missing or of another shape, since nothing reads them.
        config: Of the network; by default that of the checkpoint.

    Raises:
        CheckpointError: If a file is missing or broken, or any tensor is missing or of another shape.
    """
    _check_weights(name_or_dir)
    try:
        # transformers refuses shapes that do not fit with a table in the log: they are told below.
        network, info = network_class.from_pretrained(
            name_or_dir, config=config, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
        )
    except Exception as error:  # transformers, safetensors and the hub client raise a dozen unrelated types here
        raise CheckpointError(f"cannot load model {name_or_dir!r}: {_cause(name_or_dir, error)}") from error
    shapes = {name: (tuple(found), tuple(expected)) for name, found, expected in info["mismatched_keys"]}
    outputs = _class_outputs(shapes)
    if outputs is not None and (complete := _with_unnamed_classes(network.config, *outputs)) is not None:
        return load_network(network_class, name_or_dir, surplus=surplus, unread=unread, config=complete)
    if outputs is not None:
        _check_classes(name_or_dir, shapes, *outputs)
    shapes = {name: sizes for name, sizes in shapes.items() if unread is None or not re.search(unread, name)}
    missing = {name for name in info["missing_keys"] if unread is None or not re.search(unread, name)} - set(shapes)
    unexpected = set(info["unexpected_keys"])
    prefix = _foreign_prefix(unexpected, set(network.state_dict()))
    hint = f"; names in the weights begin with {prefix!r}: save them without it" if prefix else ""
    if surplus and missing:
        others = f"; it has {len(unexpected)} others: {few(unexpected)}" if unexpected else ""
        raise CheckpointError(f"model {name_or_dir!r} lacks {len(missing)} of its tensors: {few(missing)}{others}{hint}")
    problems = {
        "missing": missing,
        "unexpected": set() if surplus else unexpected,
        "of the wrong shape": {f"{name} {[*found]} instead of {[*expected]}" for name, (found, expected) in shapes.items()},
    }
    if any(problems.values()):
        raise CheckpointError(f"model {name_or_dir!r} does not fit its config.json: {listed(problems)}{hint}")
    return network.eval()


def write_network(network: PreTrainedModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into a folder, for all users who may read the one to read the other.

    Some versions of safetensors leave their file to the user who trains, and a robot's node is often another one. Where the
    network came from, such as a folder of the machine that trained it, is not written.
    """
    _forget_location(network.config)
    with quiet():
        network.save_pretrained(folder)
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def _forget_location(config: PreTrainedConfig) -> None:
    config.name_or_path = ""
    for part in (getattr(config, name, None) for name in config.sub_configs):
        if isinstance(part, PreTrainedConfig):
            _forget_location(part)


def class_names_of(config, name: str) -> tuple[str, ...]:
    """The names of a network's classes, by class index.

    A class index is the place of an output of the network. A network has as many outputs as there are names, so names that
    are numbered from 1, or with gaps, are those of its outputs in the order of their numbers.

    Args:
        config: Of the network.
        name: Of the model, for messages.

    Raises:
        CheckpointError: If ``id2label`` leaves a name out.
    """
    numbers = sorted(config.id2label)
    nameless = [number for number in numbers if config.id2label[number] is None]
    if nameless:
        raise CheckpointError(f"model {name!r}: id2label in config.json has null for class {nameless[0]}: give it a name")
    return tuple(str(config.id2label[number]) for number in numbers)


def listed(problems: Mapping[str, Collection[str]]) -> str:
    """Counts of names with the first few of them, such as ``2 missing: a, b; 1 unexpected: c``."""
    return "; ".join(f"{len(names)} {problem}: {few(names)}" for problem, names in problems.items() if names)


def few(names: Collection[str]) -> str:
    """The first names, by alphabet."""
    return textwrap.shorten(", ".join(sorted(names)), LISTED_CHARACTERS, placeholder=" ...")


def _check_type(name_or_dir: str, model_type: object, expected: str) -> None:
    if model_type != expected:
        raise CheckpointError(f"model {name_or_dir!r} is of type {model_type!r}; expected {expected!r}")


def _check_weights(name_or_dir: str) -> None:
    path = Path(name_or_dir)
    if path.is_dir() and not any((path / file).is_file() for file in WEIGHT_FILES):
        raise CheckpointError(f"model directory {name_or_dir!r} has no weights: expected model.safetensors beside config.json")


def _class_outputs(shapes: Mapping[str, tuple]) -> tuple[int, int] | None:
    """How many classes weights and network have, if these differ; without "no object"."""
    for name, (found, expected) in shapes.items():
        for head, no_object in CLASS_HEADS.items():
            if name.endswith(head):
                return found[0] - no_object, expected[0] - no_object
    return None


def _with_unnamed_classes(config: PreTrainedConfig, found: int, expected: int) -> PreTrainedConfig | None:
    """A configuration with a name for each number up to the last, if that is how many classes the weights have."""
    names = config.id2label
    if len(names) != expected or max(names) + 1 != found:
        return None
    complete = copy.deepcopy(config)
    complete.id2label = {number: names.get(number, f"unnamed {number}") for number in range(found)}
    return complete


def _check_classes(name_or_dir: str, shapes: Mapping[str, tuple], found: int, expected: int) -> None:
    """Say in terms of classes that weights were trained for another number of them, if nothing else is wrong."""
    if all(any(part in name for part in CLASS_TENSORS) for name in shapes):
        raise CheckpointError(
            f"model {name_or_dir!r}: the weights are of {found} classes, but config.json has {expected} "
            "(id2label, or num_labels): name each class that the network was trained with"
        )


def _foreign_prefix(names: set[str], expected: set[str]) -> str:
    """What was put before all names, if some are known without it; transformers itself renames others."""
    first, last = min(names, default=""), max(names, default="")  # what both begin with, all names do
    starts = [first[: i + 1] for i, letter in enumerate(first) if letter == "." and last.startswith(first[: i + 1])]
    return next((start for start in starts if not expected.isdisjoint(name.removeprefix(start) for name in names)), "")


def _cause(name_or_dir: str, error: Exception) -> str:
    """Which file is at fault and why, as far as it can be told; else what the libraries say."""
    if not os.path.isdir(name_or_dir):
        return f"{one_line(error)} Give the directory of a model where there is no network"
    try:
        for file in _weight_files(Path(name_or_dir)):
            check_tensor_file(file)
    except CheckpointError as fault:
        return str(fault)
    return one_line(error)


def _weight_files(directory: Path) -> list[Path]:
    """Those that transformers reads: the first kind that there is."""
    first = next((directory / name for name in WEIGHT_FILES if (directory / name).is_file()), None)
    if first is None:
        return []
    if first.suffix != ".json":
        return [first]
    shards = read_json_object(first, CheckpointError).get("weight_map")
    if not isinstance(shards, dict):
        raise CheckpointError(f"{str(first)!r} has no weight_map, which names the files of the tensors")
    return [directory / name for name in sorted(set(map(str, shards.values())))]
