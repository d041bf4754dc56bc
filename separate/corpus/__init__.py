"""Training corpora: rendered songs with labelled stems, and caches of folders of audio.

All are stored as 16-bit arrays that training maps into memory (`sources/store.py` has the layout).
"""
