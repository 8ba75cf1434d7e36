"""Many bags at once, and long ones in pieces."""

import json
import os
import signal
from dataclasses import dataclass, replace

import numpy as np
import pytest

from mpvss_model import ConfigError, StreamConfig
from mpvss_model.config import DecodingConfig
from mpvss_model.data import open_clips
from mpvss_model.fleet import FleetConfig
from mpvss_model.labelling import LabellingConfig
from mpvss_model.labelling.label_folder import LabelFolder
from mpvss_model.runtime.interruption import Interrupted
from mpvss_ros.bags.bag import CONFIDENCE_TOPIC, LABELS_TOPIC, Bag
from mpvss_ros.bags.fleet import labelling as fleet_labelling
from mpvss_ros.bags.fleet.label_work import LabelOrCut, LabelPiece, Place
from mpvss_ros.bags.fleet.labelling import LEDGER_FILE, label_sources
from mpvss_ros.bags.fleet.sources import found_sources

from ... import recordings

CAMERA = "/camera/image_raw"
TWO = FleetConfig(workers=2)


def image(index, later_ns=0, **changes):
    """Of no frame twice the same."""
    stamp_ns = recordings.START_NS + index * recordings.PERIOD_NS + later_ns
    return recordings.image(2 * index, stamp_ns=stamp_ns, **changes)


def write_bag(path, images, **options):
    times = [recordings.START_NS + i * recordings.PERIOD_NS for i in range(len(images))]
    return recordings.write_bag(path, {CAMERA: list(zip(times, images, strict=True))}, **options)


def hours(frames=30):
    """A recording that is long for a test: a frame comes twice, there is a gap, and a clock is set back."""
    images = [image(i, 10**10 * (i >= 13) - 2 * 10**10 * (i >= 20)) for i in range(frames)]
    images.insert(4, images[3])
    return images


class NoLink:
    """Of work that is done here."""

    def tell(self, done, total):
        pass

    def is_stopped(self):
        return False


@dataclass(frozen=True, kw_only=True)
class AloneButCutting(FleetConfig):
    """One process is as good as many to see what comes of pieces, and faster."""

    is_several = True


@pytest.fixture
def begun(monkeypatch):
    """The pieces that are begun, in their order."""
    pieces = []

    def begin(**given):
        pieces.append(given["piece"])
        return LabelPiece(**given)

    monkeypatch.setattr(fleet_labelling, "LabelPiece", begin)
    return pieces


def label_whole(task, bag, out):
    LabelOrCut(task=task, source=str(bag), place=Place(out), key="{}", may_cut=False)(NoLink())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("config", "stream"),
    [
        (LabellingConfig(), StreamConfig()),
        (LabellingConfig(interval=4, propagation="segment"), StreamConfig()),
        (LabellingConfig(interval=1000, propagation="tracked"), StreamConfig(max_interval_s=0.3, min_interval_s=0.25)),
    ],
)
def test_labels_of_pieces_are_byte_for_byte_those_of_the_whole_bag(task, begun, tmp_path, config, stream):
    bag, task = write_bag(tmp_path / "drive", hours()), task(config=config, stream=stream)
    label_sources(found_sources([str(bag)]), tmp_path / "pieces", task=task, fleet=AloneButCutting())
    assert len(begun) > 2 and all(piece.count < 15 for piece in begun)
    label_whole(task, bag, tmp_path / "whole")
    assert files(tmp_path / "pieces") == files(tmp_path / "whole")
    assert len(LabelFolder(tmp_path / "whole").clip("drive").rows) == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == [".whole.work", "drive", "pieces", "whole"]


def test_a_piece_goes_on_into_the_next_where_a_broken_image_shifts_the_key_frames(task, begun, tmp_path):
    images = [image(i, encoding="bogus" if i in (8, 9, 21) else "rgb8") for i in range(30)]
    bag, task = write_bag(tmp_path / "drive", images), task()
    label_sources(found_sources([str(bag)]), tmp_path / "pieces", task=task, fleet=AloneButCutting())
    assert len({piece.first for piece in begun}) < len(begun)  # some were begun twice: to go on
    label_whole(task, bag, tmp_path / "whole")
    assert files(tmp_path / "pieces") == files(tmp_path / "whole")


def test_a_bag_of_labels_made_in_pieces_has_the_messages_of_one_that_was_not(task, tmp_path):
    bag = write_bag(tmp_path / "drive", hours())
    for out, fleet in (("pieces", AloneButCutting()), ("whole", FleetConfig())):
        label_sources(found_sources([str(bag)]), tmp_path / out, task=task(as_bag=True), fleet=fleet)
    with Bag(tmp_path / "pieces") as pieces, Bag(tmp_path / "whole") as whole:
        topics = (CAMERA, LABELS_TOPIC, CONFIDENCE_TOPIC)
        assert list(pieces.raw_messages(topics)) == list(whole.raw_messages(topics))
        assert pieces.count(LABELS_TOPIC) == 30


@pytest.mark.parametrize(
    ("changes", "make", "why"),
    [
        ({"has_memory": True}, image, "each key frame takes something from the one before"),
        ({"stream": StreamConfig(history_weight=0.5)}, image, "key frames have a history"),
        ({"stream": StreamConfig(motion_threshold=0.1)}, image, "motion decides where key frames are"),
        ({"stream": StreamConfig(key_frames="async")}, image, "the speed of the machine decides where key frames are"),
    ],
)
def test_a_bag_that_cannot_be_cut_is_labelled_in_one_piece_and_it_is_said_why(task, tmp_path, changes, make, why):
    bag = write_bag(tmp_path / "drive", [make(i) for i in range(14)])
    labelled = LabelOrCut(task=task(**changes), source=str(bag), place=Place(tmp_path / "out"), key="{}")(NoLink())
    assert labelled.notes == (f"labelled in one piece: {why}",)
    assert labelled.frames == 14


def test_a_bag_that_is_compressed_as_a_whole_is_not_cut(task, tmp_path):
    bag = write_bag(tmp_path / "drive", [image(i) for i in range(14)], compression="FILE")
    labelled = LabelOrCut(task=task(), source=str(bag), place=Place(tmp_path / "out"), key="{}")(NoLink())
    assert labelled.notes == ("labelled in one piece: its files have no index, or are compressed as a whole",)


def deep(index):
    """16 bits, brighter and brighter."""
    message = image(index, shape=(48, 64, 2))
    message.encoding = "mono16"
    pixels = np.random.default_rng(index).integers(0, 40 * (index + 1) ** 2, (48, 64), np.uint16)
    message.data, message.step = pixels.reshape(-1).view(np.uint8), 128
    return message


def test_images_that_are_read_by_what_earlier_ones_used_are_labelled_in_one_piece(task, begun, tmp_path):
    bag = write_bag(tmp_path / "drive", [deep(i) for i in range(14)])
    with pytest.warns(UserWarning, match="16-bit images seem to use"):
        label_sources(found_sources([str(bag)]), tmp_path / "estimated", task=task(), fleet=AloneButCutting())
        label_whole(task(), bag, tmp_path / "whole")
    assert len(begun) == 2
    assert files(tmp_path / "estimated") == files(tmp_path / "whole")
    known = task(decoding=DecodingConfig(significant_bits=12))
    label_sources(found_sources([str(bag)]), tmp_path / "known", task=known, fleet=AloneButCutting())
    label_whole(known, bag, tmp_path / "whole_known")
    assert files(tmp_path / "known") == files(tmp_path / "whole_known")


@pytest.fixture
def drives(tmp_path):
    """A folder of bags, two of one name and one broken."""
    for name in ("monday/drive", "tuesday/drive", "tuesday/park"):
        (tmp_path / "drives" / name).parent.mkdir(parents=True, exist_ok=True)
        write_bag(tmp_path / "drives" / name, [image(i) for i in range(3)])
    (tmp_path / "drives/loose.mcap").write_bytes(b"nothing")
    return tmp_path / "drives"


def test_a_folder_of_bags_is_labelled_by_several_workers_and_failures_are_named(task, drives, tmp_path):
    out = tmp_path / "labels"
    ledger = label_sources(found_sources([str(drives)]), out, task=task(), fleet=TWO)
    assert {entry.name: entry.state for entry in ledger.entries} == {
        "loose": "failed",
        "monday_drive": "done",
        "tuesday_drive": "done",
        "park": "done",
    }
    written = json.loads((out / LEDGER_FILE).read_text())["sources"]
    assert "neither an MCAP nor a SQLite file" in next(row["error"] for row in written if row["name"] == "loose")
    assert [row["frames"] for row in written if row["state"] == "done"] == [3, 3, 3]
    assert all(row["workers"] for row in written)
    assert [clip.name for clip in open_clips(out, split="all").clips] == ["drive", "drive", "park"]
    assert {path.name for path in out.iterdir() if path.is_dir()} == {
        "monday_drive",
        "tuesday_drive",
        "park",
    }


def test_what_is_finished_is_skipped_and_what_is_new_is_not_called_like_anything_else(task, drives, tmp_path):
    out = tmp_path / "labels"
    label_sources(found_sources([str(drives / "tuesday/*")]), out, task=task(), fleet=FleetConfig())
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/*")}
    assert len(before) == 2 * 3 * 3
    (drives / "loose.mcap").unlink()
    ledger = label_sources(found_sources([str(drives)]), out, task=task(), fleet=FleetConfig())
    assert {entry.name: entry.is_kept for entry in ledger.entries} == {"monday_drive": False, "drive": True, "park": True}
    assert before.items() <= {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/*")}.items()
    other = task(config=LabellingConfig(interval=2))
    ledger = label_sources(found_sources([str(drives)]), out, task=other, fleet=FleetConfig())
    assert len(ledger.failures) == 3 and "; interval: 3, now 2" in ledger.failures[0].error


def test_what_was_stopped_goes_on(task, begun, tmp_path, monkeypatch):
    bag, task, out = write_bag(tmp_path / "drive", hours()), task(), tmp_path / "out"

    def begin(**given):
        if given["piece"].first == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return LabelPiece(**given)

    with monkeypatch.context() as context:
        context.setattr(fleet_labelling, "LabelPiece", begin)
        with pytest.raises(Interrupted, match="stopped by SIGTERM: 0 of 1 sources are labelled, and the same") as caught:
            label_sources(found_sources([str(bag)]), out, task=task, fleet=AloneButCutting())
    assert caught.value.signal_number == signal.SIGTERM
    with pytest.raises(ConfigError, match=r"begun with other settings \(labelling\): give those again, or delete"):
        other = replace(task, config=LabellingConfig(interval=2))
        ledger = label_sources(found_sources([str(bag)]), out, task=other, fleet=AloneButCutting())
        raise ConfigError(ledger.failures[0].error)
    assert not label_sources(found_sources([str(bag)]), out, task=task, fleet=AloneButCutting()).failures
    label_whole(task, bag, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")
