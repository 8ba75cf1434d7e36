"""What any propagation could reach: masks carried by exact flow, beside those carried by the flow that is measured.

    mpvss rooms data/exact --split val --apartments 8 --views 1 --frames 31 --max-stride 1 --ground-truth
    python -m benchmarks.exact_flow data/exact --split val

Exact flow follows each pixel's surface back to the key frame, from the renderer's flow and depth; what the key frame does not
show takes the motion of what is nearest in the image. mIoU in %, and the share of pixels that the key frame does not show.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.data import Clip, open_clips
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.image import FramePadding
from mpvss_model.propagation.optical_flow import DenseFlowPropagator, TrackedFlowPropagator
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.propagation.ways.copy import CopyPropagator
from mpvss_model.runtime.threads import use_threads


class ExactFlowPropagator(DenseFlowPropagator):
    """Propagation with known flow, of one clip, every frame of which must come.

    Args:
        clip_dir: Of the clip in the folder layout, with ``flow`` and ``depth``.
        unseen: Takes, for each propagated frame, the share of pixels that the key frame does not show.
    """

    def __init__(self, clip_dir: Path, unseen: list[float]) -> None:
        super().__init__(stride=1)
        self._flows_px = [np.load(path)["flow_px"] for path in sorted((clip_dir / "flow").glob("*.npz"))]
        self._depths = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((clip_dir / "depth").glob("*.png"))]
        height, width = self._depths[0].shape
        self._pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2)
        self._index = 0
        self._unseen = unseen

    def flow_to_key(self, key_image: np.ndarray, frame: np.ndarray, padding: FramePadding) -> np.ndarray:
        """The known flow from this frame, the next of the clip, to the key frame; as `DenseFlowPropagator.flow_to_key`."""
        if key_image is not self._key_image:
            if self._key_image is not None:
                self._index += 1  # the key frame itself
            self._key_image = key_image
            self._flow_px = np.zeros(self._pixels.shape, np.float32)
            self._seen = np.ones(self._pixels.shape[:2], bool)
        self._step(self._flows_px[self._index], self._depths[self._index])
        self._index += 1
        self._unseen.append(1 - self._seen.mean())
        return self._of_masks(self._padded(self._flow_px, padding))

    def _step(self, flow_px: np.ndarray, depth: np.ndarray) -> None:
        """Go on to the next frame with the flow to it, ``[H, W, 2]``, and this frame's depth ``[H, W]``."""
        height, width = depth.shape
        exact = self._pixels + flow_px
        landed = np.rint(exact).astype(int)
        stays = self._seen & ((landed >= 0) & (landed < (width, height))).all(axis=2)
        farthest_first = np.argsort(depth[stays])[::-1]  # so that near surfaces hide far ones
        target = (landed[..., 1] * width + landed[..., 0])[stays][farthest_first]
        key_position = self._pixels + self._flow_px + (landed - exact)
        known = np.zeros(height * width, np.uint8)
        known[target] = 1
        known = known.reshape(height, width)
        moved = np.zeros((height * width, 2), np.float32)
        moved[target] = (key_position - landed)[stays][farthest_first]
        self._flow_px = _filled(moved.reshape(height, width, 2), known)
        # A surface that comes nearer leaves holes of a pixel.
        self._seen = cv2.morphologyEx(known, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)


def _filled(flow_px: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where ``known``, ``[H, W]``, is 0, the flow ``[H, W, 2]`` of the nearest pixel where it is 1."""
    _, nearest = cv2.distanceTransformWithLabels(1 - known, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    index_of = np.zeros(nearest.max() + 1, int)
    index_of[nearest[known == 1]] = np.flatnonzero(known)
    return flow_px.reshape(-1, 2)[index_of[nearest]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder that mpvss rooms --ground-truth wrote")
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--intervals", nargs="+", type=int, default=[5, 10])
    options = parser.parse_args()
    use_threads(0)
    clips = open_clips(options.root, layout="folder", split=options.split).clips
    model = VideoSegmentor.from_pretrained(options.model)

    def miou(interval: int, propagator_of: Callable[[Clip], Propagator]) -> float:
        total = ConfusionMatrix(len(model.class_names))
        for clip in clips:
            stream = model.new_stream(StreamConfig(max_interval_frames=interval))
            stream.propagator = propagator_of(clip)
            evaluation = ClipEvaluation(stream)
            evaluation.run([clip])
            total.counts += evaluation.confusion.counts
        return 100 * total.miou

    print(f"per frame: mIoU {miou(1, lambda _: CopyPropagator()):.1f}", flush=True)
    for interval in options.intervals:
        unseen: list[float] = []
        known = miou(interval, lambda clip, unseen=unseen: ExactFlowPropagator(options.root / clip.name, unseen))
        tracked = miou(interval, lambda _: TrackedFlowPropagator())
        dense = miou(interval, lambda _: DenseFlowPropagator())
        print(
            f"interval {interval}: mIoU {known:.1f} with exact flow, {tracked:.1f} tracked, {dense:.1f} dense; "
            f"the key frame does not show {100 * np.mean(unseen):.1f} % of a propagated frame",
            flush=True,
        )


if __name__ == "__main__":
    main()
