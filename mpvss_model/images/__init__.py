"""Camera images as they arrive, encoded or with 16 bits."""
