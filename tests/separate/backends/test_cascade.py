"""Stem models behind a query: Hybrid Demucs with random weights, through the real loading code."""

import numpy as np
import pytest
import torch

from separate import Separator, Settings
from separate.audio import write_audio
from separate.backends.cascade import CascadeModel
from separate.batch.run import run_batch
from separate.batch.separation import make_job
from separate.errors import CheckpointError, WeightsError
from separate.models.hdemucs import HDemucs, HDemucsConfig, convert
from separate.queries.query import Query, parse_query
from separate.settings import Request
from separate.weights.store import fetch

RATE = 44_100


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A checkpoint like torchaudio's, of a small network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("hdemucs") / "hdemucs_high_musdbhq_only.pt"
    torch.save(HDemucs(HDemucsConfig(channels=4)).net.state_dict(), path)
    return path


@pytest.fixture
def make(published, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    fetch("hdemucs", path=published)

    def build(**options) -> Separator:
        options = {"segment": 1.5, "threads": 1, **options}
        return Separator(Settings(model="hdemucs", keep_absent=True, **options))

    return build


def noise(samples: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.1 * rng.normal(size=(channels, samples))).astype(np.float32)


def test_stems_are_those_of_the_network(make, published):
    state, config = convert("hdemucs", published)
    net = HDemucs(HDemucsConfig(**config)).eval()
    net.load_state_dict(state)
    mixture = noise(RATE)
    with torch.inference_mode():
        stems = net(torch.from_numpy(mixture)[None])[0]
    result = make().separate(mixture, RATE, ["bass", "vocals"])
    torch.testing.assert_close(result.estimates["bass"], stems[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(result.estimates["vocals"], stems[3], atol=1e-5, rtol=1e-4)
    rest = torch.from_numpy(mixture) - stems[1] - stems[3]
    torch.testing.assert_close(result.residual, rest, atol=1e-5, rtol=1e-4)


def test_what_is_finer_than_a_stem_is_taken_from_it(make):
    mixture = noise(RATE)
    separator = make()
    drums = separator.separate(mixture, RATE, ["drums"]).estimates["drums"]
    snare = separator.separate(mixture, RATE, ["snare"])
    native = Separator(Settings(segment=1.5, threads=1, keep_absent=True))
    expected = native.models[0].separate(drums, native.models[0].prepare([parse_query("snare")]))
    torch.testing.assert_close(snare.estimates["snare"], expected[0], atol=1e-5, rtol=1e-3)
    total = snare.estimates["snare"] + snare.residual
    np.testing.assert_allclose(total.numpy(), mixture, atol=1e-5)


def test_what_fits_no_stem_is_the_query_models(make):
    mixture = noise(RATE)
    cascade = make().separate(mixture, RATE, ["dog bark"]).estimates["dog bark"]
    native = Separator(Settings(segment=1.5, threads=1, keep_absent=True))
    expected = native.models[0].separate(
        torch.from_numpy(mixture), native.models[0].prepare([parse_query("dog bark")])
    )
    torch.testing.assert_close(cascade, expected[0], atol=1e-5, rtol=1e-3)


def test_one_stream_goes_all_ways_and_says_so(make):
    separator = make()
    stream = separator.stream([noise(RATE)], RATE, 2, ["vocals", "snare", "dog bark"])
    (shape,) = {block.estimates.shape[:2] for block in stream}
    assert shape == (3, 2)
    assert stream.routes == {
        "vocals": "the stem 'vocals' of hdemucs",
        "snare": "from the stem 'drums' of hdemucs, by the query model",
        "dog bark": "by the query model alone: it fits no stem",
    }


def test_a_run_records_the_ways(make, tmp_path):
    make()
    write_audio(tmp_path / "a.wav", noise(8000), RATE, subtype="PCM_16")
    request = Request(texts=("vocals", "snare"))
    job = make_job(tmp_path / "out", Settings(model="hdemucs"), request)
    (record,) = run_batch([tmp_path / "a.wav"], job).records
    assert record.error is None and "drums" in record.routes["snare"]


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_rate_are_kept(make, rate, channels):
    mixture = noise(rate // 2 + 11, channels)
    result = make().separate(mixture, rate, ["drums", "snare"])
    assert result.estimates["drums"].shape == result.residual.shape == mixture.shape
    assert make().separate(noise(1), rate, ["drums"]).residual.shape == (2, 1)


def test_the_arrival_does_not_matter(make):
    mixture = noise(4 * RATE)
    separator = make()
    whole = separator.separate(mixture, RATE, ["drums", "snare"])
    for block_samples in (RATE // 3, 3 * RATE):
        blocks = [mixture[:, i : i + block_samples] for i in range(0, 4 * RATE, block_samples)]
        pieces = list(separator.stream(blocks, RATE, 2, ["drums", "snare"]))
        estimates = np.concatenate([piece.estimates for piece in pieces], axis=-1)
        np.testing.assert_allclose(estimates[0], whole.estimates["drums"].numpy(), atol=1e-6)
        np.testing.assert_allclose(estimates[1], whole.estimates["snare"].numpy(), atol=1e-6)


def test_silence_gives_silence(make):
    result = make().separate(np.zeros((2, RATE), np.float32), RATE, ["drums", "snare", "dog bark"])
    assert not any(estimate.any() for estimate in (*result.estimates.values(), result.residual))


def test_stems_share_out_the_mixture_whatever_their_order(make):
    mixture, names = noise(RATE), ["bass", "vocals", "drums"]
    free = make().separate(mixture, RATE, names)
    shared = make(sum_to_mixture=True).separate(mixture, RATE, names)
    again = make(sum_to_mixture=True).separate(mixture, RATE, names[::-1])
    for name in names:
        torch.testing.assert_close(again.estimates[name], shared.estimates[name], atol=1e-5, rtol=0)
        assert not torch.allclose(free.estimates[name], shared.estimates[name], atol=1e-2)
    assert shared.residual.abs().max() < 1e-6


def test_averaged_with_a_query_model(make):
    mixture = noise(RATE)
    one, two = (
        Separator(Settings(model=name, segment=1.5, threads=1, keep_absent=True)).separate(
            mixture, RATE, ["drums"]
        )
        for name in ("hdemucs", "hdemucs,hdemucs")
    )
    torch.testing.assert_close(one.estimates["drums"], two.estimates["drums"])


def test_damaged_and_foreign_checkpoints_are_refused(published, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "broken.pt"
    broken.write_bytes(published.read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        fetch("hdemucs", path=broken)
    torch.save({"freq_encoder.0.conv.weight": torch.zeros(4, 4, 8, 1)}, broken)
    with pytest.raises(CheckpointError):
        fetch("hdemucs", path=broken)
    with pytest.raises(CheckpointError, match="separate models get"):
        Separator(Settings(model="hdemucs"))
    with pytest.raises(WeightsError):
        fetch("hdemucs", path=tmp_path / "missing.pt")


class Tones:
    """A stem model that another could write: the left channel is `low`, the right one `high`."""

    name, stems, sha256 = "tones", ("bass", "vocals"), "0" * 64
    sample_rate, hop_samples = RATE, 1

    def segmentation(self, settings):
        from separate.stream import Segmentation

        return Segmentation(RATE, 0)

    def prepare(self, queries):
        return [self.stems.index(query.name) for query in queries]

    def separate(self, stereo, prepared, sums=()):
        stems = torch.stack([torch.stack([stereo[0], 0 * stereo[0]]),
                             torch.stack([0 * stereo[1], stereo[1]])])[prepared]  # fmt: skip
        return torch.cat([stems, stems.sum(0, keepdim=True)])


def test_any_stem_model_joins_through_the_interface():
    model = CascadeModel(Tones(), Settings(), lambda: pytest.fail("no query model is needed"))
    mixture = noise(RATE)
    result = Separator(Settings(threads=1, keep_absent=True), models=[model]).separate(
        mixture, RATE, [Query("low", ("bass",)), "singer"]
    )
    np.testing.assert_array_equal(result.estimates["low"][0], mixture[0])
    np.testing.assert_array_equal(result.estimates["singer"][1], mixture[1])
    assert result.residual.abs().max() < 1e-6
