"""The README's animation is what its script writes."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))
draw_demo = import_module("draw_demo")


def frames_of(path):
    """Frames of an animation, uint8 RGB ``[N, H, W, 3]``, and the milliseconds for which each is shown."""
    with Image.open(path) as animation:
        shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(animation)]
        assert animation.info["loop"] == 0
    return np.stack([pixels for pixels, _ in shown]), {duration for _, duration in shown}


def test_an_animation_has_the_frames_that_were_written(tmp_path):
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
    pictures = [np.broadcast_to(colour, (32, 48, 3)).copy() for colour in colours]
    draw_demo.mark(pictures[0])
    draw_demo.write_gif(tmp_path / "a.gif", pictures)
    frames, durations = frames_of(tmp_path / "a.gif")
    assert durations == {draw_demo.FRAME_MS}
    np.testing.assert_allclose(frames.astype(int), np.stack(pictures), atol=8)


def test_the_readme_s_animation_is_small_and_marks_each_key_frame():
    path = DOCS / "demo.gif"
    frames, durations = frames_of(path)
    width, height = draw_demo.PANEL_SIZE
    assert frames.shape == (draw_demo.FRAMES, height, 2 * width + draw_demo.GAP, 3) and durations == {draw_demo.FRAME_MS}
    assert path.stat().st_size <= 1.5e6
    edges = frames[:, : draw_demo.BORDER, -width:].astype(int)
    marked = np.abs(edges - draw_demo.KEY_FRAME_COLOUR).max(axis=(1, 2, 3)) < 100
    assert np.flatnonzero(marked).tolist() == list(range(0, draw_demo.FRAMES, draw_demo.INTERVAL_FRAMES))
