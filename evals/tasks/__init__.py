"""Evaluations: a data set, a method and a metric, song by song."""
