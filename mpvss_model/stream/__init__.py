"""One video stream: when key frames are made, and what answers each frame."""
