"""Recordings without stems as training data: windows with what surely sounds and what does not."""
