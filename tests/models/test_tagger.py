"""EfficientAT's tagger: strict loading, and the right classes on real sounds."""

from itertools import islice

import pytest
import soundfile
import torch

from separate.models.errors import CheckpointError
from separate.models.tagger import TaggerConfig, TaggerNet, load_efficientat, round_channels
from separate.queries.vocabulary import audioset_classes
from separate.train.query_net.scores import TAGGED_RIGHT

CHECKPOINT = "audioset/mn04_as_mAP_432.pt"


@pytest.fixture(scope="module")
def tagger(shared_data):
    return load_efficientat(shared_data / CHECKPOINT)


def test_width_and_names_are_those_of_the_checkpoint(tagger):
    assert tagger.config.width == 0.4
    assert len(tagger.state_dict()) == 312


def test_hold_out_clips_are_tagged_right(tagger, shared_data):
    classes = audioset_classes()
    hits = []
    for label, right in TAGGED_RIGHT.items():
        held_out = (
            path
            for path in sorted((shared_data / "clips" / label).iterdir())
            if int(path.stem) % 10 == 0
        )
        for path in islice(held_out, 4):
            samples, sample_rate = soundfile.read(path, dtype="float32")
            assert sample_rate == 32_000
            waveform = torch.from_numpy(samples)[None]
            with torch.inference_mode():
                logits, embedding = tagger(waveform / waveform.abs().max().clamp_min(1e-3))
            assert embedding.shape == (1, 384)
            found = {classes[row] for row in logits[0].topk(3).indices.tolist()}
            hits.append(bool(found & right))
    assert len(hits) >= 60
    assert sum(hits) / len(hits) >= 0.85


def test_random_network_takes_short_and_silent_sounds():
    tagger = TaggerNet(TaggerConfig(width=0.1)).eval()
    for samples in (2, 100, 5000):
        logits, _ = tagger(torch.zeros(2, samples))
        assert logits.shape == (2, 527)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("shape", [(100,), (1, 1, 100), (1, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="batch, time"):
        TaggerNet(TaggerConfig(width=0.1)).eval()(torch.zeros(shape))


def test_channels_are_rounded_as_in_the_checkpoint():
    assert [round_channels(width * 0.4) for width in (16, 40, 112, 160, 960)] == [
        8,
        16,
        48,
        64,
        384,
    ]


def test_missing_truncated_and_foreign_checkpoints_are_refused(tmp_path):
    with pytest.raises(CheckpointError):
        load_efficientat(tmp_path / "missing.pt")
    state = TaggerNet(TaggerConfig(width=0.1)).state_dict()
    good = tmp_path / "good.pt"
    torch.save(state, good)
    assert load_efficientat(good).config.width == 0.1
    broken = tmp_path / "broken.pt"
    broken.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        load_efficientat(broken)
    del state["features.0.0.weight"]
    torch.save(state, good)
    with pytest.raises(CheckpointError):
        load_efficientat(good)


def test_nothing_is_unpickled_but_tensors(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("code of the checkpoint was run",))

    path = tmp_path / "harmful.pt"
    torch.save({"classifier.2.weight": Harmful()}, path)
    with pytest.raises(CheckpointError):
        load_efficientat(path)
