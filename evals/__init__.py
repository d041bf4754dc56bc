"""Scores and benchmarks: data set readers, metrics, oracles, side-by-side timings, tables."""
