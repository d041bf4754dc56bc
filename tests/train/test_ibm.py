"""The recipe `ibm`, small U-Nets from nothing, and the models that they make, on toy songs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from separate import Separator, Settings
from separate.cli.main import app
from separate.corpus.sources.convert import convert
from separate.corpus.sources.store import read_stereo
from separate.errors import DataError
from separate.evals.tasks.mir1k import find_clips
from separate.evals.tasks.thresholds import sweep
from separate.models import registry
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig
from separate.train.data.folders import load_corpus
from separate.train.loop import train
from separate.train.recipes.ibm import Ibm, IbmConfig, IbmMixer
from separate.train.settings import LoopConfig

SMALL = IbmCnnConfig(channels=4, maps=2, hidden=16, dropout=0.0)
SIZE = ("--channels", 4, "--hidden", 16)


@pytest.fixture
def karaoke(tmp_path: Path, write_song: Callable) -> Path:
    """Songs of noise with a voice and all else."""
    for seed in range(2):
        folder = tmp_path / "songs" / f"song{seed}"
        write_song(folder, {"vocals": "vocals", "rest": "rest"}, "research", seed)
        voice = np.load(folder / "vocals.npy")
        time = np.arange(len(voice)) / 44100
        tone = 8000 * np.sin(2 * np.pi * 700 * time)
        np.save(folder / "vocals.npy", np.stack([tone, tone], axis=1).astype(np.int16))
    return tmp_path / "songs"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()[-1]


def test_examples_depend_on_their_number_alone(karaoke: Path) -> None:
    mixer = IbmMixer(load_corpus([karaoke], ("research",)), IbmConfig(frames=32), seed=3)
    together, alone = mixer.batch([3, 4]), mixer.batch([4])
    assert together.shape == (2, 2, 32, 513)
    torch.testing.assert_close(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    voice, rest = alone[0].abs()
    assert voice.mean(0).argmax() == pytest.approx(700 / 16_000 * 1024, rel=0.3)  # speeds vary
    assert rest.mean() > 0


def test_a_voice_and_something_else_are_needed(tmp_path: Path, write_song: Callable) -> None:
    write_song(tmp_path / "songs" / "one", {"kick": "drums"})
    with pytest.raises(DataError, match="vocals and another"):
        IbmMixer(load_corpus([tmp_path]), IbmConfig())


def test_learning_lowers_the_loss(karaoke: Path, tmp_path: Path) -> None:
    mixer = IbmMixer(load_corpus([karaoke], ("research",)), IbmConfig(frames=32))
    torch.manual_seed(0)
    recipe = Ibm(IbmCnn(SMALL), mixer)
    before = recipe.loss([100, 101])[1]["loss"]
    train(
        recipe,
        LoopConfig(steps=25, learning_rate=1e-2, warmup=1),
        tmp_path / "run",
        log=lambda line: None,
    )
    assert recipe.loss([100, 101])[1]["loss"] < 0.7 * before


def test_a_trained_model_separates_and_its_thresholds_are_scored(
    karaoke: Path, tmp_path: Path
) -> None:
    path = run(
        "train", "ibm", karaoke, "--run", tmp_path / "run", "--licences", "research", *SIZE,
        "--steps", 2, "--dev", "song1", "--threads", 1,
    )  # fmt: skip
    card = registry.read_card(Path(path).with_suffix(".json"))
    assert (card.kind, card.stems, card.licence) == (
        "ibm-cnn", ("vocals", "accompaniment"), "research use only",
    )  # fmt: skip
    assert card.query_encoder is None and "vocals" in card.scores["dev"]
    audio = np.random.default_rng(0).normal(size=(2, 30_000)).astype(np.float32) * 0.1
    separation = Separator(Settings(model=path, keep_absent=True)).separate(
        audio, 44_100, ["vocals", "accompaniment"]
    )
    sounds = [sound.numpy() for sound in separation.estimates.values()]
    assert [sound.shape for sound in sounds] == [audio.shape] * 2
    heard = sum(sounds)[:, 2_000:-2_000]
    spectrum = np.abs(np.fft.rfft(heard - audio[:, 2_000:-2_000]))
    assert (
        spectrum[:, : int(0.45 * spectrum.shape[1])].max() < 0.1 * np.abs(np.fft.rfft(audio)).max()
    )  # the two sum to the mixture below the model's highest frequency
    onward = run(
        "train", "ibm", karaoke, "--run", tmp_path / "more", "--licences", "research",
        "--init", path, "--steps", 1, "--threads", 1,
    )  # fmt: skip
    assert registry.read_card(Path(onward).with_suffix(".json")).config == card.config


def test_thresholds(karaoke: Path, tmp_path: Path, write_pairs: Callable) -> None:
    net = IbmCnn(SMALL)
    with torch.no_grad():
        for parameter in net.last.parameters():
            parameter.zero_()  # likelihoods of a half everywhere
    registry.save(
        net, registry.Card("tiny", "ibm-cnn", "", registry.config_of(net), ""),
        tmp_path / "tiny.safetensors", precision="float32",
    )  # fmt: skip
    write_pairs(tmp_path / "mir", ("amy_1_01", "bug_1_01"))
    result = sweep(
        find_clips(tmp_path / "mir", None), str(tmp_path / "tiny.safetensors"), [0.0, 1.0]
    )
    assert [row["threshold"] for row in result["rows"]] == [0.0, 1.0] and result["clips"] == 2
    assert [row["silent"] for row in result["rows"]] == [0, 2]  # nothing is as sure as that
    assert result["rows"][0]["gnsdr"] == pytest.approx(0, abs=1e-3)  # a part of it is no gain


def test_mir1k_is_cached_by_name(tmp_path: Path, write_pairs: Callable) -> None:
    write_pairs(tmp_path / "mir", ("amy_1_01", "amy_1_02", "bug_1_01"))
    report = convert(tmp_path / "mir", tmp_path / "out", "research", only=["amy_*"])
    assert report.written == 2
    corpus = load_corpus([tmp_path / "out"], ("research",))
    assert [song.name for song in corpus.songs] == ["amy_1_01", "amy_1_02"]
    assert corpus.songs[0].parents == {"vocals": "vocals", "rest": "rest"}
    original = read_stereo(tmp_path / "mir" / "vocals" / "amy_1_01.wav")
    assert np.abs(corpus.songs[0].stems["vocals"].T / 32767 - original).max() < 1e-3
    with pytest.raises(DataError, match=r"no song is called eve_\*"):
        convert(tmp_path / "mir", tmp_path / "out", only=["eve_*"])


def test_published_data_sets_are_read_as_they_come(tmp_path: Path, write_pairs: Callable) -> None:
    """Of MIR-1K its two training singers, of DSD100 its training folder, iKala whole."""
    write_pairs(tmp_path / "mir", ("abjones_1_01", "amy_1_01", "bug_1_01"))
    voice, rest = (
        soundfile.read(tmp_path / "mir" / part / "amy_1_01.wav")[0]
        for part in ("vocals", "accompaniment")
    )
    (tmp_path / "ikala" / "Wavfile").mkdir(parents=True)
    pair = np.stack([rest, voice], axis=1)
    soundfile.write(tmp_path / "ikala" / "Wavfile" / "1_verse.wav", pair, 16_000, "FLOAT")
    for split in ("Dev", "Test"):
        song = tmp_path / "dsd" / "Sources" / split / f"{split} song"
        song.mkdir(parents=True)
        for stem in ("vocals", "drums", "bass", "other"):
            soundfile.write(song / f"{stem}.wav", pair, 44_100)
    path = run(
        "train", "ibm", tmp_path / "mir", tmp_path / "ikala", tmp_path / "dsd",
        "--run", tmp_path / "run", *SIZE, "--steps", 1, "--batch", 2, "--threads", 1,
    )  # fmt: skip
    audio = tmp_path / "run" / "audio"
    corpus = load_corpus([audio], ("research",))
    assert [song.name for song in corpus.songs] == [
        "abjones_1_01", "amy_1_01", "1_verse", "Dev song",
    ]  # fmt: skip
    original = read_stereo(tmp_path / "mir" / "vocals" / "amy_1_01.wav")
    for song in corpus.songs[1:3]:
        assert np.abs(song.stems["vocals"].T / 32767 - original).max() < 1e-3
    card = registry.read_card(Path(path).with_suffix(".json"))
    assert card.trained_on[0]["credits"] == ["dsd", "ikala", "mir"]


def test_a_small_unet_from_nothing_separates(karaoke: Path, tmp_path: Path) -> None:
    path = run(
        "train", "supervised", karaoke, "--init", "small", "--run", tmp_path / "run",
        "--licences", "research", "--frames", 64, "--queries", 1, "--steps", 2, "--threads", 1,
    )  # fmt: skip
    card = registry.read_card(Path(path).with_suffix(".json"))
    assert (card.kind, card.query_encoder) == ("small-unet", "embedded")
    audio = np.random.default_rng(0).normal(size=(2, 30_000)).astype(np.float32) * 0.1
    separation = Separator(model=path).separate(audio, 44_100, ["vocals"])
    target, rest = separation.estimates["vocals"], separation.residual
    assert target.shape == audio.shape and target.abs().max() > 0
    np.testing.assert_allclose(target + rest, audio, atol=1e-4)
