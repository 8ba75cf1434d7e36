"""How good, how fast and how dear a model is."""
