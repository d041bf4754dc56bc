"""Real weights and real songs for the tests of lyrics."""

from pathlib import Path

import numpy as np
import pytest

from separate.audio import AudioReader, write_audio
from separate.errors import WeightsError
from separate.lyrics.result import Line, Lyrics, Word
from separate.lyrics.segmentation.vad import Span
from separate.weights.store import fetch

SUNG = "where did we go when was the moment that we broke in two i think i know in fact i am sure"


def tiny_en() -> Path:
    """Whisper's smallest model, from the cache or fetched once."""
    try:
        return fetch("whisper-tiny.en")
    except WeightsError as error:
        pytest.skip(f"Whisper tiny.en is neither in the cache nor can be fetched: {error}")


def clip_of(
    path: Path, target: Path, start: float, end: float, lead: float = 0.0, gain: float = 1.0
) -> Path:
    """Write a stretch of a recording, after some seconds of silence."""
    with AudioReader(path, start_seconds=start, end_seconds=end) as reader:
        audio = np.concatenate(list(reader.blocks(65_536)), axis=1) * np.float32(gain)
        rate = reader.info.sample_rate
    target.parent.mkdir(parents=True, exist_ok=True)
    write_audio(target, np.pad(audio, ((0, 0), (round(lead * rate), 0))), rate)
    return target


def example() -> Lyrics:
    """Two lines with everything that formats must cope with."""
    first = (Word(61.0, 61.5, "Wörds", 0.9), Word(61.75, 62.255, "{&}", 0.8))
    second = (Word(3725.0, 3725.4, "a-->b", 0.9), Word(3725.4, 3726.0, "<end>", 0.9))
    lines = (
        Line(60.9, 62.255, "Wörds {&}", first, segment=0),
        Line(3725.0, 3726.0, "a-->b <end>", second, segment=1),
    )
    return Lyrics(
        lines=lines,
        dropped=(),
        language="en",
        whisper="tiny.en",
        whisper_sha256="0" * 64,
        model="default",
        audio="mixture",
        segmentation="rms-vad",
        segments=(Span(60.0, 70.0), Span(3720.0, 3730.0)),
        presence=0.9,
        vocals_db=-5.0,
        duration=4000.0,
    )


def words_of(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c in " '" else " " for c in text.lower()).split()


def shared_words(text: str, reference: str = SUNG) -> float:
    """Which part of the reference's words a text has, in order."""
    import difflib

    blocks = difflib.SequenceMatcher(None, words_of(reference), words_of(text), autojunk=False)
    return sum(block.size for block in blocks.get_matching_blocks()) / len(words_of(reference))
