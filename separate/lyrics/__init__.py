"""Lyrics: vocals are separated, cut into singing, and each cut is transcribed by Whisper.

from separate.lyrics import LyricsSettings, transcribe
print(transcribe("song.mp3", LyricsSettings(language="en")).text)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separate.lyrics.output.formats import render
    from separate.lyrics.pipeline import Transcriber, transcribe
    from separate.lyrics.result import Line, Lyrics, Word
    from separate.lyrics.settings import GuardSettings, LyricsSettings, VadSettings

__all__ = [
    "GuardSettings",
    "Line",
    "Lyrics",
    "LyricsSettings",
    "Transcriber",
    "VadSettings",
    "Word",
    "render",
    "transcribe",
]

# Loaded when first asked for: the list of Whisper models is read without torch.
_HOMES = {
    "GuardSettings": "settings",
    "Line": "result",
    "Lyrics": "result",
    "LyricsSettings": "settings",
    "Transcriber": "pipeline",
    "VadSettings": "settings",
    "Word": "result",
    "render": "output.formats",
    "transcribe": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'separate.lyrics' has no attribute {name!r}")
    return getattr(import_module(f"separate.lyrics.{_HOMES[name]}"), name)
