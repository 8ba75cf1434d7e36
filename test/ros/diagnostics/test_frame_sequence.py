import pytest

from mpvss_ros.diagnostics.frame_sequence import FrameSequence

SIZE, OTHER_SIZE = (640, 480), (320, 240)


def sequence_of(stamps_ns, frame_ids=("camera",), sizes=(SIZE,)):
    made = FrameSequence()
    for i, stamp_ns in enumerate(stamps_ns):
        width, height = sizes[i % len(sizes)]
        made.add(stamp_ns=stamp_ns, frame_id=frame_ids[i % len(frame_ids)], width=width, height=height)
    return made


@pytest.mark.parametrize(
    "stamps_ns, frame_ids, sizes, words",
    [
        ([0] * 8, ["a"], [SIZE], ["stamps of all images are zero", "header.stamp"]),
        ([7 * 10**9] * 8, ["a"], [SIZE], ["7.000000000 s", "clock stands still"]),
        ([1, 100, 2, 101, 3, 102, 4, 103], ["a"], [SIZE], ["stamps go back again and again"]),
        (range(1, 9), ["a"], [SIZE, OTHER_SIZE], ["flips between 320 x 240 and 640 x 480", "two cameras"]),
        (range(1, 9), ["front", "rear"], [SIZE], ["'front' and 'rear'", "two cameras"]),
    ],
    ids=["zero", "frozen", "two clocks", "sizes", "frame_ids"],
)
def test_the_cause_is_named(stamps_ns, frame_ids, sizes, words):
    (trouble,) = sequence_of(stamps_ns, frame_ids, sizes).troubles()
    assert all(word in trouble for word in words)


@pytest.mark.parametrize(
    "stamps_ns, sizes",
    [
        (range(1, 20), [SIZE]),
        # 100 ns apart, a bag that begins anew, and a camera that was given another size.
        (range(1_700_000_000_000_000_000, 1_700_000_000_000_002_000, 100), [SIZE]),
        ([*range(1, 10), *range(1, 10)], [SIZE]),
        (range(1, 20), [SIZE] * 10 + [OTHER_SIZE] * 9),
        ([0, 0, 0], [SIZE]),
    ],
    ids=["steady", "fast", "loop", "new size", "too few"],
)
def test_what_happens_to_good_cameras_is_no_trouble(stamps_ns, sizes):
    assert sequence_of(stamps_ns, sizes=sizes).troubles() == []


def test_old_images_are_forgotten():
    sequence = sequence_of([0] * 8)
    for i in range(30):
        sequence.add(stamp_ns=i, frame_id="camera", width=640, height=480)
    assert sequence.troubles() == [] and sequence.newest_size == SIZE
    sequence.clear()
    assert sequence.newest_size is None
