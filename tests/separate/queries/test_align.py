"""Alignment: another space's queries keep their meaning, or are refused."""

import numpy as np
import pytest
import torch

from separate import Separator, Settings
from separate.errors import QueryError
from separate.queries.align import AlignedEncoder, aligned, fit_alignment, phrases
from separate.queries.encoders import encoder_for, load_encoder


class Turned:
    """The embedded encoder in another space: its vectors turned, bent and padded to 200 numbers."""

    name, dim = "turned", 200

    def __init__(self, noise: float = 0.0):
        self._encoder = load_encoder()
        generator = torch.Generator().manual_seed(1)
        self._turn = torch.randn(128, self.dim, generator=generator) / 128**0.5
        self._noise = noise
        self.asked = 0
        self.fingerprint = f"turned-{noise}"

    def _turned(self, vectors: torch.Tensor) -> torch.Tensor:
        bent = torch.tanh(2 * vectors @ self._turn) + 0.2
        strange = torch.randn(bent.shape, generator=torch.Generator().manual_seed(len(vectors)))
        return torch.nn.functional.normalize(bent + self._noise * strange, dim=1)

    def embed_text(self, phrases):
        self.asked += len(phrases)
        return self._turned(self._encoder.embed_text(phrases))

    def embed_audio(self, waveform, sample_rate):
        return self._turned(self._encoder.embed_audio(waveform, sample_rate))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "alignments"


def test_phrases_are_many_and_each_means_one_thing():
    meanings = phrases()
    assert len(meanings) > 1000
    assert meanings["drums"] == "drums" and meanings["electric guitar"] == "electric guitar"


def test_another_space_is_mapped_back_and_held_out_phrases_prove_it():
    fit = fit_alignment(Turned(), load_encoder())
    assert fit.cosine > 0.95 and fit.retrieval > 0.95 and fit.held_out > 100
    encoder = AlignedEncoder(Turned(), load_encoder(), fit)
    asked = ["a squeaky old accordion", "the drummer", "somebody whistling"]
    near = (encoder.embed_text(asked) * load_encoder().embed_text(asked)).sum(dim=1)
    assert encoder.dim == 128 and near.min() > 0.9


def test_noise_is_refused_with_the_figures():
    with pytest.raises(QueryError, match=r"'turned' does not fit .* use --query-net embedded"):
        aligned(Turned(noise=3.0), load_encoder())


def test_the_second_time_comes_from_the_cache_unless_something_changed(cache):
    source = Turned()
    first = aligned(source, load_encoder())
    asked = source.asked
    second = aligned(source, load_encoder())
    assert source.asked == asked
    torch.testing.assert_close(first.alignment.matrix, second.alignment.matrix)
    assert first.alignment.cosine == second.alignment.cosine
    source.fingerprint = "of other weights"
    aligned(source, load_encoder())
    assert source.asked == 2 * asked
    for path in cache.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])  # damaged: fitted again
    aligned(source, load_encoder())
    assert source.asked == 3 * asked


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "file"))
    assert aligned(Turned(), load_encoder()).alignment.is_good


def test_gradients_flow_through_it():
    encoder = aligned(Turned(), load_encoder())
    sound = (0.1 * torch.randn(1, 16_000)).requires_grad_()
    encoder.embed_audio(sound, 16_000)[:, 0].sum().backward()
    assert sound.grad.abs().max() > 0


def test_a_separator_gives_the_same_with_an_aligned_encoder(monkeypatch):
    mixture = (0.1 * np.random.default_rng(0).normal(size=(2, 44_100))).astype(np.float32)
    native = Separator(Settings(threads=1)).separate(mixture, 44_100, ["drums"])
    monkeypatch.setattr(
        "separate.backends.nets.encoder_for",
        lambda name, wanted=None: aligned(Turned(), load_encoder()),
    )
    other = Separator(Settings(threads=1)).separate(mixture, 44_100, ["drums"])
    difference = (native.estimates["drums"] - other.estimates["drums"]).square().sum()
    assert difference < 0.05 * native.estimates["drums"].square().sum()


def test_the_native_encoder_and_the_tags_need_no_alignment():
    assert encoder_for("embedded") is encoder_for("embedded", "embedded") is load_encoder()
    assert encoder_for("embedded", "tags") is load_encoder("tags")
