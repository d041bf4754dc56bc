"""Lyrics as files."""
