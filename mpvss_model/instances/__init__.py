"""Single things rather than classes: masks of things and stuff in one image, and ids that live on from key frame to key frame."""
