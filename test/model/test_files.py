"""Files that appear whole or not at all, also when the disk is full."""

import errno
import os

import pytest

from mpvss_model import DataError
from mpvss_model.files import full_disk_named, write_whole


def fail(path):
    path.write_text("half")
    raise RuntimeError("broken")


def test_a_file_that_could_not_be_written_leaves_nothing_and_the_old_one_stays(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError):
        write_whole(tmp_path / "a.txt", fail)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
    write_whole(tmp_path / "a.txt", lambda path: path.write_text("new"))
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_full_disk_is_named(tmp_path):
    with (
        pytest.raises(DataError, match=r"no space is left on the disk of '.*': make some"),
        full_disk_named(tmp_path, "make some"),
        open("/dev/full", "w") as file,
    ):
        file.write("x")


def test_a_full_disk_is_named_whatever_a_library_made_of_it(tmp_path):
    with pytest.raises(DataError, match="no space is left"), full_disk_named(tmp_path, "make some"):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("cannot serialize") from error


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), KeyError("x"), DataError("broken")])
def test_other_errors_stay_what_they_are(tmp_path, error):
    with pytest.raises(type(error)) as caught, full_disk_named(tmp_path, "make some"):
        raise error
    assert caught.value is error
