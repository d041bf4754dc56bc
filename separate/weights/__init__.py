"""Weights on this machine: their folder, downloads, and the catalogue of published weights."""
