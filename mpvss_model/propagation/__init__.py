"""Ways to carry the masks of a key frame to another frame."""
