"""`separate train ...` end to end on tiny data: each recipe resumes and its model separates."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from separate import Separator, Settings
from separate.cli.main import app
from separate.train import runs
from separate.train.run_config import RunConfig
from separate.train.settings import LoopConfig

RECIPES: dict[str, list[str]] = {
    "supervised": ["--joined", "0.3"],
    "unsupervised": [],
    "weak": ["--contrast", "0.5"],
    "semi": ["--sources", "1"],
    "anchors": ["--condition", "name"],
}


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def clips(tmp_path: Path, write_clips: Callable) -> Path:
    write_clips(tmp_path / "clips", ("dog_bark", "rain", "flute"))
    return tmp_path / "clips"


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_a_recipe_trains_resumes_and_its_model_separates(
    recipe: str, clips: Path, tmp_path: Path
) -> None:
    common = ["--run", tmp_path / "run", "--init", "random", "--batch", "1", "--frames", "64"]
    once = ["train", recipe, clips, *common, *RECIPES[recipe], "--precision", "float16"]
    assert "step 1 " in run(*once, "--steps", "1")
    output = run(*once, "--steps", "2")
    assert "step 2 " in output and "step 1 " not in output  # it went on, it did not start again
    model = tmp_path / "run" / "mine.safetensors"
    card = json.loads(model.with_suffix(".json").read_text())
    assert card["extra"]["recipe"] == recipe and card["query_encoder"] == "embedded"
    assert output.strip().endswith(str(model))
    mixture = torch.randn(2, 44100) * 0.1
    result = Separator(Settings(model=str(model))).separate(mixture, 44100, ["rain"])
    share = result.estimates["rain"].square().mean() / mixture.square().mean()
    assert 0.01 < share < 0.99  # by weights that have learned for two steps


def test_resuming_is_bit_exact(clips: Path, tmp_path: Path) -> None:
    def train(run_name: str, steps: int) -> None:
        run(
            "train", "weak", clips, "--run", tmp_path / run_name, "--init", "random",
            "--batch", "1", "--frames", "64", "--steps", steps, "--precision", "float32",
        )  # fmt: skip

    train("whole", 2)
    train("parts", 1)
    train("parts", 2)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        for name in ("whole", "parts")
    )
    for name, value in whole["model"].items():
        assert torch.equal(value, parts["model"][name]), name
    files = [tmp_path / name / "mine.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_users_own_folder_adapts_the_default_model(tmp_path: Path) -> None:
    song = tmp_path / "mine" / "song"
    song.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem in ("vocals", "drums", "bass", "other"):
        soundfile.write(song / f"{stem}.wav", rng.normal(0, 0.05, (7 * 44100, 2)), 44100)
    (tmp_path / "mine" / "broken").mkdir()
    for stem in ("vocals", "drums", "bass", "other"):
        (tmp_path / "mine" / "broken" / f"{stem}.wav").write_bytes(b"no audio")
    output = run(
        "train", "adapt", tmp_path / "mine", "--run", tmp_path / "run", "--steps", "1",
        "--batch", "1", "--precision", "float32",
    )  # fmt: skip
    assert "skipped: " in output and "broken" in output and "1 songs" in output
    from separate.models import registry

    start, start_card = registry.load(registry.find("default"))
    tuned, card = registry.load(tmp_path / "run" / "adapted.safetensors")
    old = start.state_dict()
    moved = {n for n, value in tuned.state_dict().items() if not torch.equal(value, old[n])}
    assert moved and all(
        ".film." in name or ".norms." in name or ".norm." in name for name in moved
    )
    assert card.initialised_from == "default" and card.licence == "research use only"
    assert set(start_card.notices) <= set(card.notices)
    assert len(card.trained_on) == len(start_card.trained_on) + 1


def test_a_net_for_sounds_learns_beside_the_others(
    clips: Path, tmp_path: Path, write_clips: Callable
) -> None:
    def train(start: str, name: str, folder: Path) -> Path:
        run(
            "train", "supervised", folder, "--run", tmp_path / name, "--init", start, "--batch",
            "1", "--tune", "sounds", "--frames", "64", "--steps", "1", "--warmup", "0", "--rate",
            "0.001", "--precision", "float32",
        )  # fmt: skip
        return tmp_path / name / "mine.safetensors"

    from separate.models import registry
    from separate.models.query_unet import EXPERTS
    from separate.queries.encoders import load_encoder

    write_clips(tmp_path / "others", ("rooster", "rain"))
    first = train("default", "first", clips)
    second = train(str(first), "second", tmp_path / "others")
    states = [
        registry.load(path)[0].state_dict() for path in (registry.find("default"), first, second)
    ]
    for name, value in states[0].items():
        if not name.startswith(("gate.", "sounds.")):
            assert all(torch.equal(value, state[name]) for state in states[1:]), name
    learned = {n for n, value in states[1].items() if not torch.equal(value, states[2][n])}
    assert any(name.startswith("sounds.") for name in learned)
    told = run(
        "train", "adapt", clips, "--run", tmp_path / "third", "--init", first, "--steps", "1",
        "--batch", "1",
    )  # fmt: skip
    assert "3 labels use the net for sounds" in told
    net, _ = registry.load(second)  # its clips had no dog and no flute: these are kept
    phrases = ["a dog barks", "flute", "thunder", "drums", "vocals", "a man speaks"]
    shares = net.expert_weights(load_encoder("embedded").embed_text(phrases))
    answers = [EXPERTS[index] for index in shares.argmax(1).tolist()]
    assert answers == ["sounds", "sounds", "sounds", "music", "voice", "voice"]


def test_a_music_trunk_is_learned_and_made_narrower(clips: Path, tmp_path: Path) -> None:
    from separate.models import registry

    def train(name: str, *options: object) -> tuple[str, Path]:
        told = run(
            "train", "supervised", clips, "--run", tmp_path / name, "--batch", "1", "--frames",
            "64", "--steps", "1", "--tune", "music", "--precision", "float32", *options,
        )  # fmt: skip
        return told, tmp_path / name / "mine.safetensors"

    told, wide = train("wide", "--init", "random", "--widths", "6,6,6,6,6,8", "--dense", "3")
    assert "random weights" in told
    told, narrow = train("narrow", "--init", wide, "--last", "2", "--teacher", wide, "--anneal")
    assert "is pruned" in told
    model, card = registry.load(narrow)
    assert model.config.music_dense == 3 and model.music.widths[-1] == 2
    assert card.extra["teacher"] == str(wide)
    assert card.trained_on == registry.load(wide)[1].trained_on  # the same, listed once
    adapted = run(
        "train", "adapt", clips, "--run", tmp_path / "adapted", "--init", narrow, "--steps", "1",
        "--batch", "1", "--precision", "float32",
    )  # fmt: skip
    tuned, _ = registry.load(Path(adapted.split()[-1]))
    before = model.state_dict()
    moved = {n for n, value in tuned.state_dict().items() if not torch.equal(value, before[n])}
    assert moved and all(
        ".film." in name or ".norms." in name or ".norm." in name for name in moved
    )
    assert any(".dense." in name for name in moved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weak", "--frames", "100"], "multiple of 64"),
        (["weak", "--contrast", "1", "--scorer", "nobody"], "no query net"),
        (["anchors", "--condition", "smell"], "take tags or name"),
        (["supervised", "--tune", "half"], "take all, film, sounds, music"),
        (["supervised", "--init", "small", "--tune", "sounds"], "needs a model with a gate"),
        (["supervised", "--init", "small", "--tune", "music"], "needs a model with a gate"),
        (["supervised", "--widths", "16,32"], "give 6 positive numbers"),
        (["supervised", "--last", "4"], "need a new network"),
        (["supervised", "--init", "default", "--teacher", "random"], "random"),
        (["supervised", "--init", "default", "--tune", "sounds", "--dense", "7"], "size away"),
        (["supervised", "--device", "cuda:77"], "not usable here"),
        (["supervised", "--dev", "nowhere"], "no such song"),
    ],
)
def test_bad_settings_are_one_line(
    arguments: list[str], message: str, clips: Path, tmp_path: Path
) -> None:
    recipe, *options = arguments
    line = ["train", recipe, str(clips), "--run", str(tmp_path / "r"), "--init", "random", *options]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 1
    assert message in result.output and "Traceback" not in result.output


@pytest.mark.parametrize(
    "flags",
    [("--learning-rate", "--ema-decay", "--scorer"), ("--rate", "--average", "--listener")],
    ids=["flags", "earlier flags"],
)
def test_flags_and_their_earlier_names_fill_the_same_settings(
    flags: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[RunConfig, LoopConfig]] = []
    monkeypatch.setattr(
        runs, "run_training", lambda config, loop, log: given.append((config, loop))
    )
    learning_rate, ema_decay, scorer = flags
    run(
        "train", "weak", tmp_path, "--run", tmp_path / "run", learning_rate, "0.5", ema_decay,
        "0.25", scorer, "clap", "--steps", "7",
    )  # fmt: skip
    config, loop = given[0]
    assert config.scorer == "clap"
    assert loop == LoopConfig(steps=7, learning_rate=0.5, ema_decay=0.25)
