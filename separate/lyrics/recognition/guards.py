"""Guards: drop text that Whisper invents on silence and instrumentals, with a reason each."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from separate.lyrics.result import Dropped, Line, Word
from separate.lyrics.settings import GuardSettings

Level = Callable[[float, float], float]  # (start, end) -> loudest moment of the vocals, 0..1
_LONGEST_PHRASE = 12  # words of a loop within a line
_FEW_WORDS = 4  # whose times are too rough to compute their speed


def guard(
    lines: Sequence[Line], level: Level | None, settings: GuardSettings
) -> tuple[list[Line], list[Dropped]]:
    """Drop what was not sung.

    Args:
        lines: In order.
        level: Of the vocals; None where nothing was separated.
        settings: The limits.

    Returns:
        Lines that are kept, and what was dropped of others.
    """
    kept: list[Line] = []
    dropped: list[Dropped] = []
    for line, (position, length) in zip(lines, _runs(lines), strict=True):
        reason = _reason(line, settings)
        if reason is None and level is not None:
            line, silent = _without_silent(line, level, settings)
            dropped += silent
            if not line.text:
                continue
        if reason is None and line.compression_ratio > settings.compression_ratio:
            if length > settings.repeats and position >= _kept_repeats(line, settings):
                reason = f"one of {length} equal lines in one window"
            else:
                line, loops = _without_loops(line, settings)
                dropped += loops
        if reason is not None:
            dropped.append(Dropped(line.start, line.end, line.text, reason))
        elif line.text:
            kept.append(line)
    return kept, dropped


def _kept_repeats(line: Line, settings: GuardSettings) -> int:
    """How much of a loop stays."""
    return 0 if line.compression_ratio > settings.loop_ratio else settings.repeats


def _runs(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Of each line: its position in a run of equal lines of one segment, and the run's length."""
    keys = [(line.segment, _plain(line.text)) for line in lines]
    result: list[tuple[int, int]] = []
    for _, group in itertools.groupby(keys):
        length = len(list(group))
        result += [(position, length) for position in range(length)]
    return result


def _reason(line: Line, settings: GuardSettings) -> str | None:
    """Why a line by itself is none, or None."""
    if line.end <= line.start:
        return "outside of what was heard"
    if (
        line.no_speech_prob > settings.no_speech_prob
        and line.avg_logprob < settings.no_speech_logprob
    ):
        return f"no speech (probability {line.no_speech_prob:.2f})"
    speed = len(line.text.split()) / (line.end - line.start)
    if speed > settings.words_per_second and len(line.text.split()) >= _FEW_WORDS:
        return f"too fast to be sung ({speed:.0f} words a second)"
    return None


def _without_silent(
    line: Line, level: Level, settings: GuardSettings
) -> tuple[Line, list[Dropped]]:
    """Drop words, or without word times the line, where the vocals are silent."""
    reason = "the vocals are silent there"
    if not line.words:
        if level(line.start, line.end) >= settings.silent_level:
            return line, []
        return replace(line, text=""), [Dropped(line.start, line.end, line.text, reason)]
    sung = [word for word in line.words if level(word.start, word.end) >= settings.silent_level]
    if len(sung) == len(line.words):
        return line, []
    silent = [word for word in line.words if word not in sung]
    dropped = Dropped(silent[0].start, silent[-1].end, _joined(silent), reason)
    if not sung:
        return replace(line, text="", words=()), [dropped]
    return _with_words(line, sung), [dropped]


def _without_loops(line: Line, settings: GuardSettings) -> tuple[Line, list[Dropped]]:
    """Cut a phrase that a line repeats without end."""
    words = line.text.split()
    plain = [_plain(word) for word in words]
    start = 0
    keep = _kept_repeats(line, settings)
    removed: list[tuple[int, int]] = []
    while start < len(words):
        size, count = _loop_at(plain, start)
        if count > settings.repeats:
            removed.append((start + size * keep, start + size * count))
            start += size * count
        else:
            start += 1
    if not removed:
        return line, []
    gone = {index for first, end in removed for index in range(first, end)}
    reason = f"a phrase repeated more than {settings.repeats} times"
    text = " ".join(words[index] for index in sorted(gone))
    kept = [index for index in range(len(words)) if index not in gone]
    if not kept:
        return replace(line, text="", words=()), [Dropped(line.start, line.end, text, reason)]
    if len(line.words) == len(words):
        shorter = _with_words(line, [line.words[index] for index in kept])
        first, last = line.words[min(gone)], line.words[max(gone)]
        return shorter, [Dropped(first.start, last.end, text, reason)]
    shorter = replace(line, text=" ".join(words[index] for index in kept), words=())
    return shorter, [Dropped(line.start, line.end, text, reason)]


def _loop_at(words: Sequence[str], start: int) -> tuple[int, int]:
    """Return size and count of the phrase that is repeated most often from a word on."""
    best = (1, 1)
    for size in range(1, _LONGEST_PHRASE + 1):
        phrase = words[start : start + size]
        count = 1
        while words[start + size * count : start + size * (count + 1)] == phrase and any(phrase):
            count += 1
        if count > best[1]:
            best = (size, count)
    return best


def _with_words(line: Line, words: Sequence[Word]) -> Line:
    return replace(
        line, start=words[0].start, end=words[-1].end, text=_joined(words), words=tuple(words)
    )


def _joined(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _plain(text: str) -> str:
    return re.sub(r"[^\w\s']", "", text.casefold()).strip()
