"""Folders and patterns of sources."""

import pytest

from mpvss_model import DataError
from mpvss_ros.bags.fleet.sources import fingerprint, found_sources, plain_name

from ... import recordings


@pytest.fixture
def drives(tmp_path):
    """Bags at two depths, a loose file, and results."""
    for name in ("a", "deep/b", "labels/old"):
        (tmp_path / "drives" / name).parent.mkdir(parents=True, exist_ok=True)
        recordings.write_bag(tmp_path / "drives" / name, recordings.camera(frames=1))
    (tmp_path / "drives/c.mcap").write_bytes(recordings.MAGIC)
    (tmp_path / "drives/notes.txt").touch()
    return tmp_path / "drives"


def named(sources, folder):
    return [str(location).replace(f"{folder}/", "") for location in sources.locations]


def test_a_folder_of_bags_is_its_bags_at_any_depth_but_for_results(drives):
    sources = found_sources([str(drives)], leave_out=drives / "labels")
    assert named(sources, drives) == ["a", "c.mcap", "deep/b"] and sources.are_several
    assert named(found_sources([str(drives / "deep")]), drives) == ["deep/b"]
    assert found_sources([str(drives / "deep")]).are_several  # there may be more next time


def test_a_source_is_itself_and_each_is_there_once(drives, small_clips):
    one = found_sources([str(drives / "a")])
    assert named(one, drives) == ["a"] and not one.are_several
    (file,) = (drives / "a").glob("*.mcap")
    assert not found_sources([str(file)]).are_several
    for location in (str(small_clips), f"{small_clips}:first", str(small_clips / "a/images"), "nowhere"):
        assert found_sources([location]).locations == (location,)
    again = found_sources([str(drives / "a"), str(drives / "deep/../a"), f"{small_clips}:first", f"{small_clips}:second"])
    assert len(again.locations) == 3


def test_patterns(drives):
    assert named(found_sources([str(drives / "*/b"), str(drives / "[ac]*")]), drives) == ["deep/b", "a", "c.mcap"]
    assert found_sources([str(drives / "a*")]).are_several
    with pytest.raises(DataError, match="nothing fits '.*x\\*': give bags,"):
        found_sources([str(drives / "x*")])


def test_files_without_metadata_are_one_bag_only_if_they_are_called_like_their_folder(tmp_path):
    files_of = {
        "split": ("split_0.mcap", "split_1.mcap"),
        "whole": ("whole.mcap",),
        "loose": ("x.mcap", "y.db3.zstd", ".z.mcap"),
    }
    for folder, files in files_of.items():
        (tmp_path / folder).mkdir()
        for file in files:
            (tmp_path / folder / file).touch()
    assert not any(found_sources([str(tmp_path / folder)]).are_several for folder in ("split", "whole"))
    assert named(found_sources([str(tmp_path / "loose")]), tmp_path) == ["loose/x.mcap", "loose/y.db3.zstd"]
    assert named(found_sources([str(tmp_path)]), tmp_path) == ["loose/x.mcap", "loose/y.db3.zstd", "split", "whole"]


def test_names_and_fingerprints(drives, small_clips):
    assert [plain_name(str(drives / name)) for name in ("a", "c.mcap", "x/drive.v2")] == ["a", "c", "drive.v2"]
    assert plain_name(f"{small_clips}:first") == f"{small_clips.name}-first"
    before = fingerprint(str(drives / "a"))
    assert fingerprint(str(drives / "a")) == before != fingerprint(str(drives / "c.mcap"))
    (file,) = (drives / "a").glob("*.mcap")
    file.write_bytes(file.read_bytes() + b" ")
    assert fingerprint(str(drives / "a")) != before
