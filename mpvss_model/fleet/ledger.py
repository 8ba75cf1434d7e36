"""What came of every source, in one JSON file that is always whole: a report, and what the next start need not do again."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mpvss_model.errors import ConfigError
from mpvss_model.files import write_whole
from mpvss_model.text_files import read_json_object

__all__ = ["DONE", "FAILED", "WAITING", "Entry", "Ledger", "different_names"]

WAITING, DONE, FAILED = "waiting", "done", "failed"


@dataclass
class Entry:
    """A source.

    Attributes:
        name: Of it among all sources, different from all others.
        source: Where it lies.
        state: `WAITING`, `DONE` or `FAILED`.
        key: Of all that the result depends on, as text.
        error: Why it failed, in one line.
        details: Where in the program that was, if it is none of the errors that users cause.
        deaths: Why attempts came to no end, a line each.
        workers: Machines and processes that did a part of it.
        result: What was found, as JSON can hold it.
        is_kept: Whether an earlier start did it.
    """

    name: str
    source: str
    state: str = WAITING
    key: str = ""
    error: str = ""
    details: str = ""
    deaths: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    is_kept: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what was found stands beside the rest, without what is empty."""
        entry = asdict(self)
        result = entry.pop("result")
        del entry["is_kept"]
        return {name: value for name, value in entry.items() if value} | result


class Ledger:
    """Entries of sources, in their order.

    Sources keep the names that an earlier start gave them, and new ones get names that no other has.

    Args:
        path: Of the file; None for none.
        sources: Where sources lie and what each is called, unless others are called the same; those that lie in one place
            are one.
        key: By location, of all that a result depends on.

    Raises:
        ConfigError: If the file is another one.
    """

    def __init__(self, path: Path | None, sources: Sequence[tuple[str, str]], key: Mapping[str, str]) -> None:
        self._path = path
        self._earlier = _read(path)
        names = different_names(dict(sources), {entry.source: entry.name for entry in self._earlier.values()})
        self.entries = [self._entry(source, name, key[source]) for source, name in names.items()]

    @property
    def failures(self) -> list[Entry]:
        """Those that failed."""
        return [entry for entry in self.entries if entry.state == FAILED]

    def forget(self, entries: Iterable[Entry]) -> None:
        """Do these again, whatever an earlier start did."""
        for entry in entries:
            entry.state, entry.is_kept = WAITING, False

    def write(self) -> None:
        """Bring the file up to date. Sources of earlier starts that are not asked for now stay in it."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        now = {entry.source: entry for entry in self.entries}
        entries = [*(entry for source, entry in self._earlier.items() if source not in now), *self.entries]
        text = json.dumps({"sources": [entry.as_dict() for entry in entries]}, indent=1) + "\n"
        write_whole(self._path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))

    def _entry(self, source: str, name: str, key: str) -> Entry:
        earlier = self._earlier.get(source)
        if earlier is not None and (earlier.state, earlier.key) == (DONE, key):
            earlier.is_kept = True
            return earlier
        return Entry(name, source, key=key)


def _read(path: Path | None) -> dict[str, Entry]:
    """The entries of an earlier start by source."""
    if path is None or not path.is_file():
        return {}
    try:
        rows = read_json_object(path, ConfigError)["sources"]
        known = [field for field in Entry.__dataclass_fields__ if field not in ("result", "is_kept")]
        entries = [
            Entry(
                **{name: value for name, value in row.items() if name in known},
                result={name: value for name, value in row.items() if name not in known},
            )
            for row in rows
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{str(path)!r} is no list of sources of an earlier start: choose another file or folder") from error
    return {entry.source: entry for entry in entries}


def different_names(wanted: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """A name for each source: its own, or with as many of the folders above as make it different, or a number.

    Upper and lower case make no difference, as in some file systems.

    >>> different_names({"/monday/drive": "drive", "/tuesday/drive": "drive", "/park": "park"}, {})
    {'/monday/drive': 'monday_drive', '/tuesday/drive': 'tuesday_drive', '/park': 'park'}

    Args:
        wanted: What each would be called, by where it lies.
        given: Names that some have already, perhaps also of others.
    """
    names = {source: given[source] for source in wanted if source in given}
    taken = {name.casefold() for name in given.values()}
    new = {source: _options(source, name) for source, name in wanted.items() if source not in given}
    count = Counter(option.casefold() for options in new.values() for option in options)
    for source, options in new.items():
        numbered = (f"{options[0]}-{number}" for number in itertools.count(2))
        own = (option for option in options if count[option.casefold()] == 1)
        names[source] = next(option for option in itertools.chain(own, numbered) if option.casefold() not in taken)
        taken.add(names[source].casefold())
    return {source: names[source] for source in wanted}


def _options(source: str, name: str) -> list[str]:
    """``/data/monday/drive`` -> drive, monday_drive, data_monday_drive."""
    options = [name]
    for folder in reversed(Path(source).parent.parts[1:]):
        options.append(f"{folder}_{options[-1]}")
    return options
