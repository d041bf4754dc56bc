"""The query net: phrases that no caption holds land where they belong, fast and offline."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from separate.audio import read_audio, write_audio
from separate.batch.separation import make_job, query_data
from separate.errors import InputError, QueryError
from separate.files import sha256_of
from separate.queries import vocabulary
from separate.queries.embedded import shipped_encoder
from separate.queries.encoders import load_encoder
from separate.queries.query import (
    Query,
    embed_example,
    embed_query,
    means_part,
    parse_query,
)
from separate.settings import Request, Settings

STEMS = vocabulary.STEMS
PROBES = [(stem, phrase) for stem, group in vocabulary.PROBES.items() for phrase in group]
MUSICAL = [(stem, phrase) for stem, phrase in PROBES if stem is not None]
FRESH = [(stem, phrase) for stem, group in vocabulary.FRESH_PROBES.items() for phrase in group]
UNRELATED = [phrase for stem, phrase in PROBES if stem is None]
NAMED_IN_ISSUE = {
    "drums": ("percussion", "kit", "beat", "drumming"),
    "vocals": ("singer", "female voice", "rap", "choir"),
}


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("embedded")


@pytest.fixture(scope="module")
def hearing(encoder):
    if encoder.net.audio is None:
        pytest.skip("the shipped query net has no audio tower; train it: query_net audio")
    return encoder


def cosines(encoder, phrases, others):
    return encoder.embed_text(phrases) @ encoder.embed_text(others).T


def test_probes_are_in_no_training_caption():
    captions = {
        text
        for label in vocabulary.labels().values()
        for text in vocabulary.training_captions(label)
    }
    assert len(MUSICAL) >= 40
    assert not captions & {phrase for _, phrase in [*PROBES, *FRESH]}


def share_nearest_their_stem(encoder, pairs):
    near = cosines(encoder, [phrase for _, phrase in pairs], list(STEMS)).argmax(dim=1).tolist()
    wrong = [pair for pair, row in zip(pairs, near, strict=True) if STEMS[row] != pair[0]]
    return 1 - len(wrong) / len(pairs), wrong


def test_held_out_phrases_land_nearest_their_stem(encoder):
    right, wrong = share_nearest_their_stem(encoder, MUSICAL)
    assert right >= 0.95, wrong


def test_phrases_nobody_looked_at_land_nearest_their_stem(encoder):
    right, wrong = share_nearest_their_stem(encoder, FRESH)
    assert right >= 0.85, wrong


@pytest.mark.parametrize("stem", NAMED_IN_ISSUE)
def test_synonyms_are_clearly_nearer_their_stem_than_the_opposite(encoder, stem):
    opposite = "vocals" if stem == "drums" else "drums"
    near = cosines(encoder, list(NAMED_IN_ISSUE[stem]), [stem, opposite])
    assert (near[:, 0] - near[:, 1] > 0.15).all(), near


@pytest.mark.parametrize("phrase", UNRELATED)
def test_unrelated_phrase_is_far_from_every_stem(encoder, phrase):
    assert cosines(encoder, [phrase], list(STEMS)).max() < 0.35


@pytest.mark.parametrize(
    ("fine", "other", "parent"),
    [
        ("kick", "snare", "drums"),
        ("snare", "hi-hat", "drums"),
        ("kick", "hi-hat", "drums"),
        ("lead vocals", "backing vocals", "vocals"),
        ("male vocals", "female vocals", "vocals"),
        ("piano", "guitar", "other"),
        ("violin", "cello", "strings"),
        ("trumpet", "trombone", "brass"),
    ],
)
def test_fine_labels_differ_but_stay_near_their_parent(encoder, fine, other, parent):
    vectors = encoder.embed_text([fine, other, parent, "dog bark"])
    near = vectors @ vectors.T
    assert near[0, 1] < 0.8
    assert near[0, 2] > near[0, 3] + 0.2
    assert near[1, 2] > near[1, 3] + 0.2


def test_labels_find_themselves_in_any_template(encoder):
    names = list(vocabulary.labels())
    phrases = [template.format(name) for name in names for template in vocabulary.TEMPLATES]
    found = cosines(encoder, phrases, names).argmax(1).reshape(len(names), -1)
    right = (found == torch.arange(len(names)).unsqueeze(1)).float().mean()
    assert right > 0.95


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(encoder):
    phrases = ["drums", "the sound of an old upright piano in a large hall", "Émile's GUITAR!"]
    together = encoder.embed_text(phrases)
    alone = torch.cat([encoder.embed_text([phrase]) for phrase in phrases])
    assert together.shape == (3, encoder.dim) == (3, 128)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("phrase", ["", "   ", "\n", "🎸", "鼓"])
def test_phrase_without_words_is_refused(encoder, phrase):
    with pytest.raises(QueryError):
        encoder.embed_text(["drums", phrase])


def test_long_phrase_is_cut_not_refused(encoder):
    assert encoder.embed_text(["drums " * 5000]).shape == (1, 128)


def test_loading_and_embedding_is_fast_and_imports_no_transformers():
    code = (
        "import sys, time, torch, safetensors.torch; start = time.process_time();"
        "from separate.queries.encoders import load_encoder;"
        "load_encoder().embed_text(['the snare drum']);"
        "seconds = time.process_time() - start;"
        "assert not {'transformers', 'torchaudio', 'tokenizers'} & sys.modules.keys();"
        "print(seconds)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # the time of its processor is measured
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    assert float(done.stdout) < 0.3


def test_unknown_encoder_is_refused():
    with pytest.raises(QueryError, match="embedded"):
        load_encoder("nonsense")


def test_parse_query_keeps_words_and_exclusions():
    query = parse_query("  lead   vocals ", exclude=["backing vocals"])
    assert query == Query("lead vocals", ("lead vocals",), (), ("backing vocals",))


@pytest.mark.parametrize(
    ("text", "exclude"), [("", ()), ("  ", ()), ("drums", ("",)), ("x" * 1001, ())]
)
def test_parse_query_refuses(text, exclude):
    with pytest.raises(QueryError):
        parse_query(text, exclude=exclude)


def test_embed_query_gives_positive_and_negatives(encoder):
    positive, negatives = embed_query(encoder, parse_query("vocals", exclude=["choir", "speech"]))
    assert positive.shape == (128,)
    assert len(negatives) == 2
    torch.testing.assert_close(positive, encoder.embed_text(["vocals"])[0])


def test_data_set_labels_are_ours():
    assert vocabulary.label_of("lead_vocals").stem == "vocals"
    assert vocabulary.label_of("hihat").stem == "drums"
    assert vocabulary.label_of("electric_guitar").stem == "other"
    assert vocabulary.label_of("dog_bark").stem is None


def test_audioset_has_527_classes_and_a_tree():
    classes = vocabulary.audioset_classes()
    parents = vocabulary.audioset_parents()
    assert len(classes) == 527
    assert classes[0] == "Speech"
    assert len(parents) == 632
    assert all(name in parents for name in classes)
    assert "Guitar" in parents["Electric guitar"]


class Counting:
    """An encoder that keeps what it hears; its vector is the sound's mean and its loudness."""

    name, dim = "counting", 2

    def __init__(self):
        self.heard = []

    def embed_audio(self, waveform, sample_rate):
        self.heard.append(waveform.shape[-1] / sample_rate)
        vector = torch.stack([waveform.mean(dim=1), waveform.abs().mean(dim=1)], dim=1)
        return torch.nn.functional.normalize(vector, dim=1)


def example(folder, seconds, levels=(0.5,), rate=8_000):
    """Write a file with one level after the other, each as long as the next."""
    level = np.repeat(np.array(levels, np.float32), int(seconds * rate / len(levels)))
    return write_audio(folder / "example.wav", np.stack([level, level]), rate, subtype="FLOAT")


def test_example_is_the_mean_of_its_pieces_without_the_silent_ones(tmp_path):
    encoder = Counting()
    vector = embed_example(encoder, example(tmp_path, 16, (0.5, 0.0, -0.5, 0.001)))
    assert encoder.heard == [4.0, 4.0]
    torch.testing.assert_close(vector, torch.tensor([0.0, 1.0]))


def test_quiet_example_is_heard_but_silent_or_short_one_is_refused(tmp_path):
    encoder = Counting()
    assert embed_example(encoder, example(tmp_path, 1, (0.005,))).shape == (2,)
    with pytest.raises(QueryError, match="silent"):
        embed_example(encoder, example(tmp_path, 6, (0.0005,)))
    with pytest.raises(QueryError, match="shorter"):
        embed_example(encoder, example(tmp_path, 0.1))
    with pytest.raises(InputError):
        embed_example(encoder, tmp_path / "missing.wav")


def test_example_whose_sound_is_all_in_a_short_last_piece_is_heard(tmp_path):
    encoder = Counting()
    embed_example(encoder, example(tmp_path, 4.1, (0.0,) * 40 + (0.5,)))
    assert encoder.heard == [pytest.approx(4.1, abs=0.01)]


def test_endless_example_is_listened_to_for_five_minutes(tmp_path):
    encoder = Counting()
    embed_example(encoder, example(tmp_path, 310, rate=1_000))
    assert sum(encoder.heard) == pytest.approx(300)


def test_words_and_examples_are_averaged(tmp_path, hearing):
    path = write_audio(tmp_path / "tone.wav", tone(2.0), 44_100)
    words, _ = embed_query(hearing, parse_query("beep"))
    sound, _ = embed_query(hearing, parse_query(like=[path]))
    both, _ = embed_query(hearing, parse_query("beep", like=[path]))
    torch.testing.assert_close(both, torch.nn.functional.normalize(words + sound, dim=0))


def tone(seconds, rate=44_100):
    time = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32)[None]


def test_sounds_have_unit_length_and_let_gradients_through(hearing):
    waveform = torch.from_numpy(tone(1.0)).repeat(2, 1).requires_grad_()
    vectors = hearing.embed_audio(waveform, 44_100)
    torch.testing.assert_close(vectors.detach().norm(dim=1), torch.ones(2))
    vectors[:, 0].sum().backward()
    assert torch.isfinite(waveform.grad).all() and waveform.grad.abs().max() > 0
    _, likelihoods = hearing.embed_and_tag(waveform.detach(), 44_100)
    assert likelihoods.shape == (2, 527)
    assert ((likelihoods >= 0) & (likelihoods <= 1)).all()


@pytest.fixture(scope="module")
def clips(shared_data, hearing):
    """Two held-out clips of each label: (labels, vectors of the first, of the second)."""
    found = {}
    for folder in sorted(path for path in (shared_data / "clips").iterdir() if path.is_dir()):
        paths = [path for path in sorted(folder.iterdir()) if int(path.stem) % 10 == 0]
        label = vocabulary.label_of(folder.name).name
        found[label] = [embed_example(hearing, path) for path in (paths[0], paths[-1])]
    first, second = (torch.stack([pair[side] for pair in found.values()]) for side in (0, 1))
    return list(found), first, second


def share_of_diagonal(near):
    return (near.argmax(dim=1) == torch.arange(len(near))).float().mean().item()


def test_held_out_clips_land_near_their_label(hearing, clips):
    labels, first, second = clips
    words = hearing.embed_text(labels)
    assert len(labels) == 26
    for sounds in (first, second):
        assert share_of_diagonal(sounds @ words.T) >= 0.8


def test_held_out_example_finds_the_other_clip_of_its_label(clips):
    _, first, second = clips
    assert share_of_diagonal(first @ second.T) >= 0.75


def test_stems_of_the_held_out_song_land_near_their_stem(hearing, shared_data):
    hits = []
    for path in sorted((shared_data / "songs" / "train" / "Caesium").glob("*.ogg")):
        stem = vocabulary.label_of(path.stem).stem
        samples, rate = read_audio(path)
        mono = torch.from_numpy(samples.mean(axis=0))
        windows = [part for part in mono.split(10 * rate) if part.abs().max() > 0.05][:6]
        near = hearing.embed_audio(torch.stack(windows[:-1]), rate) @ hearing.embed_text(STEMS).T
        hits.extend(STEMS[row] == stem for row in near.argmax(dim=1).tolist())
    assert sum(hits) / len(hits) >= 0.6


@pytest.mark.parametrize(
    ("wanted", "unwanted", "is_part"),
    [
        ("vocals", "backing vocals", True),
        ("drums", "the snare", True),
        ("flute", "cello", False),
        ("snare", "drums", False),
        ("vocals", "vocals", False),
    ],
)
def test_what_is_not_meant_is_a_part_or_a_rival(encoder, wanted, unwanted, is_part):
    first, second = encoder.embed_text([wanted, unwanted])
    assert means_part(encoder, first, second) is is_part


def test_weights_of_words_and_examples(tmp_path, hearing):
    path = write_audio(tmp_path / "tone.wav", tone(2.0), 44_100)
    words, sound = (
        embed_query(hearing, query)[0] for query in (parse_query("drums"), parse_query(like=[path]))
    )
    for weight, expected in ((1.0, words), (0.0, sound)):
        both, _ = embed_query(hearing, parse_query("drums", like=[path], text_weight=weight))
        torch.testing.assert_close(both, expected)
    _, negatives = embed_query(hearing, parse_query("drums", exclude=["snare"], unlike=[path]))
    torch.testing.assert_close(negatives[1], sound)


@pytest.mark.parametrize(
    "weights", [{"text_weight": 1.5}, {"negative_weight": -1}, {"negative_weight": 11}]
)
def test_weights_out_of_range_are_refused(weights):
    with pytest.raises(QueryError, match="give 0 to"):
        parse_query("drums", **weights)


def test_a_task_hands_examples_and_weights_on_and_records_them(tmp_path):
    path = write_audio(tmp_path / "tone.wav", tone(1.0), 44_100)
    request = Request(texts=("drums",), unlike=(path,), negative_weight=2.0)
    job = make_job(tmp_path, Settings(), request)
    (query,) = job.queries
    assert query.unlike == (path,) and query.negative_weight == 2.0
    (entry,) = query_data(job.queries)
    assert entry["unlike"][0]["sha256"] == sha256_of(path) and entry["firmness"] == 2.0
    with pytest.raises(InputError, match="--not-like"):
        make_job(tmp_path, Settings(), replace(request, unlike=(tmp_path / "missing.wav",)))


def test_the_first_load_leaves_the_random_generator_where_it_was() -> None:
    before = torch.get_rng_state()
    shipped_encoder.__wrapped__()  # not the one that an earlier test has loaded
    assert torch.equal(torch.get_rng_state(), before)
