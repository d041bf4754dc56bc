"""The data engine: renders songs with labelled stems, and turns audio folders into a cache.

In: folders of samples, MIDI performances, songs, or clips. Out: 16-bit arrays that training maps
into memory (`store` has the layout).
"""
