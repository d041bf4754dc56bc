"""Tags: classes with times, in three forms; the classes as queries."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from separate.audio import write_audio
from separate.auto.tagging import (
    BLOCK_SECONDS,
    TagLikelihoods,
    as_labels,
    open_tagger,
    tag_file,
    tags_of,
)
from separate.cli.main import app
from separate.errors import CheckpointError, QueryError, SettingsError
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder
from separate.queries.tags import class_row, class_vectors, nearest_classes

RATE = 32_000
CHECKPOINT = "audioset/mn04_as_mAP_432.pt"


def track(*rows: tuple[str, list[float]], seconds: float | None = None) -> TagLikelihoods:
    """A track in which the named classes have these likelihoods block by block."""
    blocks = len(rows[0][1])
    table = np.zeros((blocks, 527), np.float32)
    for name, values in rows:
        table[:, class_row(name)] = values
    return TagLikelihoods(table, 10.0, seconds or blocks * BLOCK_SECONDS)


def test_what_a_separation_keeps_serves_training() -> None:
    class_vectors.cache_clear()
    with torch.inference_mode():
        class_vectors()
    assert not class_vectors().is_inference()  # as which it could not be trained through


def test_classes_have_times_and_come_likeliest_first():
    found = track(("Dog", [0.5, 0.6, 0.0, 0.3]), ("Rain", [0.1, 0.9, 0.9, 0.1]), seconds=7.5)
    first, second = tags_of(found, 0.25)
    assert (first.name, first.likelihood, first.spans) == ("Rain", 0.9, ((12.0, 16.0),))
    assert (second.name, second.spans) == ("Dog", ((10.0, 14.0), (16.0, 17.5)))
    assert tags_of(found, 0.25, most=1) == [first]
    assert tags_of(found, 0.95) == []
    assert as_labels([first, second]).splitlines() == [
        "10.000000\t14.000000\tDog",
        "12.000000\t16.000000\tRain",
        "16.000000\t17.500000\tDog",
    ]


def write(folder: Path, *parts: np.ndarray) -> Path:
    return write_audio(folder / "a.wav", np.concatenate(parts)[None].astype(np.float32), RATE)


def noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).normal(size=round(seconds * RATE))


def test_every_block_is_tagged_and_silence_holds_nothing(tmp_path):
    path = write(tmp_path, noise(4), np.zeros(3 * RATE), noise(2.2))
    parts: list[float] = []
    found = tag_file(path, open_tagger(), on_progress=parts.append)
    assert found.likelihoods.shape == (5, 527) and found.seconds == pytest.approx(9.2)
    assert ((found.likelihoods >= 0) & (found.likelihoods <= 1)).all()
    assert not found.likelihoods[2].any() and found.likelihoods[[0, 1, 4]].any(axis=1).all()
    assert parts == sorted(parts) and parts[-1] == 1.0
    late = tag_file(path, open_tagger(), start_seconds=4.0, end_seconds=7.0)
    assert late.likelihoods.shape == (2, 527) and late.span(0, 0) == (4.0, 6.0)


def test_opposite_polarity_is_no_silence(tmp_path):
    sound = noise(2)
    found = []
    for sign in (1, -1):
        path = tmp_path / f"{sign}.wav"
        write_audio(path, np.stack([sound, sign * sound]), RATE)
        found.append(tag_file(path, open_tagger()).likelihoods)
    np.testing.assert_allclose(found[1], found[0], atol=0.1)
    assert found[1].max() > 0


@pytest.mark.parametrize("samples", [1, 50])
def test_the_shortest_files_are_tagged(tmp_path, samples):
    path = write(tmp_path, np.full(samples, 0.5))
    assert tag_file(path, open_tagger()).likelihoods.shape == (1, 527)


def test_both_taggers_know_a_rooster(shared_data):
    path = shared_data / "clips" / "rooster" / "000.ogg"
    for name in (None, str(shared_data / CHECKPOINT)):
        names = [tag.name for tag in tags_of(tag_file(path, open_tagger(name)))[:5]]
        assert "Chicken, rooster" in names or "Crowing, cock-a-doodle-doo" in names, name


def test_taggers_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="efficientat-mn04"):
        open_tagger("nonsense")
    with pytest.raises(CheckpointError):
        open_tagger(str(tmp_path / "missing.pt"))
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(CheckpointError):
        open_tagger(str(tmp_path / "broken.pt"))


def test_table_json_and_labels(tmp_path):
    path = write(tmp_path, noise(3), np.zeros(3 * RATE))
    run = CliRunner().invoke
    asked = ["tags", str(path), "--threshold", "0.01", "--top", "3"]
    lines = run(app, asked).stdout.splitlines()
    assert lines[0] == str(path) and len(lines) == 4 and "0:00.0-0:" in lines[1]
    (entry,) = [json.loads(line) for line in run(app, [*asked, "--json"]).stdout.splitlines()]
    assert [tag["name"] for tag in entry["tags"]] == [line[2:].split("  ")[0] for line in lines[1:]]
    assert all(0 <= a < b <= 4.0 for tag in entry["tags"] for a, b in tag["spans"])
    result = run(app, [*asked, "--labels", str(tmp_path / "out")])
    assert result.stdout.strip() == str(tmp_path / "out" / "a.txt")
    start, end, name = (tmp_path / "out" / "a.txt").read_text().splitlines()[0].split("\t")
    assert float(start) < float(end) and name in vocabulary.audioset_classes()


def test_one_class_alone_and_the_nearest_five_of_an_unknown_one(tmp_path):
    path = write(tmp_path, noise(1))
    found = CliRunner().invoke(
        app, ["tags", str(path), "--only", "rain", "--threshold", "0.000001"]
    )
    assert found.exit_code == 0 and found.stdout.count("\n") == 2
    wrong = CliRunner().invoke(app, ["tags", str(path), "--only", "acordion"])
    assert wrong.exit_code == 1 and wrong.stderr.count("\n") == 1
    assert "'acordion'" in wrong.stderr and "'Accordion'" in wrong.stderr


def test_files_that_fail_do_not_stop_the_others(tmp_path):
    path = write(tmp_path, noise(1))
    (tmp_path / "b.wav").write_text("no sound")
    result = CliRunner().invoke(app, ["tags", str(tmp_path / "b.wav"), str(path), "--json"])
    assert result.exit_code == 1 and str(path) in result.stdout and "b.wav" in result.stderr


@pytest.mark.parametrize("arguments", [["--threshold", "0"], ["--sources", "--only", "Rain"]])
def test_bad_options_are_one_line(tmp_path, arguments):
    result = CliRunner().invoke(app, ["tags", str(write(tmp_path, noise(1))), *arguments])
    assert result.exit_code == 1 and result.stderr.startswith("error: ")


def test_classes_are_queries_and_nothing_else_is():
    encoder = load_encoder("tags")
    vectors = encoder.embed_text(["Electric guitar", "rain", "Keyboard"])
    assert vectors.shape == (3, encoder.dim)
    torch.testing.assert_close(vectors[:2], load_encoder().embed_text(["electric guitar", "rain"]))
    with pytest.raises(QueryError, match="nearest are 'Electric guitar'"):
        encoder.embed_text(["electrc guitar"])
    assert len(nearest_classes("鼓")) == len(nearest_classes("the drummer's kit")) == 5


def test_sounds_are_queries_by_the_classes_in_them():
    sound = torch.from_numpy(noise(2))[None].float().requires_grad_()
    vectors = load_encoder("tags").embed_audio(sound, RATE)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(1))
    vectors[:, 0].sum().backward()
    assert sound.grad is not None and sound.grad.abs().max() > 0
