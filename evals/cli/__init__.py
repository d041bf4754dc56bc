"""The commands of `separate eval` and `separate bench`."""
