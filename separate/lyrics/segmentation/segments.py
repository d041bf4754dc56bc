"""Choose the segments of a recording that Whisper transcribes.

They are the sung segments (RMS-VAD), groups of lines (short form), or the whole recording in
Whisper's own windows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from separate.lyrics.result import Dropped
from separate.lyrics.segmentation.grouping import group_lines, merge_lines
from separate.lyrics.segmentation.line_times import read_line_times
from separate.lyrics.segmentation.vad import Span, find_singing
from separate.lyrics.settings import SAMPLE_RATE, LyricsSettings
from separate.lyrics.vocals.prepare import Prepared

_PIECE_SECONDS = 1200.0  # Whisper's own windows take so much at once: its memory grows with length
_PIECE_SEARCH_SECONDS = 60.0  # a piece ends at the quietest moment of its end


def segments_of(
    prepared: Prepared, line_spans: Sequence[Span] | None, settings: LyricsSettings
) -> tuple[list[Span], list[Dropped]]:
    """Cut a recording.

    Args:
        prepared: With vocals, unless Whisper's own windows are asked for.
        line_spans: Of the lines in the recording's time, if they are known.
        settings: How.

    Returns:
        Spans in seconds from the first sample, and lines that are too long.
    """
    signals = prepared.signals
    if line_spans is not None:
        return _short_form(prepared, line_spans, settings)
    if settings.segmentation == "rms-vad" and signals.vocals is not None:
        return find_singing(signals.vocals.rms, signals.vocals.samples, settings.vad), []
    return pieces(signals.mixture.rms, signals.seconds, settings.vad.hop_length), []


def _short_form(
    prepared: Prepared, line_spans: Sequence[Span], settings: LyricsSettings
) -> tuple[list[Span], list[Dropped]]:
    seconds, limits = prepared.signals.seconds, settings.short_form
    local = (
        Span(max(0.0, span.start - prepared.offset), min(seconds, span.end - prepared.offset))
        for span in line_spans
    )
    kept, too_long = merge_lines([span for span in local if span.end > span.start], limits)
    kept = [Span(span.start, min(span.end, seconds)) for span in kept]
    reason = f"a line of more than {limits.max_line:g} s"
    left_out = [Dropped(span.start, span.end, "", reason) for span in too_long]
    return (group_lines(kept, limits) if limits.is_concatenated else kept), left_out


def pieces(rms: np.ndarray, seconds: float, hop_length: int) -> list[Span]:
    """Cut what is very long at quiet moments, so that Whisper's memory stays bounded.

    Args:
        rms: `(frames,)`, of the mixture.
        seconds: Its length.
        hop_length: Samples at 16 kHz between frames.
    """
    found = []
    start = 0.0
    per_second = SAMPLE_RATE / hop_length
    while seconds - start > _PIECE_SECONDS + _PIECE_SEARCH_SECONDS:
        last = start + _PIECE_SECONDS
        first = int((last - _PIECE_SEARCH_SECONDS) * per_second)
        window = rms[first : int(last * per_second)]
        cut = (first + int(np.argmin(window))) / per_second
        found.append(Span(start, cut))
        start = cut
    return [*found, Span(start, seconds)]


def line_spans_of(
    line_times: str | Path | Sequence[Span] | None, settings: LyricsSettings
) -> list[Span] | None:
    """Read line times from a file, or take them as they are."""
    if line_times is None:
        return None
    if isinstance(line_times, str | Path):
        lines = read_line_times(Path(line_times), settings.short_form.open_line)
        return [line.span for line in lines]
    return list(line_times)
