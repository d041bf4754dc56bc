"""Training: recipes over one loop, on the fly from folders of cached audio."""
