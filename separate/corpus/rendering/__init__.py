"""Songs rendered with their stems: effects, mixdown, the bundled example."""
