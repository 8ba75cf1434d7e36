"""What a checkpoint's image processor does to images, from its files."""
