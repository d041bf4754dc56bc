"""Training recipes: one module each."""
