"""What is learned from what: one module a recipe."""
