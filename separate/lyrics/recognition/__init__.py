"""Whisper and what checks its words."""
