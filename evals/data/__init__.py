"""Data sets: readers of songs with stems and songs with lyrics."""
