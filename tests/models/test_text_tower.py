"""The text tower's parts, with weights made here."""

import pytest
import torch

from separate.models.text_tower import (
    TextTower,
    TextTowerConfig,
    WordPiece,
    pack_vocabulary,
    quantise_rows,
    split_words,
)

TOKENS = ["drum", "##s", "##mer", "the", "e", "##t", "!", "hi", "-", "hat"]


@pytest.fixture
def tower():
    torch.manual_seed(0)
    config = TextTowerConfig(len(TOKENS), len(pack_vocabulary(TOKENS)), 8, 6, 12, 10, 4)
    tower = TextTower(config).eval()
    tower.vocabulary.copy_(pack_vocabulary(TOKENS))
    tower.rows.copy_(torch.randint(-127, 127, tower.rows.shape))
    return tower


@pytest.mark.parametrize(
    ("phrase", "pieces"),
    [
        ("Drums", ["drum", "##s"]),
        ("the DRUMMER!", ["the", "drum", "##mer", "!"]),
        ("hi-hat", ["hi", "-", "hat"]),
        ("Été", ["e", "##t"]),
        ("unknown drum", ["drum"]),
        ("", []),
    ],
)
def test_word_pieces(phrase, pieces):
    tokenizer = WordPiece(TOKENS)
    found = [tokenizer.tokens[row] for row in tokenizer.encode(phrase)]
    assert found == (pieces if phrase != "Été" else [])  # "ete" has a piece that is not there


def test_words_are_lower_case_without_accents():
    assert list(split_words("Él  canta,\tbien!")) == ["el", "canta", ",", "bien", "!"]


def test_forward_gives_unit_vectors_whatever_the_padding(tower):
    together = tower(["drum", "the drummer the drummer hi-hat", "nothing known"])
    assert together.shape == (3, 4)
    torch.testing.assert_close(together[:2].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(together[:1], tower(["drum"]))


def test_word_order_counts(tower):
    assert not torch.allclose(tower(["hi drum the"]), tower(["the drum hi"]), atol=1e-4)


def test_quantised_rows_are_close():
    table = torch.randn(50, 16)
    rows, scales = quantise_rows(table)
    assert rows.dtype == torch.int8
    assert scales.dtype == torch.float16
    worst = (rows.float() * scales.float() - table).abs().amax(dim=1)
    assert (worst <= table.abs().amax(dim=1) / 127).all()


def test_state_dict_is_the_whole_tower(tower):
    again = TextTower(tower.config).eval()
    again.load_state_dict(tower.state_dict(), strict=True)
    torch.testing.assert_close(again(["the drums"]), tower(["the drums"]))
