"""Benchmarks of speed, memory and start time."""
