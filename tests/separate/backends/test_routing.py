"""Which model answers a query, and what becomes of the answers: with models made in the test."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from separate.backends.base import Sums
from separate.backends.cascade import CascadeModel, Route, route_query, shared_out
from separate.errors import SettingsError
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder
from separate.queries.query import Query, parse_query
from separate.settings import Settings
from separate.stream import Segmentation

RATE = 44_100
STEMS = ("drums", "bass", "other", "vocals")


class Stems:
    """Each stem is the mixture times its own factor."""

    name, sha256, stems, sample_rate, hop_samples = "stems", "5a" * 32, STEMS, RATE, 1024

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def segmentation(self, settings: Settings) -> Segmentation:
        return Segmentation(1000, 10)

    def prepare(self, queries: list[Query]) -> list[int]:
        self.asked.append([query.name for query in queries])
        return [self.stems.index(query.name) for query in queries]

    def separate(self, stereo: Tensor, prepared: list[int], sums: Sums = ()) -> Tensor:
        stems = torch.stack([stereo * 10.0 ** (1 + at) for at in prepared])
        return torch.cat([stems, stems.sum(0, keepdim=True)])


class Queries:
    """Each query is what it is taken from times its number, from 2 on; the claim times 50."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def prepare(self, queries: list[Query]) -> int:
        self.asked.append([query.name for query in queries])
        return len(queries)

    def answered_as(self, prepared: int) -> list[str | None]:
        return [f"broad {name}" if name == "snare" else None for name in self.asked[-1]]

    def separate(self, stereo: Tensor, prepared: int, sums: Sums = ()) -> Tensor:
        return torch.stack([stereo * factor for factor in (*range(2, 2 + prepared), 50)])


def stereo() -> Tensor:
    return torch.ones(2, 8)


def separated(*texts: str, **settings: object) -> tuple[list[float], CascadeModel, list[Queries]]:
    """Return the factor of each output, and what answered."""
    opened: list[Queries] = []

    def open_query_model() -> Queries:
        opened.append(Queries())
        return opened[-1]

    model = CascadeModel(Stems(), Settings(**settings), open_query_model)
    plan = model.prepare([parse_query(text) for text in texts])
    found = model.separate(stereo(), plan)
    assert found.shape == (len(texts) + 1, 2, 8)
    return found[:, 0, 0].tolist(), model, opened


def test_whole_stems_are_claimed_once_each() -> None:
    found, model, opened = separated("vocals", "the drummer", "drums")
    assert found == [10_000, 10, 10, 10_010]
    assert model.source.asked == [["vocals", "drums"]] and not opened


def test_parts_are_taken_from_their_stem_and_the_rest_from_the_mixture() -> None:
    found, model, (queries,) = separated("snare", "vocals", "dog barking", "kick", "rain")
    assert found == [20, 10_000, 2, 30, 3, 500 + 10_000 + 50]
    assert queries.asked == [["snare", "kick"], ["dog barking", "rain"]]
    assert model.source.asked == [["drums", "vocals"]]


def test_without_any_stem_the_stem_model_does_not_run() -> None:
    found, model, _ = separated("dog barking")
    assert found == [2, 50] and model.source.asked == [[]]


def test_a_stem_that_is_asked_for_itself_claims_its_parts_too() -> None:
    assert separated("snare", "drums")[0] == [20, 10, 10]


def test_what_shared_queries_have_too_much_is_divided_by_their_power() -> None:
    found = separated("drums", "bass", "dog barking", sum_to_mixture=True)[0]
    power, excess = [100, 10_000, 4], 10 + 100 + 2 - 1
    expected = [e - excess * p / sum(power) for e, p in zip((10, 100, 2), power, strict=True)]
    assert found == pytest.approx([*expected, 1], abs=1e-3)
    swapped = separated("dog barking", "bass", "drums", sum_to_mixture=True)[0]
    assert swapped == pytest.approx([*expected[::-1], 1], abs=1e-3)
    assert separated("bass", sum_to_mixture=True)[0] == [100, 100]


def test_what_estimates_leave_goes_to_those_that_have_its_frequencies() -> None:
    time = torch.arange(RATE) / RATE
    low, high = (torch.sin(2 * torch.pi * hz * time).repeat(2, 1) for hz in (220, 3520))
    shares = shared_out(low + high, torch.stack([0.7 * low, 0.8 * high]))
    torch.testing.assert_close(shares.sum(0), low + high, atol=1e-5, rtol=0)
    inner = slice(4096, -4096)  # the ends of a tone have all frequencies
    torch.testing.assert_close(shares[0][:, inner], low[:, inner], atol=1e-3, rtol=0)
    torch.testing.assert_close(shares[1][:, inner], high[:, inner], atol=1e-3, rtol=0)
    silent = shared_out(torch.zeros(2, 5_000), torch.zeros(3, 2, 5_000))
    assert silent.abs().max() == 0


def test_the_query_model_is_opened_once_and_must_have_the_same_rate() -> None:
    other = Queries()
    other.sample_rate = 16_000
    model = CascadeModel(Stems(), Settings(), lambda: other)
    with pytest.raises(SettingsError, match="sample rate"):
        model.prepare([parse_query("snare")])
    _, model, opened = separated("snare")
    model.prepare([parse_query("kick")])
    assert len(opened) == 1
    assert (model.sample_rate, model.hop_samples, model.sha256) == (RATE, 1024, "5a" * 32)
    assert model.segmentation(Settings()) == Segmentation(1000, 10)


def test_each_way_is_said() -> None:
    model = CascadeModel(Stems(), Settings(), Queries)
    plan = model.prepare([parse_query(text) for text in ("bass", "snare", "rain")])
    assert model.routes(plan) == {
        "bass": "the stem 'bass' of stems",
        "snare": "from the stem 'drums' of stems, by the query model",
        "rain": "by the query model alone: it fits no stem",
    }


def test_what_the_query_model_answers_broadly_is_said_of_each_query() -> None:
    model = CascadeModel(Stems(), Settings(), Queries)
    plan = model.prepare([parse_query(text) for text in ("bass", "kick", "snare", "drums")])
    assert model.answered_as(plan) == [None, None, "broad snare", None]


TWO = ("vocals", "accompaniment")


@pytest.mark.parametrize(
    ("text", "stems", "way"),
    [
        ("drums", STEMS, Route("drums", True)),
        ("DRUMS", STEMS, Route("drums", True)),
        ("the drummer", STEMS, Route("drums", True)),
        ("snare", STEMS, Route("drums")),
        ("female singer", STEMS, Route("vocals")),
        ("electric guitar", STEMS, Route("other")),
        ("dog barking", STEMS, Route(None)),
        ("income tax", STEMS, Route(None)),
        ("drums", TWO, Route("accompaniment")),
        ("singer", TWO, Route("vocals", True)),
        ("dog barking", TWO, Route(None)),
        ("piano", ("vocals", "piano", "drums", "bass", "other"), Route("piano", True)),
        ("piano", ("vocals", "drums"), Route(None)),
        ("Track 3", ("track 3", "vocals"), Route("track 3", True)),
    ],
)
def test_queries_go_to_the_stem_that_holds_them(text, stems, way) -> None:
    assert route_query(parse_query(text), stems, load_encoder()) == way


def test_what_leaves_something_out_is_never_the_whole_stem() -> None:
    for text in ("vocals", "the singer"):
        query = parse_query(text, exclude=["backing vocals"])
        assert route_query(query, STEMS, load_encoder()) == Route("vocals", False)


class Labels:
    """Every label is a direction of its own."""

    def embed_text(self, phrases: list[str]) -> Tensor:
        names = list(vocabulary.labels())
        return torch.eye(len(names))[[names.index(phrase) for phrase in phrases]]


@pytest.mark.parametrize(
    ("query", "way"),
    [
        (Query("x", ("drums",)), Route("drums", True)),
        (Query("x", ("drums",), unlike=(Path("rain.wav"),)), Route("drums")),
        (Query("x", ("drums",), exclude=("kick",)), Route("drums")),
        (Query("x", ("bass", "drums")), Route("drums", True)),  # the first of the labels
        (Query("x", ("rain",)), Route(None)),
        (Query("x", ("music",)), Route(None)),
        (Query("x", ("silence",)), Route(None)),
        # Of eight labels each has the cosine 0.354, of nine 0.333: that is too far from any.
        (Query("x", ("kick", "snare", "hi-hat", "cymbals", "toms", "shaker", "claps", "cowbell")),
         Route("drums")),
        (Query("x", ("kick", "snare", "hi-hat", "cymbals", "toms", "shaker", "claps", "cowbell",
                     "rain")), Route(None)),
    ],
)  # fmt: skip
def test_a_query_must_be_near_a_label(query: Query, way: Route, monkeypatch) -> None:
    monkeypatch.setattr("separate.queries.query.embed_example", lambda *_: None)
    assert route_query(query, STEMS, Labels()) == way


def test_an_example_beside_the_name_of_a_stem_counts(monkeypatch) -> None:
    rain = Labels().embed_text(["rain"])[0]
    monkeypatch.setattr("separate.queries.query.embed_example", lambda *_: rain)
    query = Query("x", ("drums",), like=(Path("rain.wav"),), text_weight=0.1)
    assert route_query(query, STEMS, Labels()) == Route(None)
