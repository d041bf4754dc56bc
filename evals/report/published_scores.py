"""Scores that others publish, each with its metric and source.

None of them was measured here; the metrics differ from line to line and from ours.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The published scores of one system."""

    system: str
    scores: str  # dB; V vocals, D drums, B bass, O other
    metric: str
    source: str


_SISEC = "median of frames, median of tracks, MUSDB18 test"
_SDRI = "SDR improvement"

PUBLISHED = (
    Published("Open-Unmix umxl", "V 7.21 D 7.15 B 6.02 O 4.89", _SISEC, "Open-Unmix README"),
    Published("Open-Unmix umxhq", "V 6.25 D 6.04 B 5.07 O 4.28", _SISEC, "Open-Unmix README"),
    Published("Spleeter", "mean 5.9", "SDR, MUSDB18-HQ test", "Demucs README"),
    Published("Demucs v3", "mean 7.7", "SDR, MUSDB18-HQ test", "Demucs README"),
    Published("HTDemucs ft", "mean 9.0", "SDR, MUSDB18-HQ test", "Demucs README"),
    Published("BS-RoFormer", "mean 9.80", "SDR, MUSDB18-HQ test, no extra data", "its paper"),
    Published("SCNet Large", "mean 9.70", "whole-song SDR, MUSDB18 test", "MSST's list of models"),
    Published("AudioSep", "MUSIC 10.51, ESC-50 10.04, AudioSet 7.74", _SDRI, "AudioSep README"),
    Published("USS", "MUSDB18 8.12, AudioSet 5.57", _SDRI, "its paper's abstract"),
)
