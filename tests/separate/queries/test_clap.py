"""LAION-CLAP with random weights: its own package builds it, our loader reads its checkpoint."""

import importlib.util
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from separate.errors import CheckpointError, QueryError, WeightsError
from separate.queries.clap import PIECE_SAMPLES, SAMPLE_RATE, open_clap
from separate.queries.encoders import load_encoder

HAS_EXTRA = importlib.util.find_spec("laion_clap") is not None
needs_extra = pytest.mark.skipif(not HAS_EXTRA, reason="pip install 'separate-audio[clap]'")


class Tokens:
    """Stands for the tokenizers that the package downloads: a word is a number."""

    @classmethod
    def from_pretrained(cls, name: str) -> "Tokens":
        return cls()

    def __call__(self, text, max_length=77, **options):
        rows = [[0, *(4 + zlib.crc32(w.encode()) % 900 for w in t.split()), 2] for t in text]
        ids = torch.ones(len(rows), max_length, dtype=torch.int64)
        for row, numbers in enumerate(rows):
            ids[row, : len(numbers)] = torch.tensor(numbers[:max_length])
        return {"input_ids": ids, "attention_mask": (ids != 1).long()}


@pytest.fixture(scope="module")
def package():
    """The package, with tiny stand-ins for what it would download."""
    for name in ("nms", "qnms"):  # a torchvision without its compiled part lacks them
        with suppress(RuntimeError):
            arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", arguments)
    from separate.models.torchaudio_compat import torchaudio  # transformers imports it too

    assert torchaudio is not None
    import transformers

    config = transformers.RobertaConfig(
        vocab_size=1000, num_hidden_layers=1, intermediate_size=64, max_position_embeddings=514
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BertTokenizer", "RobertaTokenizer", "BartTokenizer"):
            patch.setattr(getattr(transformers, name), "from_pretrained", Tokens.from_pretrained)
        build = classmethod(lambda cls, name: cls(config))
        patch.setattr(transformers.RobertaModel, "from_pretrained", build)
        from separate.queries.clap import _package

        yield _package()


@pytest.fixture(scope="module")
def checkpoint(package, tmp_path_factory) -> Path:
    torch.manual_seed(0)
    module = package.CLAP_Module(enable_fusion=False, amodel="HTSAT-tiny", device="cpu")
    state = {f"module.{name}": tensor for name, tensor in module.model.state_dict().items()}
    state["module.text_branch.embeddings.position_ids"] = torch.arange(514)[None]
    path = tmp_path_factory.mktemp("clap") / "random.pt"
    torch.save({"epoch": 3, "loss": np.float64(0.5), "state_dict": state}, path)
    return path


@pytest.fixture
def encoder(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    return open_clap(str(checkpoint))


def tone(seconds: float, hz: float = 440.0, rate: int = SAMPLE_RATE) -> torch.Tensor:
    return (0.3 * torch.sin(2 * np.pi * hz * torch.arange(int(seconds * rate)) / rate))[None]


@needs_extra
def test_phrases_and_sounds_have_unit_length_whatever_their_batch(encoder):
    together = encoder.embed_text(["a dog barks", "drums"])
    assert together.shape == (2, encoder.dim) == (2, 512)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(encoder.embed_text(["drums"]), together[1:], atol=1e-5, rtol=0)
    sounds = encoder.embed_audio(torch.cat([tone(1), tone(1, 880)]), SAMPLE_RATE)
    torch.testing.assert_close(sounds.norm(dim=1), torch.ones(2))
    assert (sounds[0] - sounds[1]).norm() > 1e-4


@needs_extra
def test_long_sound_is_cut_not_cropped_at_random(encoder):
    long = torch.cat([tone(10), tone(10, 880), tone(0.5, 1200)], dim=1)
    first, second = (encoder.embed_audio(tone(10, hz), SAMPLE_RATE)[0] for hz in (440, 880))
    assert long.shape[1] > 2 * PIECE_SAMPLES
    mean = torch.nn.functional.normalize(first + second, dim=0)
    torch.testing.assert_close(encoder.embed_audio(long, SAMPLE_RATE)[0], mean, atol=1e-4, rtol=0)


@needs_extra
def test_gradients_reach_the_waveform(encoder):
    sound = tone(1, rate=16_000).requires_grad_()
    encoder.embed_audio(sound, 16_000)[:, 0].sum().backward()
    assert torch.isfinite(sound.grad).all() and sound.grad.abs().max() > 0


@needs_extra
def test_what_was_embedded_is_read_from_the_cache(encoder, monkeypatch):
    phrases, sound = ["drums", "a dog barks"], tone(1)
    text, audio = encoder.embed_text(phrases), encoder.embed_audio(sound, SAMPLE_RATE)
    monkeypatch.setattr(encoder, "_net", None)  # it is not asked again
    torch.testing.assert_close(encoder.embed_text(phrases[::-1]), text.flip(0))
    torch.testing.assert_close(encoder.embed_audio(sound, SAMPLE_RATE), audio)
    broken = next(encoder._folder.glob("*.npy"))
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(AttributeError):  # a damaged entry counts as none
        encoder.embed_text(phrases), encoder.embed_audio(sound, SAMPLE_RATE)


@needs_extra
def test_cache_that_cannot_be_written_costs_nothing_but_time(encoder, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setattr(encoder, "_folder", blocker / "below")
    assert encoder.embed_text(["drums"]).shape == (1, 512)


@needs_extra
def test_wrong_truncated_and_fusion_checkpoints_are_refused(checkpoint, package, tmp_path):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(checkpoint.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="broken"):
        open_clap(str(broken))
    with pytest.raises(CheckpointError):
        open_clap(str(tmp_path / "missing.pt"))
    state = torch.load(checkpoint, weights_only=False)["state_dict"]
    for change, message in (
        ({"audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(1)}, "fusion"),
        ({"logit_scale_a": torch.zeros(3)}, "version"),
        ({"audio_branch.patch_embed.proj.weight": torch.zeros(7)}, "HTSAT"),
    ):
        wrong = tmp_path / "wrong.pt"
        torch.save({k.removeprefix("module."): v for k, v in state.items()} | change, wrong)
        with pytest.raises(CheckpointError, match=message):
            open_clap(str(wrong))


@needs_extra
def test_nothing_in_a_checkpoint_is_executed(package, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("code of the checkpoint was run",))

    path = tmp_path / "harmful.pt"
    torch.save({"state_dict": {}, "more": Harmful()}, path)
    with pytest.raises(CheckpointError):
        open_clap(str(path))


@needs_extra
def test_random_clap_is_refused_as_the_query_net_of_a_separator(encoder, checkpoint):
    from separate import Separator, Settings

    with pytest.raises(QueryError, match="does not fit"):
        Separator(Settings(query_net=str(checkpoint)))


@needs_extra
def test_clap_drives_a_separator_once_it_is_aligned(encoder, checkpoint, monkeypatch):
    from separate import Separator, Settings
    from separate.queries import align

    monkeypatch.setattr(align, "LEAST_COSINE", -1.0)  # random weights mean little
    monkeypatch.setattr(align, "LEAST_RETRIEVAL", 0.0)
    separator = Separator(Settings(query_net=str(checkpoint), threads=1))
    mixture = torch.cat([tone(1, 100, 44_100), tone(1, 3000, 44_100)])
    result = separator.separate(mixture, 44_100, ["drums"])
    share = result.estimates["drums"].square().mean() / mixture.square().mean()
    assert 0 < share < 0.99


@pytest.mark.skipif(HAS_EXTRA, reason="the extra clap is installed")
def test_without_the_extra_one_line_says_what_to_install():
    with pytest.raises(QueryError, match=r"pip install 'separate-audio\[clap\]'") as caught:
        load_encoder("clap")
    assert "\n" not in str(caught.value)


@needs_extra
def test_checkpoint_by_name_that_cannot_be_fetched_says_so(package, tmp_path, monkeypatch):
    from separate.weights import store as weights
    from separate.weights.published import PRETRAINED

    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path))
    foreign = PRETRAINED["clap-630k-audioset"]
    nowhere = type(foreign)(**{**vars(foreign), "url": "http://127.0.0.1:9/clap.pt"})
    monkeypatch.setitem(weights.PRETRAINED, foreign.name, nowhere)
    with pytest.raises(WeightsError, match="models get clap-630k-audioset --path"):
        open_clap("clap")
