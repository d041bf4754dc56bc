"""A model of one's own by its path: command line, batch and page give the same files."""

from pathlib import Path

import numpy as np
import torch
from typer.testing import CliRunner

from separate.app.jobs.child import OrderRunner
from separate.app.jobs.orders import SeparateOrder
from separate.audio import read_audio, write_audio
from separate.cli.main import app
from separate.models import registry
from separate.models.ibm_cnn import STEMS, IbmCnn, IbmCnnConfig
from separate.settings import Request, Settings

RATE = 16_000


def test_a_binary_mask_model_by_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = IbmCnn(IbmCnnConfig(channels=2, maps=1, hidden=2))
    card = registry.Card("tiny", "ibm-cnn", "", registry.config_of(net), "", stems=STEMS)
    path = tmp_path / "tiny.safetensors"
    registry.save(net, card, path, precision="float32")
    songs = [tmp_path / f"{name}.wav" for name in ("one", "two")]
    for seed, song in enumerate(songs):
        noise = 0.1 * np.random.default_rng(seed).normal(size=(1, 2 * RATE)).astype(np.float32)
        write_audio(song, noise, RATE, subtype="FLOAT")
    files = [*map(str, songs), "-q", "vocals", "-n", str(path), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["run", *files])
    assert result.exit_code == 0, result.output
    page = tmp_path / "page"
    page.mkdir()
    settings = Settings(model=str(path), threads=1)
    for song in songs:
        order = SeparateOrder(song, page, 600, settings, Request(texts=("vocals",)))
        shown = OrderRunner().work(order, lambda part, step: None)
        assert shown["model"] == str(path)
        (stem,) = (stem for stem in shown["stems"] if stem["name"] == "vocals")
        theirs = tmp_path / "out" / song.stem / "vocals.wav"
        ours, rate = read_audio(page / stem["file"])
        assert rate == RATE and np.abs(ours).max() > 0
        np.testing.assert_array_equal(ours, read_audio(theirs)[0])
