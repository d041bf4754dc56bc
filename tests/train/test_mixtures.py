"""Phrases and mixtures of mixtures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from separate.errors import DataError
from separate.queries.encoders import load_encoder
from separate.queries.vocabulary import training_captions
from separate.train.data.folders import Clip, Corpus, load_corpus
from separate.train.data.mixtures import MixtureConfig, MixtureMixer, Mixtures
from separate.train.data.phrases import PhraseBook, draw_wording, phrases_of, prompt

SMALL = MixtureConfig(frames=64)


def test_captions_are_cut_at_connectives() -> None:
    assert phrases_of("a dog barks while rain falls") == ("a dog barks", "rain falls")
    assert phrases_of("A man speaks, followed by a siren, and then a siren") == (
        "A man speaks",
        "a siren",
    )
    assert phrases_of("birds sing in the background") == ("birds sing",)
    assert phrases_of("the sandman asks") == ("the sandman asks",)  # no word is cut inside
    assert phrases_of("dog_bark") == ("dog_bark",)
    assert prompt("dog_bark") == "the sound of dog bark"


def test_the_phrase_book_knows_labels_captions_and_joined_ones() -> None:
    encoder = load_encoder("embedded")
    book, plain = PhraseBook(encoder), PhraseBook(encoder, varied=False)
    from separate.queries.vocabulary import label_of

    assert len(book["dog_bark"]) == len(training_captions(label_of("dog_bark")))
    torch.testing.assert_close(plain["dog_bark"], encoder.embed_text(["the sound of dog bark"]))
    pair = plain["dog_bark + rain"]
    wanted = encoder.embed_text(["the sound mixture of dog bark and rain"])
    torch.testing.assert_close(pair, wanted)
    assert len(book["dog_bark + rain"]) > 1 and len(book["a lorry passes by"]) == 2
    drawn = [draw_wording(book["dog_bark"], (3, place), 0.03) for place in (0, 0, 1)]
    torch.testing.assert_close(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2]) and float(drawn[0].norm()) == pytest.approx(1)


def test_the_parts_sum_to_the_whole_and_name_their_sources(corpus_folder: Path) -> None:
    mixer = MixtureMixer(load_corpus([corpus_folder]), SMALL)
    batch = mixer.batch(range(12))
    assert batch.parts.shape == (12, 2, 2, 64, 2049)
    torch.testing.assert_close(batch.parts.sum(1), batch.whole)
    for row in batch.phrases:
        assert all(1 <= len(set(part)) == len(part) <= 2 for part in row)
    seen = {phrase for row in batch.phrases for part in row for phrase in part}
    assert {"dog_bark", "rain", "kick"} <= seen and "rest" not in seen
    again = mixer.batch([4])
    torch.testing.assert_close(again.whole[0], batch.whole[4])
    assert again.phrases[0] == batch.phrases[4]


def test_with_one_source_each_part_is_a_source(corpus_folder: Path) -> None:
    corpus = load_corpus([corpus_folder / "clips"])
    batch = MixtureMixer(corpus, MixtureConfig(frames=64, sources=1, channels=1)).batch(range(4))
    assert batch.parts.shape == (4, 2, 1, 64, 2049)
    assert all(len(part) == 1 for row in batch.phrases for part in row)


def test_parts_share_no_label_where_there_are_enough(tmp_path: Path, write_clips: Callable) -> None:
    write_clips(tmp_path / "c", ("dog_bark", "rain", "flute", "kick"))
    batch = MixtureMixer(load_corpus([tmp_path]), SMALL).batch(range(4))
    assert all(not set(first) & set(second) for first, second in batch.phrases)


def test_a_caption_of_two_sounds_is_a_mixture_by_itself(
    tmp_path: Path, write_clips: Callable
) -> None:
    write_clips(tmp_path / "c", ("a dog barks and rain falls", "a man speaks over music"))
    batch = MixtureMixer(load_corpus([tmp_path]), SMALL).batch(range(3))
    assert {len(part) for row in batch.phrases for part in row} == {2}
    assert batch.joined()[0][0].count(" + ") == 1


def test_a_repeated_phrase_weighs_one_over_its_count() -> None:
    zero = torch.zeros(1, 2, 1, 1, 1)
    batch = Mixtures(zero[:, 0], zero, ((("rain", "wind"), ("rain",)),))
    wanted = torch.tensor([[[0.5, 1.0], [0.5, 0.0]]])
    torch.testing.assert_close(batch.phrase_weights(), wanted)


def test_gains_lie_in_their_range(tmp_path: Path, write_clips: Callable) -> None:
    write_clips(tmp_path / "c", ("dog_bark", "rain"))
    config = MixtureConfig(frames=64, sources=1, channels=1)
    batch = MixtureMixer(load_corpus([tmp_path]), config).batch(range(12))
    powers = batch.parts.abs().square().mean((2, 3, 4)).sqrt().flatten().numpy()
    assert np.ptp(powers) > 0.3 * powers.mean() and powers.max() / powers.min() < 3.5


def test_too_few_labels_are_refused(tmp_path: Path, write_clips: Callable) -> None:
    write_clips(tmp_path / "c", ("dog_bark",))
    with pytest.raises(DataError, match=r"1 label\(s\) of clips: mixtures need 2"):
        MixtureMixer(load_corpus([tmp_path]), SMALL)


def test_a_share_of_the_phrases_is_left_out_or_swapped() -> None:
    labels = ("dog_bark", "rain", "flute", "cello", "rooster", "oboe", "banjo", "helicopter")
    noise = np.random.default_rng(0).integers(-3000, 3000, (8, 8000, 2)).astype(np.int16)
    corpus = Corpus((), {label: (Clip(noise[i]),) for i, label in enumerate(labels)})
    config = replace(SMALL, channels=1)
    right = MixtureMixer(corpus, config)
    wrong = MixtureMixer(corpus, replace(config, wrong_captions=0.2))
    kept = dropped = swapped = 0
    for number in range(150):
        (audio, true), (same, said) = right._example(number), wrong._example(number)
        np.testing.assert_array_equal(audio, same)  # what sounds is what it was
        sounding = {phrase for part in true for phrase in part}
        for part, caption in zip(true, said, strict=True):
            assert 1 <= len(set(caption)) == len(caption) <= len(part)
            absent = [phrase for phrase in caption if phrase not in part]
            assert not set(absent) & sounding
            kept += len(caption) - len(absent)
            swapped += len(absent)
            dropped += len(part) - len(caption)
    assert kept / 600 == pytest.approx(0.8, abs=0.05)
    assert dropped > 25 and swapped > 25
    assert wrong._example(7)[1] == MixtureMixer(corpus, wrong.config)._example(7)[1]


def test_the_only_phrase_of_a_part_is_swapped_and_not_left_out(
    tmp_path: Path, write_clips: Callable
) -> None:
    write_clips(tmp_path / "clips", ("dog_bark", "rain", "flute", "cello"))
    config = replace(SMALL, channels=1, sources=1, wrong_captions=1.0)
    mixer = MixtureMixer(load_corpus([tmp_path / "clips"]), config)
    truth = MixtureMixer(mixer.mixer.corpus, replace(config, wrong_captions=0.0))
    for number in range(10):
        said, true = mixer._example(number)[1], truth._example(number)[1]
        assert all(len(part) == 1 for part in said)
        assert not {part[0] for part in said} & {part[0] for part in true}
