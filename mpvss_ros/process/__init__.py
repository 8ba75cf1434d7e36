"""How this package's programs start, start each other, and end."""
