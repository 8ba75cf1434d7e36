"""Rows of figures that every benchmark returns, and tables of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

__all__ = ["Row", "markdown_table", "printed"]

# Figures by the name of their column, whose last word is the unit where there is one; NaN and None where there is none.
Row = dict[str, str | int | float | bool | None]
COLUMN_WIDTH = 10


def cell(value: str | int | float | bool | None) -> str:
    """A figure with as many digits as mean something.

    >>> cell(0.61142), cell(6.114), cell(61.142), cell(1234.5), cell(7), cell(None), cell(True)
    ('0.611', '6.11', '61.1', '1234', '7', '', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and math.isnan(value):
        return ""
    if isinstance(value, float):
        return f"{value:.{max(0, 3 - len(str(int(abs(value)))) + (abs(value) < 1))}f}"
    return "" if value is None else str(value)


def printed(rows: Iterable[Row]) -> Iterator[Row]:
    """The same rows, each printed as soon as it is there, under the names of the first one's columns."""
    widths: dict[str, int] = {}
    for row in rows:
        if not widths:
            widths = {name: max(len(name), len(cell(value)), COLUMN_WIDTH) + 2 for name, value in row.items()}
            print("".join(f"{name:>{width}}" for name, width in widths.items()), flush=True)
        print("".join(f"{cell(row.get(name)):>{width}}" for name, width in widths.items()), flush=True)
        yield row


def markdown_table(rows: list[Row]) -> str:
    """A table of all columns that any row has, in the order in which they first occur."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns] + [[cell(row.get(name)) for name in columns] for row in rows]
    lines = [[text.replace("|", "\\|") for text in line] for line in lines]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
