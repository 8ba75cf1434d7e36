"""The ``mpvss`` command without a process of its own."""

import sys

import pytest

from mpvss_ros.cli.app import main


@pytest.fixture
def mpvss(monkeypatch, capsys):
    """The command in this process; returns its exit code and what it said."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["mpvss", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call
