"""Presence: what is not there gets a low likelihood, in constant memory and few passes."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from separate.errors import QueryError
from separate.queries.encoders import load_encoder
from separate.queries.presence import Clues, PresenceMeter, judged_as, rule
from separate.queries.query import parse_query

RATE = 1_000  # Hz
WINDOW = 12 * RATE


class Ears:
    """The shipped words, and ears that hear a source by the number that its samples repeat."""

    name = "ears"
    sounds = ("drums", "vocals", "saxophone")

    def __init__(self):
        self._words = load_encoder()
        self.dim = self._words.dim
        self.heard = []

    def embed_text(self, phrases):
        return self._words.embed_text(phrases)

    def embed_audio(self, waveform, sample_rate):
        self.heard.append(waveform.shape)
        row = round(float(waveform.abs().max()) * 10) % 10 - 1
        return self._words.embed_text([self.sounds[row]])

    def hear(self, waveform, sample_rate):
        vectors = self.embed_audio(waveform, sample_rate)
        classes = self._words.embed_text(["drum", "singing", "saxophone"])
        near = (vectors @ classes.T).amax().expand(1, 527)
        return vectors, near.clamp(0.01, 0.99)


class Deaf(Ears):
    """An encoder that knows text only."""

    def hear(self, waveform, sample_rate):
        raise QueryError("this query net knows text only")

    embed_audio = hear


def window(number, share=1.0):
    """A stereo window of the source of that number in `Ears.sounds` (1, 2, 3)."""
    result = np.zeros((2, WINDOW), np.float32)
    result[:, : int(share * WINDOW)] = number / 10
    return result


def meter(encoder, *queries):
    return PresenceMeter(encoder, [parse_query(query) for query in queries], RATE)


def test_estimate_that_sounds_like_its_query_is_likelier_than_one_that_does_not():
    probe = meter(Ears(), "drums", "saxophone")
    mixture, drums, leak = window(1), window(1), window(1, share=0.05)
    probe.update(mixture, np.stack([drums, leak, mixture]))
    present, absent = probe.result()
    assert present > 0.5 > absent
    clues = probe.clues()
    assert clues[0].similarity == pytest.approx(1.0, abs=1e-4)
    assert clues[0].lead > 0 > clues[1].lead
    assert clues[1].energy_db == pytest.approx(10 * np.log10(0.05), abs=0.1)


def test_silence_is_nothing_and_is_not_listened_to():
    encoder = Ears()
    probe = meter(encoder, "drums", "vocals")
    silence = np.zeros((3, 2, WINDOW), np.float32)
    probe.update(silence[0], silence)
    assert probe.result() == [0.0, 0.0]
    probe.update(window(2), np.stack([silence[0], window(2), window(2)]))
    assert probe.result()[0] == 0.0
    assert probe.result()[1] > 0.5
    assert len(encoder.heard) == 3  # two windows of vocals, and one of the mixture


def test_only_the_loudest_windows_are_kept_and_heard_once():
    encoder = Ears()
    probe = meter(encoder, "drums")
    for share in (0.1, 0.5, 0.2, 0.9, 0.3, 0.8):
        probe.update(window(1), np.stack([window(1, share), window(1)]))
    assert len(probe.result()) == 1
    assert probe.result() == probe.result()
    assert encoder.heard == [(1, 10 * RATE)] * 3
    kept = sorted(round(kept.energy / 0.01 / WINDOW, 1) for kept in probe._collected[0].loudest)
    assert kept == [0.8, 0.9]


def test_energy_decides_where_the_encoder_cannot_hear():
    probe = meter(Deaf(), "drums", "saxophone")
    leak = window(1) * 0.01
    probe.update(window(1), np.stack([window(1), leak, window(1)]))
    present, absent = probe.result()
    assert present > 0.9
    assert absent < 0.1


def test_mono_and_more_channels_than_estimates():
    for channels in (1, 6):
        probe = meter(Ears(), "drums")
        mixture = np.repeat(window(1)[:1], channels, axis=0)
        probe.update(mixture, np.stack([window(1)[:channels], window(1)[:channels]]))
        assert probe.clues()[0].energy_db == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("phrase", "broader", "judged"),
    [
        ("female singer", "vocals", "vocals"), ("speech", "vocals", "speech"),
        ("snare drum", None, "drums"), ("cowbell", None, "cowbell"), ("guitar", None, "guitar"),
    ],
)  # fmt: skip
def test_estimates_that_are_a_broader_source_are_judged_as_it(phrase, broader, judged):
    query = judged_as(load_encoder(), parse_query(phrase), broader)
    assert query.text == (judged,)


def test_rule_is_complete_and_asks_for_likeness():
    assert list(rule()["weights"]) == [field.name for field in fields(Clues)]
    assert all(np.isfinite(value) for value in rule()["weights"].values())
    assert torch.isfinite(torch.tensor(rule()["bias"]))
    assert rule()["weights"]["similarity"] + rule()["weights"]["lead"] > 0
