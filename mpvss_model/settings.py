"""A table of settings: the fields of a configuration, each with all that whatever offers it to users has to know."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field, fields, is_dataclass
from numbers import Real
from typing import Any, TypeVar

from mpvss_model.errors import ConfigError

__all__ = ["Setting", "changed_settings", "check_settings", "described", "is_table", "setting", "settings_of"]

Value = TypeVar("Value")
Config = TypeVar("Config", bound=type)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table.

    Attributes:
        name: Of the configuration's field.
        default: Also fixes the type.
        description: One line for users.
        details: What else there is to know, for programmers.
        unit: Of a number, in capitals; empty where it has none.
        choices: The values that a text may take; empty for any.
        minimum: Smallest value of a number.
        above: Whether a number must be above ``minimum``, rather than at least that.
        maximum: Largest value of a number.
        special: Numbers that are not in the range and may be given all the same.
        offered: Smallest and largest value where both must be finite and allowed, as for a slider; by default the range.
        live: Whether it may change between two frames.
    """

    name: str
    default: Any
    description: str
    details: str = ""
    unit: str = ""
    choices: tuple[str, ...] = ()
    minimum: float = -math.inf
    above: bool = False
    maximum: float = math.inf
    special: tuple[float, ...] = ()
    offered: tuple[float, float] | None = None
    live: bool = False

    def check(self, value: Any) -> None:
        """Raise `ConfigError`, naming setting, range and value, if the value is not allowed."""
        if not self.allows(value):
            raise ConfigError(f"{self.name} must be {self._requirement}, got {value!r}")

    def allows(self, value: Any) -> bool:
        """Whether a value is of the right type and in the range."""
        if isinstance(self.default, str):
            return value in self.choices if self.choices else isinstance(value, str)
        kind = int if isinstance(self.default, int) else Real
        if isinstance(value, bool) or not issubclass(type(value), kind):
            return False
        is_large_enough = value > self.minimum if self.above else value >= self.minimum
        return value in self.special or (math.isfinite(value) and is_large_enough and value <= self.maximum)

    @property
    def _requirement(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if isinstance(self.default, str):
            return "text"
        kind = "a whole number" if isinstance(self.default, int) else "a finite number"
        allowed = f"{kind} {'above' if self.above else 'of at least'} {self.minimum}"
        allowed += f" and at most {self.maximum}" * (self.maximum < math.inf)
        return " or ".join([", ".join(map(str, self.special)), allowed] if self.special else [allowed])


def setting(default: Value, description: str, **row: Any) -> Value:
    """A field of a frozen dataclass that is a table of settings; ``row`` holds further attributes of `Setting`."""
    return field(default=default, metadata={"description": description, **row})


def settings_of(config: type) -> tuple[Setting, ...]:
    """The table that a configuration class is."""
    return tuple(Setting(name=row.name, default=row.default, **row.metadata) for row in fields(config))


def is_table(config: object) -> bool:
    """Whether something is a configuration class of settings."""
    return isinstance(config, type) and is_dataclass(config) and all("description" in row.metadata for row in fields(config))


def check_settings(config: object) -> None:
    """Raise `ConfigError` for the first value of a configuration that is not allowed."""
    for row in settings_of(type(config)):
        row.check(getattr(config, row.name))


def changed_settings(config: object) -> dict[str, Any]:
    """The values of a configuration that are not the defaults, by name."""
    values = {row: getattr(config, row.name) for row in settings_of(type(config))}
    return {row.name: value for row, value in values.items() if value != row.default}


def described(config: Config) -> Config:
    """Add the settings to a configuration class's docstring."""
    entries = [f"{row.name}: {row.description}.{' ' * bool(row.details)}{row.details}" for row in settings_of(config)]
    config.__doc__ = f"{config.__doc__}\n    Attributes:\n{textwrap.indent(chr(10).join(entries), ' ' * 8)}\n    "
    return config
