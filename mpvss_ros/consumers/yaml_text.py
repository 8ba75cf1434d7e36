"""YAML that all of those who read it take for the same."""

from __future__ import annotations

import re

import yaml

__all__ = ["yaml_text"]

# What some reader takes for no text, although PyYAML does not: rcl has YAML 1.1's y and n, and whatever C's strtol and strtod
# read to the end, such as 1e3, inf and nan; yaml-cpp has YAML 1.2's numbers.
FOREIGN = re.compile(r"^([yn]|[-+]?(\.?[0-9].*|\.?(inf(inity)?|nan)))$", re.IGNORECASE)


class _Dumper(yaml.SafeDumper):
    """Quotes texts that somebody would not read as texts."""


_Dumper.add_implicit_resolver("foreign", FOREIGN, first=None)


def yaml_text(contents: object) -> str:
    """A file's contents in the order that they have, with flat lists on one line each."""
    return yaml.dump(contents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
