"""What a stream asks of a GPU for each frame, counted with one that is none; labels are those of the processor."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.errors import PropagationError
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.runtime import transfers
from mpvss_model.runtime.frame_parts import FrameParts
from mpvss_model.runtime.transfers import PIECE_BYTES
from mpvss_model.segmentor.registry import load_model
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.counted_gpu import DEVICE, CountedGpu, OnGpu, move_to_gpu

FRAMES = [scene(3 * i) for i in range(8)]


class BrightnessOnGpu(BrightnessSegmentor):
    """Its masks are on the GPU, without a transfer."""

    device = DEVICE

    def segment(self, frame, stamp_s):
        with torch._C.DisableTorchFunction():
            found = super().segment(frame, stamp_s)
        on_gpu = {name: getattr(found, name).as_subclass(OnGpu) for name in ("mask_logits", "class_logits", "queries")}
        return replace(found, **on_gpu)


@pytest.fixture
def gpu(monkeypatch):
    """A GPU for this thread, to be entered, with no memory allocated yet."""
    monkeypatch.setattr(transfers, "_threads", transfers._Threads())
    return CountedGpu(monkeypatch)


def loaded_model(checkpoint, *, on_gpu):
    model = load_model(checkpoint, device=torch.device("cpu"))
    model.accelerate(torch.float32)
    if on_gpu:
        segmentor = model.segmentor
        segmentor.device, segmentor._stream = DEVICE, torch.cuda.Stream(DEVICE)
        segmentor._mean, segmentor._std = (x.as_subclass(OnGpu) for x in (segmentor._mean, segmentor._std))
        for module in (segmentor.model, segmentor._network._function, model.motion):
            move_to_gpu(module)
    return model


def mpvss_stream(checkpoint, way, *, on_gpu):
    model = loaded_model(checkpoint, on_gpu=on_gpu)
    motion = copy.copy(model.motion)
    motion.config = replace(motion.config, refines_tracked_flow=way == "refined")
    propagator = make_propagator("segment" if way == "refined" else way, motion=motion)
    return VideoSegmentor(
        segmentor=model.segmentor, propagator=propagator, config=StreamConfig(max_interval_frames=4, max_key_age_s=1e6)
    )


def answers_of(stream, frames, before=lambda: None):
    answers = []
    for i, frame in enumerate(frames):
        before()
        answers.append(stream.step(frame, i / 10))
    return answers


@pytest.mark.parametrize(
    ("way", "replays"),
    [("tracked", 1), ("fine", 1), ("dense", 1), ("copy", 0), ("pixel", 1), ("segment", 1), ("refined", 2)],
)
@pytest.mark.filterwarnings("error:runs without CUDA graph")
def test_a_frame_is_one_transfer_there_one_back_and_one_wait(tiny_motion_checkpoint, gpu, way, replays):
    expected = answers_of(mpvss_stream(tiny_motion_checkpoint, way, on_gpu=False), FRAMES)
    stream = mpvss_stream(tiny_motion_checkpoint, way, on_gpu=True)
    with gpu:
        for i, (frame, wanted) in enumerate(zip(FRAMES, expected, strict=True)):
            gpu.reset()
            answer = stream.step(frame, i / 10)
            np.testing.assert_array_equal(answer.labels, wanted.labels)
            if i == 0 or answer.is_key_frame:
                continue
            assert (gpu.uploads, gpu.downloads, gpu.replays) == (0 if way == "copy" else 1, 1, replays)
            assert gpu.waits == {"event": 1}
            # A motion module sees the key image, too, when it goes up with the first frame.
            assert gpu.pinned_bytes == [] or i == 1


def test_a_key_frame_waits_for_its_network_for_what_matters_and_for_the_labels(tiny_motion_checkpoint, gpu):
    stream = mpvss_stream(tiny_motion_checkpoint, "tracked", on_gpu=True)
    with gpu:
        answers_of(stream, FRAMES[:4])
        gpu.reset()
        assert stream.step(FRAMES[4], 0.4).is_key_frame
        # The frame goes up, what matters comes down, its indices go up, labels come down.
        assert (gpu.uploads, gpu.downloads) == (2, 2)
        assert gpu.waits == {"stream": 1, "event": 2} and gpu.pinned_bytes == []


def test_page_locked_memory_is_allocated_once_and_grows_with_the_frames(gpu):
    large_frames = [scene(3 * i, size=(256, 320)) for i in range(4)]
    expected = answers_of(make_segmentor(max_interval_frames=4), large_frames)
    stream = make_segmentor(BrightnessOnGpu(), max_interval_frames=4)
    with gpu:
        answers_of(stream, FRAMES)
        assert gpu.pinned_bytes == [PIECE_BYTES, PIECE_BYTES]  # there and back
        gpu.reset()
        small = answers_of(stream, [scene(3 * i, size=(64, 96)) for i in range(4)])
        assert gpu.pinned_bytes == [] and small[3].labels.shape == (64, 96)
        large = answers_of(stream, large_frames)
        answers_of(stream, FRAMES)
        assert gpu.pinned_bytes == [2 * PIECE_BYTES]  # 80 KiB of labels
    for answer, wanted in zip(large, expected, strict=True):
        np.testing.assert_array_equal(answer.labels, wanted.labels)


def test_labels_that_somebody_keeps_stay_as_they_are(gpu):
    stream = make_segmentor(BrightnessOnGpu(), max_interval_frames=4)
    with gpu:
        kept, seen = [], []
        for i, frame in enumerate(FRAMES):
            kept.append(stream.step(frame, i / 10).labels)
            seen.append(kept[-1].copy())
    for array, before in zip(kept, seen, strict=True):
        np.testing.assert_array_equal(array, before)
        assert array.flags.owndata and array.flags.writeable
    assert not np.array_equal(kept[0], kept[-1])


def test_memory_is_written_again_only_when_the_gpu_has_read_it(gpu):
    arrays = [np.full((4, 6), value, np.float32) for value in (1, 2)]
    with gpu:
        first = transfers.to_device(arrays[0], DEVICE)
        assert gpu.waits == {}
        second = transfers.to_device(arrays[1], DEVICE)
        assert gpu.waits == {"event": 1}
        host = transfers.to_host(second, first)
    np.testing.assert_array_equal(host, arrays[::-1])


def test_several_arrays_of_any_type_go_together(gpu):
    rng = np.random.default_rng(0)
    arrays = (
        rng.integers(0, 256, (5, 7, 3), np.uint8), rng.random((3, 2), np.float32)[:, ::-1], np.arange(3), np.float32(2.5),
        np.zeros((0, 4), np.float32), np.array([True, False]),
    )  # fmt: skip
    arrays = tuple(map(np.asarray, arrays))
    with gpu:
        sent = transfers.all_to_device(arrays, DEVICE)
        assert gpu.uploads == 1 and not gpu.waits
        back = transfers.to_host(*sent)
        assert gpu.downloads == 1 and gpu.waits == {"event": 1}
    for array, returned in zip(arrays, back, strict=True):
        assert returned.dtype == array.dtype and returned.shape == array.shape
        np.testing.assert_array_equal(returned, array)


def test_each_thread_has_memory_of_its_own(gpu):
    array = np.zeros(100, np.uint8)
    barrier = threading.Barrier(2)

    def allocated():
        with gpu:
            transfers.to_device(array, DEVICE)
        barrier.wait(10)  # so that neither does the other's work
        return transfers._of_this_thread(DEVICE).uploads._memory.data_ptr()

    with ThreadPoolExecutor(2) as pool:
        places = [future.result() for future in [pool.submit(allocated) for _ in range(2)]]
    assert len(set(places)) == 2 and gpu.pinned_bytes == [PIECE_BYTES, PIECE_BYTES]


def test_masks_that_are_not_finite_are_reported_though_the_check_comes_with_the_labels(gpu):
    class BrokenFlow(TrackedFlowPropagator):
        def propagate(self, key_frame, frame, queries):
            return super().propagate(key_frame, frame, queries) * float("nan")

    stream = make_segmentor(BrightnessOnGpu(), max_interval_frames=4)
    stream.propagator = BrokenFlow()
    with gpu:
        stream.step(FRAMES[0], 0.0)
        with pytest.raises(PropagationError, match="the propagated masks hold values that are not finite"):
            stream.step(FRAMES[1], 0.1)


def test_labels_of_another_size_than_inference_wait_no_more(gpu):
    stream = make_segmentor(BrightnessOnGpu(), max_interval_frames=4, inference_size=48)
    expected = answers_of(make_segmentor(max_interval_frames=4, inference_size=48), FRAMES[:3])
    with gpu:
        for i, wanted in enumerate(expected):
            gpu.reset()
            answer = stream.step(FRAMES[i], i / 10)
            np.testing.assert_array_equal(answer.labels, wanted.labels)
        assert gpu.waits == {"event": 1} and (gpu.uploads, gpu.downloads) == (1, 1)


def test_parts_of_a_frame_add_up_and_are_waited_for_only_while_they_are_measured(gpu):
    stream = make_segmentor(BrightnessOnGpu(), max_interval_frames=4)
    with gpu:
        stream.step(FRAMES[0], 0.0)
        gpu.reset()
        with FrameParts(DEVICE) as parts:
            stream.step(FRAMES[1], 0.1)
        assert set(parts.seconds) == {"flow", "upload", "graph", "labels", "download", "rest"}
        assert gpu.waits["device"] == 2 * 5 + 2
        gpu.reset()
        stream.step(FRAMES[2], 0.2)
        assert gpu.waits == {"event": 1}
    assert all(value >= 0 for value in parts.seconds.values())
