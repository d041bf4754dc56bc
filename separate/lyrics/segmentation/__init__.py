"""Which stretches of a recording Whisper takes at once."""
