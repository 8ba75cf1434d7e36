"""The ways in which a key frame's masks can reach later frames, by name.

A way is found without being listed anywhere: as a module of the folder ``ways`` beside this file, or, in a package of your
own, as an entry point of the group ``mpvss_model.propagations``, by its name::

    [project.entry-points."mpvss_model.propagations"]
    teleport = "my_package.teleport:PROPAGATION"

Names are known without importing PyTorch.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from mpvss_model.errors import ConfigError, first_line
from mpvss_model.propagation.propagation import Propagation

if TYPE_CHECKING:
    from mpvss_model.motion.module import MotionModule
    from mpvss_model.propagation.propagator import Propagator

__all__ = ["AUTO", "make_propagator", "propagation_choices", "propagation_named", "propagation_names", "propagations"]

# Stands for what the model's configuration recommends.
AUTO = "auto"
WAYS = "mpvss_model.propagation.ways"
ENTRY_POINTS = "mpvss_model.propagations"


def propagation_names() -> tuple[str, ...]:
    """All names that a model may recommend: this package's, the most able first, then those of other packages."""
    shipped = _shipped()
    ranked = sorted(shipped, key=lambda name: -shipped[name].rank)
    return (*ranked, *sorted(_installed().keys() - shipped.keys()))


def propagation_choices() -> tuple[str, ...]:
    """What a setting may be: `AUTO`, then `propagation_names`."""
    return (AUTO, *propagation_names())


def propagations() -> tuple[Propagation, ...]:
    """All rows, in the order of their ranks.

    Raises:
        ConfigError: If another package's way of propagation cannot be imported.
    """
    return tuple(sorted(map(propagation_named, propagation_names()), key=lambda row: row.rank))


def propagation_named(name: str) -> Propagation:
    """The row with this name.

    Raises:
        ConfigError: If there is none, or it cannot be imported.
    """
    row = _shipped().get(name)
    if row is not None:
        return row
    if (entry_point := _installed().get(name)) is not None:
        return _loaded(entry_point)
    raise ConfigError(f"propagation must be one of {', '.join(propagation_choices())}, got {name!r}")


def make_propagator(
    name: str, *, motion: MotionModule | None, released_grid: bool = False, recommended: str | None = None
) -> Propagator:
    """Build a propagator by its name.

    Args:
        name: One of `propagation_choices`.
        motion: The model's motion module, if it has one.
        released_grid: See `mpvss_model.warp.backward_warp`.
        recommended: What `AUTO` stands for: one of `propagation_names`.

    Raises:
        ConfigError: If there is no such propagation, or it needs a motion module and there is none.
    """
    row = propagation_named(recommended if name == AUTO and recommended is not None else name)
    if not row.needs_motion:
        return row.build()
    if motion is None:
        raise ConfigError(
            f"propagation {row.name!r} needs a model with a trained motion module; use 'tracked' or 'auto' with this one"
        )
    return row.build(motion, released_grid=released_grid)


def _shipped() -> dict[str, Propagation]:
    """The rows of this package; its folder is imported by name, since it stands on this one."""
    folder = import_module(WAYS)
    modules = [import_module(f"{WAYS}.{found.name}") for found in pkgutil.iter_modules(folder.__path__)]
    return {module.PROPAGATION.name: module.PROPAGATION for module in modules}


def _installed() -> dict[str, EntryPoint]:
    """What other packages offer, not imported."""
    return {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINTS)}


def _loaded(entry_point: EntryPoint) -> Propagation:
    try:
        row = entry_point.load()
    except Exception as error:  # whatever an import may raise
        raise ConfigError(
            f"propagation {entry_point.name!r} cannot be imported from {entry_point.value!r}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(row, Propagation) or row.name != entry_point.name:
        raise ConfigError(
            f"propagation {entry_point.name!r}: {entry_point.value!r} must be a Propagation of that name, got {row!r}"
        )
    return row
