"""What a stage of training is shown: frames, pairs and clips, with what cameras do to them."""
