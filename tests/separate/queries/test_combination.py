"""What comes out for sums of sources and for all that is not a source, by gains of true stems."""

from pathlib import Path

import numpy as np
import pytest
from quality import example

from separate import Separator, Settings, read_audio
from separate.audio import resample
from separate.queries.combination import Combination
from separate.queries.presence import NOT_FOUND
from separate.queries.query import parse_query

SECONDS = 8.0
CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"


@pytest.fixture(scope="module")
def gains() -> dict[str, dict[str, float]]:
    """How much of each true stem is in the result of each phrase."""
    mixture, stems = example(SECONDS)
    phrases = [
        "vocals", "no vocals", "karaoke", "bass and drums", "everything except drums", "music",
        "song", "Gesang", "rhythm section", "vocals and speech", "drumless",
    ]  # fmt: skip
    result = Separator(Settings(threads=1)).separate(mixture, 44_100, phrases)
    columns = np.stack([stem.ravel() for stem in stems.values()]).T[::5]
    found = {}
    for phrase, estimate in result.estimates.items():
        weights = np.linalg.lstsq(columns, estimate.numpy().ravel()[::5], rcond=None)[0]
        found[phrase] = dict(zip(stems, weights.tolist(), strict=True))
    return found


@pytest.mark.parametrize(
    ("phrase", "inside", "outside"),
    [
        ("vocals", ["vocals"], ["drums", "bass", "other"]),
        ("Gesang", ["vocals"], ["drums", "bass", "other"]),
        ("vocals and speech", ["vocals"], ["drums", "bass", "other"]),
        ("no vocals", ["drums", "bass", "other"], ["vocals"]),
        ("karaoke", ["drums", "bass", "other"], ["vocals"]),
        ("bass and drums", ["drums", "bass"], ["vocals"]),
        ("rhythm section", ["drums", "bass"], ["vocals"]),
        ("everything except drums", ["vocals", "bass", "other"], ["drums"]),
        ("drumless", ["vocals", "bass", "other"], ["drums"]),
        ("music", ["vocals", "drums", "bass", "other"], []),
        ("song", ["vocals", "drums", "bass", "other"], []),
    ],
)
def test_phrases_get_the_stems_they_name(gains, phrase, inside, outside) -> None:
    assert all(0.7 < gains[phrase][stem] < 1.1 for stem in inside), gains[phrase]
    assert all(abs(gains[phrase][stem]) < 0.6 for stem in outside), gains[phrase]  # drums leak


def test_estimates_of_sums_and_rests() -> None:
    queries = [parse_query(text) for text in ("drums", "no drums", "drums and bass", "everything")]
    combination = Combination(queries)
    assert [source.name for source in combination.sources] == ["drums", "bass"]
    assert combination.sums == ((0, 1),) and not combination.is_plain
    mixture = np.full((1, 3), 10, np.float32)
    outputs = np.array([[[1, 2, 3]], [[4, 4, 4]], [[5, 5, 5]]], np.float32)  # the sum is limited
    estimates = combination.estimates(mixture, outputs)
    assert estimates[:, 0].tolist() == [[1, 2, 3], [9, 8, 7], [5, 5, 5], [10, 10, 10]]
    assert combination.residual(outputs, mixture).tolist() == [[0, 0, 0]]
    assert combination.presence([0.2, 0.7]) == [0.2, 0.2, 0.7, 1.0]


def test_broader_answers_keep_the_querys_grammar() -> None:
    asked = ["female singer", "no female singer", "female singer and drums", "drums"]
    queries = [parse_query(text) for text in asked]
    broader = {queries[0]: "vocals"}
    assert [query.answered_as(broader) for query in queries] == [
        "vocals", "everything but vocals", "vocals and drums", None,
    ]  # fmt: skip


def test_an_absent_source_is_softer_and_the_residual_has_it() -> None:
    mixture, _ = example(SECONDS)
    found, kept = (
        Separator(Settings(threads=1, keep_absent=keeps)).separate(mixture, 44_100, ["helicopter"])
        for keeps in (False, True)
    )
    assert found.presence["helicopter"] < NOT_FOUND
    soft, loud = found.estimates["helicopter"], kept.estimates["helicopter"]
    np.testing.assert_allclose(soft, 10**-1.5 * loud, atol=1e-6)
    np.testing.assert_allclose(found.residual + soft, mixture, atol=1e-5)


def test_what_is_absent_is_never_what_is_left_of_something() -> None:
    queries = [parse_query(text) for text in ("drums", "no drums", "drums and bass")]
    assert Combination(queries).absent([0.01, 0.01, 0.01]) == [0, 2]
    assert Combination(queries).absent([0.5, 0.01, 0.2]) == []


def test_broader_answers_are_part_of_the_result() -> None:
    result = Separator(Settings(threads=1)).separate(
        np.zeros((2, 44_100), np.float32), 44_100, ["female singer", "no rapper", "drums"]
    )
    assert result.answered_as == {"female singer": "vocals", "no rapper": "everything but vocals"}


def test_what_rests_leave_is_the_residual() -> None:
    combination = Combination([parse_query("no vocals or bass"), parse_query("vocals")])
    outputs = np.array([[[1.0]], [[2.0]], [[2.5]]], np.float32)
    assert combination.residual(outputs, np.zeros((1, 1), np.float32)).tolist() == [[2.0]]
    alone = Combination([parse_query("no vocals or bass")])
    assert alone.residual(outputs, np.zeros((1, 1), np.float32)).tolist() == [[2.5]]
    plain = Combination([parse_query("drums")])
    assert plain.is_plain
    assert plain.residual(outputs, np.full((1, 1), 7, np.float32)).tolist() == [[7.0]]


@pytest.mark.skipif(not CLIPS.is_dir(), reason="needs the labelled clips of the research data")
def test_no_source_that_sounds_ends_empty_when_the_mixture_is_shared_out() -> None:
    sources = {"speech": "speech", "dog barking": "dog_bark", "rain": "rain"}
    sounds = {}
    for phrase, label in sources.items():
        audio, rate = read_audio(sorted((CLIPS / label).iterdir())[1])
        mono = resample(audio.mean(0, keepdims=True), rate, 44_100)[:, : 4 * 44_100]
        mono = np.pad(mono, ((0, 0), (0, 4 * 44_100 - mono.shape[1])))
        sounds[phrase] = 0.05 * mono / np.sqrt(np.square(mono).mean())
    mixture = np.sum(list(sounds.values()), axis=0)
    separator = Separator(Settings(threads=1, sum_to_mixture=True))
    for order in (list(sources), list(sources)[::-1]):
        found = separator.separate(mixture, 44_100, order).estimates
        for phrase, truth in sounds.items():
            gain = float((found[phrase].numpy() * truth).sum() / np.square(truth).sum())
            assert gain > 0.15, (phrase, order)
