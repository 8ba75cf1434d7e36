"""Draw the README's animation from the shipped clip: ``python docs/draw_demo.py [OUT.gif]``.

Camera images on the left, the shipped model's labels on them on the right, as the node's ``overlay`` shows them. Key frames,
on which the segmentor runs, have a yellow border; the labels of all others are propagated.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mpvss_model import StreamConfig, VideoSegmentor  # noqa: E402  (from the sources beside this script)
from mpvss_model.overlay import overlay  # noqa: E402
from mpvss_ros.bags.bag import Bag  # noqa: E402
from mpvss_ros.messages.conversions import rgb_from_message, stamp_ns  # noqa: E402

BAG = ROOT / "mpvss_ros" / "samples" / "rooms"
MODEL = "rooms"
INTERVAL_FRAMES = 5
# What is shown: the first three seconds, in whole intervals between key frames.
FRAMES = 45
# GIF counts in hundredths of a second; the clip has 15 frames in a second.
FRAME_MS = 70
PANEL_SIZE = (240, 180)
OPACITY = 0.55
KEY_FRAME_COLOUR = (255, 214, 0)
BORDER, GAP = 3, 4
COLOURS = 80


def main() -> None:
    """Write the animation."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "demo.gif"
    write_gif(out, list(pictures()))
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def pictures() -> Iterator[np.ndarray]:
    """Camera and labels side by side, uint8 RGB ``[H, W, 3]``, of each frame that is shown."""
    segmentor = VideoSegmentor.from_pretrained(MODEL, config=StreamConfig(max_interval_frames=INTERVAL_FRAMES))
    bag = Bag(BAG)
    messages = itertools.islice(bag.messages(bag.image_topic(None)), FRAMES)
    for message in messages:
        image = rgb_from_message(message)
        result = segmentor.step(image, stamp_ns=stamp_ns(message))
        labelled = panel(overlay(image, result.labels, OPACITY))
        if result.is_key_frame:
            mark(labelled)
        camera = panel(image)
        yield np.hstack([camera, np.full((camera.shape[0], GAP, 3), 255, np.uint8), labelled])


def panel(image: np.ndarray) -> np.ndarray:
    """An image, uint8 RGB, in the size in which it is shown."""
    return cv2.resize(image, PANEL_SIZE, interpolation=cv2.INTER_AREA)


def mark(image: np.ndarray) -> None:
    """Draw the border of a key frame into an image, uint8 RGB ``[H, W, 3]``."""
    for edge in (image[:BORDER], image[-BORDER:], image[:, :BORDER], image[:, -BORDER:]):
        edge[:] = KEY_FRAME_COLOUR


def write_gif(path: Path, frames: list[np.ndarray]) -> None:
    """Write an endless animation; its frames, uint8 RGB ``[H, W, 3]``, share one palette, so that still areas cost nothing."""
    palette = Image.fromarray(np.vstack(frames)).quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    # Dithering would make noise, which neither compresses nor stands still.
    first, *others = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=FRAME_MS, loop=0, optimize=True)


if __name__ == "__main__":
    main()
