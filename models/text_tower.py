"""Text to unit vectors: a static token table distilled from MiniLM, a weighted mean, a small MLP.

In: phrases. Out: `(n, dim)` vectors of unit length. There is no attention and no
dependency but torch: a phrase needs a few table look-ups. The table (int8, one scale a row) and the
WordPiece vocabulary are both inside the state dict, so one safetensors file is the whole tower.

Sources: W. Wang et al., "MiniLM: Deep Self-Attention Distillation", NeurIPS 2020 (the teacher);
J. Devlin et al., "BERT", NAACL 2019 (WordPiece, uncased).
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_TOKENS = 64  # longer phrases are cut
_CONTINUATION = "##"
_EPS = 1e-8


@dataclass(frozen=True)
class TextTowerConfig:
    """Sizes; all are numbers of features, unless the comment differs."""

    tokens: int  # rows of the table
    vocabulary_bytes: int  # length of the vocabulary, UTF-8, one token a line
    table_dim: int = 160
    context_dim: int = 192  # of a token with its neighbours: word order
    meaning_dim: int = 384  # MiniLM's space
    hidden_dim: int = 512
    dim: int = 128  # the joint space of text and audio


class WordPiece:
    """BERT's uncased tokenizer: lower case, no accents, punctuation apart, longest pieces first."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.tokens = list(vocabulary)
        self.index = {token: row for row, token in enumerate(self.tokens)}
        self._longest = max((len(token) for token in self.tokens), default=0)

    def encode(self, phrase: str) -> list[int]:
        """Return the rows of a phrase's tokens; words that cannot be spelt are left out."""
        rows: list[int] = []
        for word in split_words(phrase):
            rows.extend(self._pieces(word))
            if len(rows) >= MAX_TOKENS:
                break
        return rows[:MAX_TOKENS]

    def _pieces(self, word: str) -> list[int]:
        rows: list[int] = []
        start = 0
        while start < len(word):
            prefix = _CONTINUATION if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                row = self.index.get(prefix + word[start:end])
                if row is not None:
                    rows.append(row)
                    start = end
                    break
            else:
                return []  # BERT's [UNK]: it carries no meaning
        return rows


def split_words(phrase: str) -> Iterable[str]:
    """Yield lower-case words without accents; each punctuation mark is a word."""
    word = ""
    for character in unicodedata.normalize("NFD", phrase.lower()):
        category = unicodedata.category(character)
        if category == "Mn":
            continue
        if character.isspace() or category.startswith("C"):
            if word:
                yield word
            word = ""
        elif category[0] in "PS":
            if word:
                yield word
            yield character
            word = ""
        else:
            word += character
    if word:
        yield word


def pack_vocabulary(tokens: Sequence[str]) -> Tensor:
    """Return the tokens as UTF-8 bytes, one a line, uint8 `(bytes,)`."""
    return torch.tensor(list("\n".join(tokens).encode()), dtype=torch.uint8)


def quantise_rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise `(n, dim)` float rows to int8.

    Returns:
        int8 `(n, dim)` and float16 scales `(n, 1)`; their product is the table.
    """
    scales = (table.abs().amax(dim=1, keepdim=True) / 127).clamp_min(1e-6).half()
    return (table / scales.float()).round().clamp(-127, 127).to(torch.int8), scales


class TextTower(nn.Module):
    """Phrases to unit vectors; `state_dict` holds the vocabulary and the int8 table too."""

    vocabulary: Tensor
    rows: Tensor
    scales: Tensor

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.table_dim
        self.register_buffer("vocabulary", torch.zeros(config.vocabulary_bytes, dtype=torch.uint8))
        self.register_buffer("rows", torch.zeros(config.tokens, width, dtype=torch.int8))
        self.register_buffer("scales", torch.ones(config.tokens, 1, dtype=torch.float16))
        self.importance = nn.Linear(width, 1)
        self.context = nn.Conv1d(width, config.context_dim, kernel_size=3, padding=1)
        self.meaning = nn.Linear(width + config.context_dim, config.meaning_dim)
        self.hidden = nn.Linear(config.meaning_dim, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, config.dim)
        self.shortcut = nn.Linear(config.meaning_dim, config.dim, bias=False)
        self._tokenizer: WordPiece | None = None

    @property
    def tokenizer(self) -> WordPiece:
        """The tokenizer of this tower's vocabulary, built when first used."""
        if self._tokenizer is None:
            data = bytes(self.vocabulary.cpu().numpy().tobytes())
            self._tokenizer = WordPiece(data.decode().split("\n"))
        return self._tokenizer

    def look_up(self, tokens: Tensor) -> Tensor:
        """Return the table's rows, float32 `(..., table_dim)`, of tokens `(...)`."""
        return self.rows[tokens].float() * self.scales[tokens].float()

    def pad(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Tokenise phrases.

        Returns:
            Tokens `(n, longest)`, int64, and which of them exist, bool of the same shape. A phrase
            without a known word has none.
        """
        encoded = [self.tokenizer.encode(phrase) for phrase in phrases]
        longest = max([len(rows) for rows in encoded] + [1])
        tokens = torch.zeros(len(encoded), longest, dtype=torch.int64)
        mask = torch.zeros(len(encoded), longest, dtype=torch.bool)
        for row, ids in enumerate(encoded):
            tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
            mask[row, : len(ids)] = True
        device = self.importance.weight.device
        return tokens.to(device), mask.to(device)

    def embed_meaning(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Estimate MiniLM's sentence embedding.

        Args:
            tokens: `(n, longest)`, int64.
            mask: `(n, longest)`, bool, True where there is a token.

        Returns:
            `(n, meaning_dim)`, of unit length.
        """
        present = mask.unsqueeze(-1)
        vectors = self.look_up(tokens) * present
        weights = functional.softplus(self.importance(vectors)) * present
        weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(_EPS)
        context = functional.gelu(self.context(vectors.transpose(1, 2)).transpose(1, 2))
        mean = torch.cat([vectors, context], dim=-1).mul(weights).sum(dim=1)
        return functional.normalize(self.meaning(mean), dim=-1)

    def project(self, meaning: Tensor) -> Tensor:
        """Map meanings `(n, meaning_dim)` to the joint space, `(n, dim)`, of unit length."""
        spread = meaning * meaning.shape[-1] ** 0.5  # unit variance, where GELU is curved
        hidden = functional.gelu(self.hidden(spread))
        return functional.normalize(self.output(hidden) + self.shortcut(spread), dim=-1)

    def forward(self, phrases: Sequence[str]) -> Tensor:
        """Embed phrases.

        Args:
            phrases: English; any length, only the first 64 tokens count.

        Returns:
            `(n, dim)`, of unit length.
        """
        return self.project(self.embed_meaning(*self.pad(phrases)))
