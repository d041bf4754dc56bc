"""Short form: group the times of lines into segments of at most 30 s.

As in "Exploiting music source separation for automatic lyrics transcription with Whisper", lines
that overlap are joined and padded; then neighbouring lines are concatenated into groups whose
shortest one is as long as possible.
"""

from collections.abc import Sequence

from separate.lyrics.segmentation.vad import Span
from separate.lyrics.settings import ShortFormSettings


def merge_lines(
    lines: Sequence[Span], settings: ShortFormSettings
) -> tuple[list[Span], list[Span]]:
    """Join lines that overlap, and pad them without crossing their neighbours.

    Args:
        lines: In any order.
        settings: The parameters.

    Returns:
        Padded lines in order, and those that were left out as too long.
    """
    joined: list[Span] = []
    for line in sorted(lines, key=lambda span: (span.start, span.end)):
        if joined and joined[-1].end - line.start > settings.merge_overlap:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, line.end))
        else:
            joined.append(line)
    padded = [_padded(joined, index, settings) for index in range(len(joined))]
    kept = [span for span in padded if 0 < span.seconds <= settings.max_line]
    return kept, [span for span in padded if span.seconds > settings.max_line]


def _padded(lines: Sequence[Span], index: int, settings: ShortFormSettings) -> Span:
    line = lines[index]
    start, end = max(0.0, line.start - settings.pad), line.end + settings.pad
    if index > 0:
        start = max(start, min(line.start, lines[index - 1].end + settings.buffer))
    if index + 1 < len(lines):
        end = min(end, max(line.end, lines[index + 1].start - settings.buffer))
    return Span(start, end)


def group_lines(lines: Sequence[Span], settings: ShortFormSettings) -> list[Span]:
    """Concatenate neighbouring lines; none of the groups exceeds `max_group`.

    Args:
        lines: Padded, in order; none longer than `max_group`.
        settings: The parameters.
    """
    groups: list[Span] = []
    run: list[Span] = []
    for line in lines:
        if run and line.start - run[-1].end > settings.max_gap:
            groups += _partition(run, settings.max_group)
            run = []
        run.append(line)
    return groups + (_partition(run, settings.max_group) if run else [])


def _partition(run: Sequence[Span], longest: float) -> list[Span]:
    """Cut a run into groups so that the shortest group is as long as can be.

    best[i] is the (shortest group, fewest groups) of the first i lines, by dynamic programming.
    """
    best: list[tuple[float, int]] = [(float("inf"), 0)]
    came_from = [0]
    for end in range(1, len(run) + 1):
        choices = []
        for start in range(end - 1, -1, -1):
            seconds = run[end - 1].end - run[start].start
            if seconds > longest and start < end - 1:
                break
            shortest, groups = best[start]
            choices.append((min(shortest, seconds), groups - 1, start))
        shortest, groups, start = max(choices)
        best.append((shortest, groups))
        came_from.append(start)
    cuts, end = [], len(run)
    while end > 0:
        cuts.append((came_from[end], end))
        end = came_from[end]
    return [Span(run[start].start, run[end - 1].end) for start, end in reversed(cuts)]
