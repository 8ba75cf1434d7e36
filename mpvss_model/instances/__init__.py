"""Single things rather than classes: segments of one image, and ids that live on from key frame to key frame."""
