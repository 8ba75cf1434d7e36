"""Networks of ``transformers`` from their files: are they whole, of the right kind, and do the weights fit?"""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from huggingface_hub.utils import logging as hub_logging
from transformers import AutoConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.segmentor.config_file import read_config
from mpvss_model.segmentor.tensor_files import check_tensor_file
from mpvss_model.text_files import read_json_object

__all__ = ["class_names_of", "few", "listed", "load_config", "load_network", "quiet", "write_network"]

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
CLASS_HEAD = "class_predictor."
# Of as many numbers as there are classes and "no object".
CLASS_TENSORS = (CLASS_HEAD, "criterion.empty_weight")
LISTED_CHARACTERS = 200
LISTED_NUMBERS = 3

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


def load_network(network_class: type[Network], name_or_dir: str, *, surplus: bool = False) -> Network:
    """The network of a checkpoint with its weights, in evaluation mode.

    Args:
        network_class: A class of ``transformers``, or registered with it.
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        surplus: Whether there may be tensors that the network does not have.

    Raises:
        CheckpointError: If a file is missing or broken, or any tensor is missing or of another shape.
    """
    _check_weights(name_or_dir)
    try:
        # transformers refuses shapes that do not fit with a table in the log: they are told below.
        network, info = network_class.from_pretrained(
            name_or_dir, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
        )
    except Exception as error:  # transformers, safetensors and the hub client raise a dozen unrelated types here
        raise CheckpointError(f"cannot load model {name_or_dir!r}: {_cause(name_or_dir, error)}") from error
    shapes = {name: (tuple(found), tuple(expected)) for name, found, expected in info["mismatched_keys"]}
    _check_class_head(name_or_dir, shapes)
    missing, unexpected = set(info["missing_keys"]) - set(shapes), set(info["unexpected_keys"])
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

    Some versions of safetensors leave their file to the user who trains, and a robot's node is often another one.
    """
    with quiet():
        network.save_pretrained(folder)
    mode = (folder / "config.json").stat().st_mode
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def class_names_of(config, name: str) -> tuple[str, ...]:
    """The names of a network's classes, by class index.

    A class index is the place of an output of the network. Numbers in ``id2label`` that leave a place out could mean that
    names are shifted, or that classes have none; which one, only the author knows.

    Args:
        config: Of the network.
        name: Of the model, for messages.

    Raises:
        CheckpointError: If ``id2label`` does not number the classes from 0 without gaps, or leaves a name out.
    """
    numbers = sorted(config.id2label)
    if numbers != list(range(len(numbers))):
        raise CheckpointError(
            f"model {name!r}: id2label in config.json numbers {len(numbers)} classes {_shown_numbers(numbers)}; expected "
            f"0..{len(numbers) - 1}, the places of the network's outputs: number the names so, in the order of training"
        )
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


def _check_class_head(name_or_dir: str, shapes: Mapping[str, tuple]) -> None:
    """Say in terms of classes that weights were trained for another number of them."""
    heads = [sizes for name, sizes in shapes.items() if CLASS_HEAD in name]
    if heads and all(any(part in name for part in CLASS_TENSORS) for name in shapes):
        found, expected = heads[0]
        raise CheckpointError(
            f"model {name_or_dir!r}: the weights are of {found[0] - 1} classes, but config.json has {expected[0] - 1} "
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


def _shown_numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:LISTED_NUMBERS]))
    return f"{shown}, ... {numbers[-1]}" if len(numbers) > LISTED_NUMBERS else shown
