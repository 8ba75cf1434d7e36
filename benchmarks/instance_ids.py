"""How often things change their ids, against key frames that know nothing of each other.

    mpvss rooms data/held-out --split test-a --seed 19 --apartments 12 --views 1 --frames 30 --max-stride 1 --ground-truth
    python -m benchmarks.instance_ids data/held-out --model runs/rooms-lite-panoptic
    python -m benchmarks.instance_ids data/held-out --things door,window,seat,table,bed,storage,plant,person,other

Without a model, key frames have the masks of the ground truth, in random order: what is left are the errors of propagation and
of matching. Ids of a key frame that knows nothing of others are 1, 2, 3 and so on in the order of the network's queries, as
``transformers`` numbers segments; or new ones at each key frame.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model import Segmentation, StreamConfig, VideoSegmentor
from mpvss_model.data import Frame, in_classes_of, open_clips
from mpvss_model.evaluation.panoptic.id_switches import IdSwitches
from mpvss_model.evaluation.panoptic.overlaps import Overlaps
from mpvss_model.evaluation.panoptic.panoptic_evaluation import PanopticEvaluation, true_segments
from mpvss_model.image import FramePadding
from mpvss_model.instances.panoptic import MAX_INSTANCE_ID
from mpvss_model.instances.thing_classes import thing_classes
from mpvss_model.propagation.registry import make_propagator, propagation_choices
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.key_frame import KeyFrame

QUERIES = 64
WAYS = ("followed", "in order", "new")


class TrueMasksSegmentor(BaseSegmentor):
    """Finds the segments of the ground truth, in random order.

    Attributes:
        truth: Segments of the frame at hand, int32 ``[H, W]``, ``class << 16 | instance``.
    """

    name = "ground truth"

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.truth = np.empty((0, 0), np.int32)

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """The largest segments of `truth`, one for each query."""
        padding = FramePadding(*frame.shape[:2])
        segments, areas = np.unique(self.truth, return_counts=True)
        segments = segments[np.argsort(-areas)][:QUERIES]
        segments = segments[segments >> 16 < len(self.class_names)]
        order = np.random.default_rng(round(stamp_s * 1000)).permutation(QUERIES)[: len(segments)]
        class_logits = torch.full((QUERIES, len(self.class_names) + 1), -9.0)
        class_logits[:, -1] = 0.0
        mask_logits = torch.full((QUERIES, *(side // 4 for side in padding.padded_size)), -20.0)
        for query, segment in zip(order.tolist(), segments.tolist(), strict=True):
            pixels = padding.pad(torch.from_numpy(self.truth == segment)[None, None].float())
            mask_logits[query] = F.avg_pool2d(pixels, 4)[0, 0] * 40 - 20
            class_logits[query, segment >> 16] = 9.0
        return KeyFrame(frame, stamp_s, padding, mask_logits, class_logits, queries=torch.zeros(QUERIES, 4))


class Renumbering:
    """Ids as they would be if key frames knew nothing of each other.

    Args:
        anew: Whether no key frame has an id of another; else each begins with 1.
    """

    def __init__(self, *, anew: bool) -> None:
        self._anew = anew
        self._last_id = 0
        self._ids: dict[int, int] = {}
        self._key_stamp_ns: int | None = None

    def __call__(self, found: Segmentation) -> np.ndarray:
        """Segments of a frame, as `Panoptic.encoded`."""
        if found.key_stamp_ns != self._key_stamp_ns:
            self._key_stamp_ns, self._ids = found.key_stamp_ns, {}
            self._last_id = self._last_id if self._anew else 0
        panoptic = found.panoptic()
        for thing in panoptic.things:
            if thing.instance_id not in self._ids:
                self._last_id += 1
                self._ids[thing.instance_id] = self._last_id
        table = np.zeros(MAX_INSTANCE_ID + 1, np.int32)
        table[list(self._ids)] = list(self._ids.values())
        return panoptic.encoded & ~MAX_INSTANCE_ID | table[panoptic.instances]


def main() -> None:
    """Print id switches as JSON, a line for each way to give ids."""
    options = parsed_arguments()
    clips = open_clips(options.folder)
    config = StreamConfig(max_interval_frames=options.interval, max_lost_s=options.max_lost_s)
    names = tuple(options.things.split(",")) if options.things else ()
    video, true_masks = _video(options, config, names, clips.class_names)
    clips = in_classes_of(clips, video.class_names, video.segmentor.name)
    counted = {way: IdSwitches() for way in WAYS}
    evaluation = PanopticEvaluation(len(video.class_names), video.things)
    for clip in clips.clips:
        video.reset()
        numbers = {"in order": Renumbering(anew=False), "new": Renumbering(anew=True)}
        for measured in (*counted.values(), evaluation):
            measured.start_video()
        for frame, label, instances in _labelled(clip.frames):
            truth = true_segments(label, instances, video.things)
            if true_masks is not None:
                true_masks.truth = truth
            found = video.step(frame.read_image(), stamp_ns=frame.stamp_ns)
            for way, switches in counted.items():
                encoded = numbers[way](found) if way in numbers else found.panoptic().encoded
                switches.update(Overlaps.of_frame(encoded, truth))
            evaluation.update(found.panoptic(), label, instances)
    for way, switches in counted.items():
        per_track = switches.switches / max(1, switches.tracks)
        print(json.dumps({"ids": way, "switches": switches.switches, "tracks": switches.tracks, "per track": per_track}))
    print(json.dumps({"pq": evaluation.figures().pq, "vpq": evaluation.figures().vpq, "found": counted["followed"].found}))


def _video(
    options: argparse.Namespace, config: StreamConfig, names: tuple[str, ...], class_names: tuple[str, ...]
) -> tuple[VideoSegmentor, TrueMasksSegmentor | None]:
    """The model's stream, or one on the ground truth's masks, and those."""
    if options.model:
        video = VideoSegmentor.from_pretrained(
            options.model, propagation=options.propagation, config=config, thing_classes=names
        )
        return video, None
    segmentor = TrueMasksSegmentor(class_names)
    propagation = "tracked" if options.propagation == "auto" else options.propagation
    video = VideoSegmentor(
        segmentor=segmentor,
        propagator=make_propagator(propagation, motion=None),
        config=replace(config, inference_size=0),
        things=thing_classes(class_names, names),
    )
    return video, segmentor


def _labelled(frames: object) -> Iterator[tuple[Frame, np.ndarray, np.ndarray]]:
    for frame in frames:
        if frame.read_label is not None and frame.read_instances is not None:
            yield frame, frame.read_label(), frame.read_instances()


def parsed_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="clips with labels and instances")
    parser.add_argument("--model", default="", help="its name, directory or hub id; by default the ground truth's masks")
    parser.add_argument("--things", default="", help="names of the classes of things, separated by commas")
    parser.add_argument("--propagation", default="auto", choices=propagation_choices())
    parser.add_argument("--interval", type=int, default=5, help="a key frame every so many frames")
    parser.add_argument("--max-lost-s", type=float, default=StreamConfig.max_lost_s, help="see StreamConfig")
    return parser.parse_args()


if __name__ == "__main__":
    main()
