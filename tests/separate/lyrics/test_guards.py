import pytest

from separate.lyrics.recognition.guards import guard
from separate.lyrics.result import Line, Word
from separate.lyrics.settings import GuardSettings

SETTINGS = GuardSettings()


def line(text: str, start: float = 0.0, seconds: float = 4.0, **stats: float) -> Line:
    usual = {"no_speech_prob": 0.1, "avg_logprob": -0.3, "compression_ratio": 1.2}
    return Line(start, start + seconds, text, **{**usual, **stats})  # type: ignore[arg-type]


def loud(start: float, end: float) -> float:
    return 0.5


def test_sung_lines_stay_as_they_are() -> None:
    lines = [line("one two three"), line("oh oh oh oh oh oh", 5), line("oh oh oh oh oh oh", 10)]
    assert guard(lines, loud, SETTINGS) == (lines, [])
    assert guard(lines, None, SETTINGS) == (lines, [])
    assert guard([], loud, SETTINGS) == ([], [])


def test_each_drop_has_its_reason() -> None:
    lines = [
        line("Thank you.", no_speech_prob=0.9, avg_logprob=-1.5),
        line("past the end", 5, 0.0),
        line("a b c d e f g h i j", 6, 0.5),
        line("kept", 10),
    ]
    kept, dropped = guard(lines, loud, SETTINGS)
    assert [item.text for item in kept] == ["kept"]
    assert [piece.reason.split(" (")[0] for piece in dropped] == [
        "no speech", "outside of what was heard", "too fast to be sung",
    ]  # fmt: skip


def test_lines_and_words_over_silent_vocals_go() -> None:
    def level(start: float, end: float) -> float:
        return 0.3 if end <= 11 else 0.001

    words = (Word(10, 10.5, "sung", 0.9), Word(11, 12, "not", 0.9), Word(12, 13, "this", 0.9))
    timed = Line(10, 13, "sung not this", words)
    kept, dropped = guard([timed, line("nothing here", 20)], level, SETTINGS)
    assert [(item.text, item.end) for item in kept] == [("sung", 10.5)]
    assert [piece.text for piece in dropped] == ["not this", "nothing here"]
    assert all("silent" in piece.reason for piece in dropped)


def test_loops_are_cut_but_only_in_repetitive_windows() -> None:
    looped = " ".join(["la di da"] * 40)
    kept, dropped = guard([line(looped, seconds=29)], loud, SETTINGS)
    assert kept[0].text == looped and dropped == []
    loop = line(looped, seconds=29, compression_ratio=3.0)
    kept, (piece,) = guard([loop], loud, SETTINGS)
    assert kept[0].text.split() == ["la", "di", "da"] * SETTINGS.repeats
    assert len(piece.text.split()) == 3 * (40 - SETTINGS.repeats) and "repeated" in piece.reason
    mixed = line(f"at first {looped}", seconds=29, compression_ratio=9.0)
    kept, (piece,) = guard([mixed], loud, SETTINGS)
    assert [item.text for item in kept] == ["at first"] and len(piece.text.split()) == 120


@pytest.mark.parametrize(("ratio", "left"), [(2.0, 12), (3.0, SETTINGS.repeats), (5.0, 0)])
def test_repeated_lines_of_one_window(ratio: float, left: int) -> None:
    lines = [
        line("I'm not a bad guy.", 2.0 * n, 2.0, compression_ratio=ratio, segment=n // 12)
        for n in range(13)
    ]
    kept, dropped = guard(lines, loud, SETTINGS)
    assert len(kept) == left + 1 and len(dropped) == 12 - left
    assert kept[-1].segment == 1  # of another segment
    assert all("12 equal lines" in piece.reason for piece in dropped)
