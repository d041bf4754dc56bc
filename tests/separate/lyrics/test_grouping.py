import itertools

import numpy as np

from separate.lyrics.segmentation.grouping import group_lines, merge_lines
from separate.lyrics.segmentation.vad import Span
from separate.lyrics.settings import ShortFormSettings

SETTINGS = ShortFormSettings()


def test_overlapping_lines_are_joined_and_padded() -> None:
    lines = [Span(5, 7), Span(1, 3), Span(2.7, 4), Span(4.9, 5.1), Span(7.3, 9)]
    kept, too_long = merge_lines(lines, SETTINGS)
    assert too_long == []
    # 1-3 and 2.7-4 overlap by 0.3 s; 4.9-5.1 and 5-7 only by 0.1 s
    assert [(s.start, s.end) for s in kept] == [(0.5, 4.5), (4.4, 5.1), (5, 7.2), (7.1, 9.5)]


def test_pads_keep_away_from_neighbours() -> None:
    kept, _ = merge_lines([Span(0, 1), Span(1.05, 2)], SETTINGS)
    assert (kept[0].start, kept[0].end) == (0, 1)
    assert kept[1].start == 1.05


def test_long_lines_are_told() -> None:
    kept, too_long = merge_lines([Span(0, 40), Span(50, 52), Span(60, 60)], SETTINGS)
    assert [round(s.start, 1) for s in kept] == [49.5, 59.5] and len(too_long) == 1


def shortest(groups: list[Span]) -> float:
    return min(group.seconds for group in groups)


def test_groups_are_the_best_there_are() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        count = int(rng.integers(1, 9))
        edges = np.cumsum(rng.uniform(0.5, 6, 2 * count))
        lines = [Span(*edges[2 * i : 2 * i + 2].tolist()) for i in range(count)]
        groups = group_lines(lines, SETTINGS)
        best = 0.0
        for cuts in itertools.product([False, True], repeat=count - 1):
            ends = [i + 1 for i, cut in enumerate(cuts) if cut] + [count]
            begins = [0, *ends[:-1]]
            pieces = [
                Span(lines[a].start, lines[b - 1].end) for a, b in zip(begins, ends, strict=True)
            ]
            if all(piece.seconds <= 30 for piece in pieces):
                best = max(best, shortest(pieces))
        assert shortest(groups) == best
        assert all(group.seconds <= 30 for group in groups)
        assert groups[0].start == lines[0].start and groups[-1].end == lines[-1].end


def test_gaps_part_groups() -> None:
    assert group_lines([Span(0, 2), Span(3, 5), Span(12.5, 14)], SETTINGS) == [
        Span(0, 5), Span(12.5, 14),
    ]  # fmt: skip
    assert group_lines([], SETTINGS) == []
