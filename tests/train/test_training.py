"""The training loop, the mixer and the supervised recipe, on a corpus that the tests make."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from separate.errors import DataError, OutputError
from separate.models.losses import Products
from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.queries.vocabulary import STEMS
from separate.sdr import frame_sdr
from separate.train.audio_cache import AudioCache
from separate.train.data.folders import Corpus, load_clips, load_corpus, load_song
from separate.train.data.mixing import MUSIC, MixConfig, Mixer
from separate.train.dev import DevSet, stems_separator
from separate.train.loop import _set_learning_rate, train
from separate.train.recipes.supervised import Supervised, SupervisedConfig
from separate.train.settings import LoopConfig, TuneConfig
from separate.train.trainable import TrainableQueryUNet

SECONDS = 6  # of the songs of `corpus_folder`


def test_corpus_keeps_to_the_licences(corpus_folder: Path) -> None:
    free = load_corpus([corpus_folder])
    assert [song.name for song in free.songs] == ["one"] and set(free.clips) == {"dog_bark", "rain"}
    every = load_corpus([corpus_folder], ("free", "nc"), exclude=["one"])
    assert [song.name for song in every.songs] == ["two"]
    with pytest.raises(DataError, match="unknown licence"):
        load_corpus([corpus_folder], ("fre",))
    with pytest.raises(DataError, match="no songs or clips of licence research"):
        load_corpus([corpus_folder / "songs"], ("research",))
    with pytest.raises(DataError, match="no such folder"):
        load_corpus([corpus_folder / "missing"])


def test_damaged_songs_and_clips_are_named(corpus_folder: Path) -> None:
    song = corpus_folder / "songs" / "one"
    np.save(song / "kick.npy", np.zeros((10, 2), np.int16))
    with pytest.raises(DataError, match="different lengths"):
        load_song(song)
    (song / "kick.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="damaged song"):
        load_song(song)
    index = corpus_folder / "clips" / "clips.json"
    index.write_text("{")
    with pytest.raises(DataError, match="damaged clips"):
        load_clips(index, {"free"})


def test_one_damaged_song_among_others_is_skipped_and_named(corpus_folder: Path) -> None:
    (corpus_folder / "songs" / "one" / "kick.npy").write_bytes(b"no array")
    (corpus_folder / "clips" / "1.npy").unlink()
    corpus = load_corpus([corpus_folder], ("free", "nc"))
    assert [song.name for song in corpus.songs] == ["two"] and not corpus.clips
    assert len(corpus.skipped) == 2 and "one: damaged song" in corpus.skipped[0]
    with pytest.raises(DataError, match=r"1 damaged, the first: .*one"):
        load_corpus([corpus_folder / "songs" / "one"])


def test_an_empty_and_an_unlabelled_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty; give a folder that `separate data cache`"):
        load_corpus([tmp_path])
    (tmp_path / "take 1.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"no labels .* run `separate data cache"):
        load_corpus([tmp_path])


def test_clips_of_other_licences_are_left_out_and_named(
    tmp_path: Path, write_clips: Callable
) -> None:
    write_clips(tmp_path / "clips", ("dog_bark", "rain"))
    index = tmp_path / "clips" / "clips.json"
    index.write_text(index.read_text().replace('"free"', '"research"', 1))
    corpus = load_corpus([tmp_path])
    assert set(corpus.clips) | set(corpus.barred) == {"dog_bark", "rain"}
    assert len(corpus.clips) == len(corpus.barred) == 1


@pytest.fixture
def mixer(corpus_folder: Path) -> Mixer:
    corpus = load_corpus([corpus_folder], ("free", "nc"))
    return Mixer(corpus, MixConfig(frames=64, clips=0.3, fine=0.5, absent=0.2), seed=5)


def test_examples_depend_on_their_number_alone(mixer: Mixer) -> None:
    together, alone = mixer.batch([3, 4]), mixer.batch([4])
    assert together.labels[1] == alone.labels[0]
    torch.testing.assert_close(together.mixture[1], alone.mixture[0])
    assert together.mixture.shape == (2, 2, 64, 2049)
    assert together.targets.shape == (2, 4, 2, 64, 2049)
    assert not torch.equal(together.mixture[0], together.mixture[1])


def test_a_familys_target_holds_its_fine_stems(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder / "songs"])
    config = MixConfig(frames=64, queries=8, aligned=1.0, drop=0.0, fine=0.5, absent=0.0)
    batch = Mixer(corpus, config).batch(range(6))
    for labels, targets in zip(batch.labels, batch.targets, strict=True):
        energy = dict(zip(labels, targets.abs().square().sum((1, 2, 3)), strict=True))
        if "drums" in energy and "kick" in energy:
            assert energy["drums"] > energy["kick"] > 0
    assert {label for row in batch.labels for label in row} >= {"drums", "kick", "bass"}


def test_an_absent_source_is_silent(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder])
    config = MixConfig(frames=64, clips=0.0, event=0.0, absent=1.0)
    batch = Mixer(corpus, config).batch([0])
    assert batch.labels[0][:3] == MUSIC
    assert set(batch.labels[0][3:]) <= {"dog_bark", "rain"}
    assert not batch.targets[0, 3:].abs().any()


def test_something_is_left_to_ask_for(tmp_path: Path, write_song: Callable) -> None:
    write_song(tmp_path / "songs" / "rock", {"distorted_guitar": "other", "rest": "rest"})
    mixer = Mixer(load_corpus([tmp_path]), MixConfig(frames=64, drop=0.9))
    labels = {label for row in mixer.batch(range(8)).labels for label in row}
    assert {"other", "distorted_guitar"} <= labels <= {"distorted_guitar", *MUSIC}


def test_what_is_known_whole_is_shared_out(corpus_folder: Path) -> None:
    mixer = Mixer(load_corpus([corpus_folder / "songs"]), MixConfig(frames=64, event=0.0))
    batch = mixer.batch(range(4))
    assert batch.shared.all() and all(row[:3] == MUSIC for row in batch.labels)


def test_voices_are_asked_for_beside_the_others_where_there_is_room(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder / "songs"])
    settings = {"frames": 64, "event": 0.0, "drop": 0.0, "aligned": 1.0, "voices": True}
    rows = Mixer(corpus, MixConfig(queries=5, **settings)).batch(range(4)).labels
    assert all(row[:4] == (*MUSIC, "vocals") for row in rows)
    rows = Mixer(corpus, MixConfig(queries=4, **settings)).batch(range(4)).labels
    assert all(row[3] != "vocals" for row in rows)


def test_clips_change_their_speed(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder / "clips"])
    drawn = [
        Mixer(corpus, MixConfig(frames=64, speed=speed)).clip(np.random.default_rng(7), "rain")
        for speed in (0.0, 0.3)
    ]
    assert drawn[0].audio.shape == drawn[1].audio.shape == (2, 63 * 1024)
    assert not torch.allclose(drawn[0].audio, drawn[1].audio, atol=1e-3)


def test_a_gpu_keeps_what_it_has_room_for() -> None:
    recordings = [np.full((10, 2), value, np.int16) for value in (16384, -16384)]
    memory = AudioCache(torch.device("cpu"))
    assert memory.read(recordings[0], 2, 6).shape == (2, 4)
    memory._free_bytes = 60  # as on a GPU; one recording takes 40
    for recording, value in zip(recordings, (0.5, -0.5), strict=True):
        assert memory.read(recording, 8, 20).tolist() == [[value] * 2] * 2
    recordings[0][:] = recordings[1][:] = 0
    held, read = (memory.read(recording) for recording in recordings)
    assert held.unique().tolist() == [0.5] and not read.any()


def test_captions_are_joined_when_clips_are_mixed(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder / "clips"])
    batch = Mixer(corpus, MixConfig(frames=64, queries=2, joined=1.0)).batch([0, 1])
    for row, targets, mixture in zip(batch.labels, batch.targets, batch.mixture, strict=True):
        assert {part for label in row for part in label.split(" + ")} == {"dog_bark", "rain"}
        for target in targets:  # both sources are asked for: all there is
            torch.testing.assert_close(target, mixture)


def vectors(corpus: Corpus) -> dict[str, Tensor]:
    labels = {label for song in corpus.songs for label in song.stems}
    labels |= {"vocals", "drums", "bass", "other", *corpus.clips}
    eye = torch.eye(16)
    return {label: eye[i : i + 1] for i, label in enumerate(sorted(labels))}


def recipe(mixer: Mixer, seed: int = 0) -> Supervised:
    torch.manual_seed(seed)
    net = QueryUNet(QueryUNetConfig(query_dim=16, film_dim=8))
    nn.init.constant_(net.gate.bias, -100.0)
    return Supervised(TrainableQueryUNet(net), mixer, vectors(mixer.corpus), SupervisedConfig())


def test_loss_falls_and_the_frozen_voice_stays(mixer: Mixer, tmp_path: Path) -> None:
    made = recipe(mixer)
    before = {name: value.clone() for name, value in made.model.voice.state_dict().items()}
    first = float(made.loss([0])[0].detach())
    train(
        made, LoopConfig(steps=6, batch=1, learning_rate=1e-3, warmup=1), tmp_path / "run", log=str
    )
    assert float(made.loss([0])[0].detach()) < first
    for name, value in made.model.voice.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_a_teacher_is_followed(mixer: Mixer) -> None:
    plain, made = recipe(mixer), recipe(mixer)
    made.teacher = recipe(mixer).net
    loss, metrics = made.loss([0])
    assert metrics["taught"] == pytest.approx(0, abs=1e-4)
    torch.testing.assert_close(loss, plain.loss([0])[0], atol=1e-3, rtol=1e-3)
    made.teacher = recipe(mixer, seed=1).net
    nn.init.constant_(made.teacher.model.music.head.bias, 1.0)
    made.teacher.model.music.head.bias.data[:2] = -3.0  # its masks are small
    loss, metrics = made.loss([0])
    assert metrics["taught"] > 0.1
    loss.backward()
    pull = made.model.music.head.bias.grad
    assert (pull[:2] > 0).all() and (pull[2:] < 0).all()  # towards smaller masks


def test_doubts_are_shared_out_as_in_use(mixer: Mixer) -> None:
    made = recipe(mixer)
    logits = list(3 * torch.randn(3, 1, 2, 64, 512))
    power = torch.rand(1, 2, 64, 512)
    pairs = [Products(power, power * share, power * share) for share in (0.2, 0.3, 0.5)]
    voice, rows = torch.full_like(power, 0.1), torch.tensor([True])
    made.config = SupervisedConfig(doubts=True)
    doubted = made._shared_loss(logits, pairs, voice, rows)
    made.config = SupervisedConfig()
    assert abs(float(doubted - made._shared_loss(logits, pairs, voice, rows))) > 1e-3
    logits[:2] = [part.sigmoid().pow(1.5).logit() for part in logits[:2]]  # but not `other`'s
    torch.testing.assert_close(doubted, made._shared_loss(logits, pairs, voice, rows))


def test_adapting_moves_only_normalisations_and_film(mixer: Mixer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = QueryUNet(QueryUNetConfig(query_dim=16, film_dim=8))
    trainable = TrainableQueryUNet(net, TuneConfig(tune="film"))
    made = Supervised(trainable, mixer, vectors(mixer.corpus), SupervisedConfig())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    train(
        made, LoopConfig(steps=2, batch=1, warmup=1, learning_rate=1e-3), tmp_path / "run", log=str
    )
    moved = {n for n, value in net.state_dict().items() if not torch.equal(value, before[n])}
    assert moved and all(".film." in name or ".norms." in name for name in moved)
    assert not any("running" in name for name in moved)


def test_a_model_in_training_can_be_scored() -> None:
    net = QueryUNet(QueryUNetConfig()).eval()  # with gradients, as the averaged model
    stems = stems_separator(net)(torch.randn(2, 30000))
    assert {stem: audio.shape for stem, audio in stems.items()} == dict.fromkeys(STEMS, (2, 30000))


def test_resuming_equals_going_on(mixer: Mixer, tmp_path: Path) -> None:
    config = {"batch": 1, "learning_rate": 1e-3, "warmup": 1}
    whole = train(recipe(mixer), LoopConfig(steps=4, **config), tmp_path / "a", log=str)
    train(recipe(mixer), LoopConfig(steps=2, **config), tmp_path / "b", log=str)
    resumed = train(recipe(mixer, seed=9), LoopConfig(steps=4, **config), tmp_path / "b", log=str)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_checkpoint_of_an_older_version_resumes(mixer: Mixer, tmp_path: Path) -> None:
    config = LoopConfig(steps=1, batch=1, learning_rate=1e-3, warmup=1)
    train(recipe(mixer), config, tmp_path, log=str)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for group in state["optimiser"]["param_groups"]:
        group["multiple"] = group.pop("lr_scale")
    torch.save(state, tmp_path / "checkpoint.pt")
    train(recipe(mixer), LoopConfig(steps=2, batch=1), tmp_path, log=str)
    groups = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimiser"]["param_groups"]
    assert [group["lr_scale"] for group in groups] == [1.0] and "multiple" not in groups[0]


def test_the_rate_falls_to_nothing_by_the_end_of_the_time() -> None:
    optimiser = torch.optim.SGD([{"params": [torch.zeros(1)], "lr_scale": 2.0}], lr=1.0)
    rates = []
    for spent in (0.0, 0.5, 1.0):
        _set_learning_rate(
            optimiser, LoopConfig(learning_rate=0.1, warmup=1, anneal=True), 5, spent
        )
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([0.2, 0.1, 0.0])
    _set_learning_rate(optimiser, LoopConfig(learning_rate=0.1, warmup=1, decay_steps=10), 20, 0.0)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.02)  # a tenth


class Tiny:
    """The smallest recipe."""

    name = "tiny"

    def __init__(self, width: int = 1) -> None:
        self.model = nn.Linear(width, 1)

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        return self.model.weight.square().sum(), {}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"score": 1.0}

    def groups(self) -> list[dict]:
        return [{"params": list(self.model.parameters())}]


def test_scoring_leaves_the_averaged_model_as_it_is(tmp_path: Path) -> None:
    seen = []

    class Scored(Tiny):
        def __init__(self) -> None:
            self.model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))

        def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
            return self.model[0].weight.square().sum(), {}

        def evaluate(self, model: nn.Module) -> dict[str, float]:
            seen.append(model.training)
            model(torch.ones(4, 1))
            return {"score": 0.0}

    lines: list[str] = []
    best = train(Scored(), LoopConfig(steps=2), tmp_path, log=lines.append)
    assert seen == [False, False]
    assert "step 0" in lines[0] and "dev, start" in lines[0] and "dev, end" in lines[-1]
    assert best.state_dict()["1.num_batches_tracked"] == 0


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(Tiny(), LoopConfig(steps=1), tmp_path, log=str)
    with pytest.raises(DataError, match="another configuration"):
        train(Tiny(width=2), LoopConfig(steps=2), tmp_path, log=str)


def test_a_checkpoint_of_another_recipe_or_seed_is_refused(tmp_path: Path) -> None:
    train(Tiny(), LoopConfig(steps=1), tmp_path, log=str)
    with pytest.raises(DataError, match="another configuration"):
        train(Tiny(), LoopConfig(steps=2, seed=1), tmp_path, log=str)
    other = Tiny()
    other.name = "other"
    with pytest.raises(DataError, match="another configuration"):
        train(other, LoopConfig(steps=2), tmp_path, log=str)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(Tiny(), LoopConfig(steps=1), tmp_path, log=str)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"checkpoint.pt: damaged"):
        train(Tiny(), LoopConfig(steps=2), tmp_path, log=str)


def test_a_full_disk_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(Tiny(), LoopConfig(steps=1), tmp_path, log=str)
    old = (tmp_path / "checkpoint.pt").read_bytes()

    def full(state: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="previous one stays"):
        train(Tiny(), LoopConfig(steps=2), tmp_path, log=str)
    assert (tmp_path / "checkpoint.pt").read_bytes() == old
    assert not list(tmp_path.glob("*.tmp"))


def test_frame_sdr_by_hand() -> None:
    reference = np.zeros((1, 300))
    reference[:, :100], reference[:, 100:200] = 1.0, 0.5
    estimate = reference.copy()
    estimate[:, :100] = 0.9
    estimate[:, 100:200] = 0.25
    frames = frame_sdr(reference, estimate, 100)
    np.testing.assert_allclose(frames, [20.0, 10 * np.log10(4), np.nan], atol=1e-6)


def test_dev_set_scores_a_perfect_separation_highest(corpus_folder: Path) -> None:
    dev = DevSet([load_song(corpus_folder / "songs" / "one")], max_seconds=SECONDS)
    mixture = dev.score(lambda mix: dict.fromkeys(("vocals", "drums", "bass", "other"), mix))
    assert mixture["score"] < 0
    assert set(mixture) == {"vocals", "drums", "bass", "other", "score"}
