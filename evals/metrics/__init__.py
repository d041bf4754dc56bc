"""Metrics: BSS Eval, SDR, word error rate."""
