"""Training of the text tower: first MiniLM's meaning of phrases, then the joint space.

The teacher's vectors and the phrases of `phrases.py` train a `TextTower` with an int8 table.

The joint space is shaped by a tree: each label gets a vector (children near their parents, siblings
nearer than unrelated labels), the target of its captions. The targets of phrases without a label
are the labels that are near by the teacher; else they keep the teacher's geometry, so that words of
no caption lie near their neighbours.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.text_tower import (
    TextTower,
    TextTowerConfig,
    pack_vocabulary,
    quantise_rows,
)
from separate.queries import vocabulary
from separate.train.finite import StepGuard
from separate.train.query_net.minilm import DIM, MiniLM
from separate.train.query_net.phrases import (
    Captions,
    general_phrases,
    joined_captions,
    labelled_captions,
    whole_words,
)

log = logging.getLogger(__name__)

_SPELLABLE = re.compile(r"(##)?[a-z]+|(##)?[0-9]{1,4}|[!-~]")


@dataclass(frozen=True)
class TextTraining:
    """How the text tower is trained."""

    phrases: int = 75_000  # general English phrases beside the single words
    joints: int = 6_000  # captions of two sources
    meaning_steps: int = 2_500  # steps of the first stage
    meaning_batch: int = 384  # phrases a step
    space_steps: int = 1_800  # steps of the second stage
    space_batch: int = 256  # labelled captions a step; as many general phrases, a quarter joints
    meaning_rate: float = 2e-3  # learning rate of the first stage, falling to zero
    space_rate: float = 1e-3  # of the second
    noise: float = 0.4  # length of the noise added to a meaning of unit length
    tree_share: float = 0.8  # of the tree in the labels' similarity; the rest is the teacher's
    unrelated: float = 0.28  # teacher's cosine that counts as unrelated
    trusted: float = 0.6  # teacher's cosine to a caption from which a phrase follows its label
    geometry: float = 1.0  # weight of the teacher's geometry among phrases without a label
    temperature: float = 0.1  # of the contrast between labels
    contrast: float = 0.3  # weight of that contrast
    seed: int = 0


@dataclass(frozen=True)
class TextCorpus:
    """All phrases with the teacher's embeddings."""

    captions: Captions
    general: list[str]
    joints: list[tuple[int, int]]  # rows of the two single captions
    joint_phrases: list[str]
    teacher: dict[str, Tensor]  # "tokens", "captions", "general", "joints": (n, 384)
    tokens: list[str]  # rows of the table


class _Trainable(TextTower):
    """The text tower with a float table, to be quantised afterwards."""

    def __init__(self, config: TextTowerConfig, table: Tensor) -> None:
        super().__init__(config)
        self.table = nn.Parameter(table)

    def look_up(self, tokens: Tensor) -> Tensor:
        return functional.embedding(tokens, self.table, sparse=True)


def build_corpus(
    teacher: MiniLM, words: Path | None, settings: TextTraining, cache: Path | None = None
) -> TextCorpus:
    """Collect the phrases and embed them with the teacher (about two milliseconds each).

    Args:
        teacher: MiniLM.
        words: A file of English words, or None.
        settings: Counts and seed.
        cache: A file that keeps the embeddings between runs, or None.
    """
    tokens = [token for token in teacher.tokenizer.tokens if _SPELLABLE.fullmatch(token)]
    captions = labelled_captions()
    general = general_phrases(tokens, words, settings.phrases, settings.seed)
    general = list(dict.fromkeys([*whole_words(tokens), *general]))
    row = {text: index for index, text in enumerate(captions.phrases)}
    triples = [
        (text, row[first], row[second])
        for text, first, second in joined_captions(settings.joints, settings.seed)
    ]
    groups = {
        "tokens": [token.removeprefix("##") for token in tokens],
        "captions": captions.phrases,
        "general": general,
        "joints": [text for text, _, _ in triples],
    }
    known = _Known(cache)
    known.add(teacher, [text for group in groups.values() for text in group])
    embedded = {name: known.look_up(group) for name, group in groups.items()}
    joints = [(first, second) for _, first, second in triples]
    return TextCorpus(captions, general, joints, groups["joints"], embedded, tokens)


class _Known:
    """The teacher's embeddings by phrase, kept in a file between runs."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.vectors = torch.empty(0, DIM)
        if path is not None and path.exists():
            content = torch.load(path, weights_only=True)
            self.rows = {text: row for row, text in enumerate(content["phrases"])}
            self.vectors = content["vectors"]

    def add(self, teacher: MiniLM, phrases: list[str]) -> None:
        missing = [text for text in dict.fromkeys(phrases) if text not in self.rows]
        if not missing:
            return
        log.info("the teacher embeds %d phrases", len(missing))
        for text in missing:
            self.rows[text] = len(self.rows)
        self.vectors = torch.cat([self.vectors, teacher.embed(missing)])
        if self.path is not None:
            torch.save({"phrases": list(self.rows), "vectors": self.vectors}, self.path)

    def look_up(self, phrases: list[str]) -> Tensor:
        return self.vectors[torch.tensor([self.rows[text] for text in phrases])]


def train_text(corpus: TextCorpus, settings: TextTraining) -> TextTower:
    """Train both stages and quantise the table."""
    torch.manual_seed(settings.seed)
    model = _initial(corpus)
    _train_meaning(model, corpus, settings)
    tower = _quantised(model)
    _train_space(tower, corpus, settings)
    return tower.eval()


def _initial(corpus: TextCorpus) -> _Trainable:
    """Start from the principal directions of the teacher's single tokens."""
    config = TextTowerConfig(len(corpus.tokens), len(pack_vocabulary(corpus.tokens)))
    vectors = corpus.teacher["tokens"]
    _, _, directions = torch.linalg.svd(vectors[::4] - vectors.mean(0), full_matrices=False)
    basis = directions[: config.table_dim]
    model = _Trainable(config, vectors @ basis.T)
    model.vocabulary.copy_(pack_vocabulary(corpus.tokens))
    with torch.no_grad():
        model.meaning.weight.zero_()
        model.meaning.weight[:, : config.table_dim] = basis.T
        model.meaning.bias.copy_(vectors.mean(0) * 0.1)
    return model


def _train_meaning(model: _Trainable, corpus: TextCorpus, settings: TextTraining) -> None:
    phrases = [*corpus.captions.phrases, *corpus.general, *corpus.joint_phrases]
    targets = torch.cat([corpus.teacher[name] for name in ("captions", "general", "joints")])
    tokens, mask = model.pad(phrases)
    single = torch.arange(len(corpus.tokens)).unsqueeze(1)
    generator = torch.Generator().manual_seed(settings.seed)
    dense = [value for name, value in model.named_parameters() if name != "table"]
    optimisers = [  # a step touches few rows of the table
        torch.optim.Adam(dense, settings.meaning_rate),
        torch.optim.SparseAdam([model.table], settings.meaning_rate),
    ]
    schedules = [_falling(optimiser, settings.meaning_steps) for optimiser in optimisers]
    shares = settings.meaning_batch // 8
    guard = StepGuard(model.parameters(), log.warning)
    for step in range(settings.meaning_steps):
        rows = torch.randint(len(phrases), (settings.meaning_batch - shares,), generator=generator)
        singles = torch.randint(len(single), (shares,), generator=generator)
        width = int(mask[rows].sum(1).max())
        ids = torch.cat([tokens[rows, :width], functional.pad(single[singles], (0, width - 1))])
        present = torch.cat(
            [mask[rows, :width], functional.pad(torch.ones(shares, 1).bool(), (0, width - 1))]
        )
        wanted = torch.cat([targets[rows], corpus.teacher["tokens"][singles]])
        found = model.embed_meaning(ids, present)
        loss = 1 - (found * wanted).sum(1).mean()
        loss = loss + (found @ found.T - wanted @ wanted.T).square().mean() * 5
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        is_allowed = guard.allows(loss)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            if is_allowed:
                optimiser.step()
            schedule.step()
        if step % 200 == 0:
            log.info("meaning %d/%d loss %.4f", step, settings.meaning_steps, loss.item())


def _quantised(model: _Trainable) -> TextTower:
    tower = TextTower(model.config)
    state = {name: value for name, value in model.state_dict().items() if name != "table"}
    state["rows"], state["scales"] = quantise_rows(model.table.detach())
    tower.load_state_dict(state, strict=True)
    return tower


def _train_space(tower: TextTower, corpus: TextCorpus, settings: TextTraining) -> None:
    """Fit the head on frozen meanings; noise on them keeps it smooth around every caption."""
    captions, general, joints = (
        _meanings(tower, phrases)
        for phrases in (corpus.captions.phrases, corpus.general, corpus.joint_phrases)
    )
    nodes = place_nodes(corpus.captions, corpus.teacher["captions"], settings)
    aims, trust = _aims(corpus, nodes, settings)
    labels, pairs = torch.from_numpy(corpus.captions.labels), torch.tensor(corpus.joints)
    head = [*tower.hidden.parameters(), *tower.output.parameters(), *tower.shortcut.parameters()]
    optimiser = torch.optim.AdamW(head, settings.space_rate, weight_decay=1e-2)
    schedule = _falling(optimiser, settings.space_steps)
    generator = torch.Generator().manual_seed(settings.seed + 1)
    weights = _caption_weights(corpus.captions)
    guard = StepGuard(head, log.warning)
    for step in range(settings.space_steps):
        rows = torch.multinomial(weights, settings.space_batch, True, generator=generator)
        free = torch.randint(len(general), (settings.space_batch,), generator=generator)
        both = torch.randint(len(pairs), (settings.space_batch // 4,), generator=generator)
        meaning = torch.cat([captions[rows], general[free], joints[both]])
        vectors = tower.project(_noisy(meaning, settings.noise, generator))
        known, other, joint = vectors.split([len(rows), len(free), len(both)])
        mixed = nodes[labels[pairs[both, 0]]] + nodes[labels[pairs[both, 1]]]
        teacher = _related(corpus.teacher["general"][free], settings)
        loss = (
            (1 - (known * nodes[labels[rows]]).sum(1)).mean()
            + (trust[free] * (1 - (other * aims[free]).sum(1))).mean()
            + 0.3 * (1 - (joint * functional.normalize(mixed, dim=-1)).sum(1)).mean()
            + settings.geometry * (other @ other.T - teacher).square().mean()
            + settings.geometry * _strangers(other, nodes, aims[free], trust[free])
            + settings.contrast * _contrast(known, nodes, labels[rows], settings.temperature)
        )
        optimiser.zero_grad()
        loss.backward()
        if guard.allows(loss):
            optimiser.step()
        schedule.step()
        if step % 200 == 0:
            log.info("space %d/%d loss %.4f", step, settings.space_steps, loss.item())


@torch.inference_mode()
def _meanings(tower: TextTower, phrases: list[str]) -> Tensor:
    parts = [
        tower.embed_meaning(*tower.pad(phrases[first : first + 1024]))
        for first in range(0, len(phrases), 1024)
    ]
    return torch.cat(parts).clone()


def _related(vectors: Tensor, settings: TextTraining) -> Tensor:
    """Cosines of the teacher's vectors, with 0 where it finds no relation."""
    return ((vectors @ vectors.T - settings.unrelated) / (1 - settings.unrelated)).clamp_min(0)


def place_nodes(captions: Captions, teacher: Tensor, settings: TextTraining) -> Tensor:
    """Find a vector for each label whose cosines are those of the tree, blended with the teacher's.

    Returns:
        `(nodes, dim)`, of unit length.
    """
    labels = torch.from_numpy(captions.labels)
    sums = torch.zeros(len(captions.nodes), teacher.shape[1]).index_add_(0, labels, teacher)
    semantic = _related(functional.normalize(sums, dim=-1), settings)
    share = settings.tree_share
    wanted = share * torch.from_numpy(captions.similarity) + (1 - share) * semantic
    wanted.fill_diagonal_(1.0)
    values, directions = torch.linalg.eigh(wanted)
    dim = TextTowerConfig.dim
    start = directions[:, -dim:] * values[-dim:].clamp_min(0).sqrt()
    vectors = nn.Parameter(functional.normalize(start, dim=-1))
    optimiser = torch.optim.Adam([vectors], 3e-3)
    guard = StepGuard([vectors], log.warning)
    for _ in range(400):
        unit = functional.normalize(vectors, dim=-1)
        loss = ((unit @ unit.T - wanted).square() * (0.1 + wanted)).mean()
        optimiser.zero_grad()
        loss.backward()
        if guard.allows(loss):
            optimiser.step()
    return functional.normalize(vectors.detach(), dim=-1)


def _aims(corpus: TextCorpus, nodes: Tensor, settings: TextTraining) -> tuple[Tensor, Tensor]:
    """Where phrases without a label belong: near the labels whose captions the teacher finds near.

    Returns:
        Vectors `(n, dim)` of unit length, and how far each is to be trusted `(n,)`, 0..1.
    """
    plain = [row for row, text in enumerate(corpus.captions.phrases) if " the " not in f" {text}"]
    captions = corpus.teacher["captions"][plain]
    labels = torch.from_numpy(corpus.captions.labels)[plain]
    aims, trust = [], []
    for general in corpus.teacher["general"].split(512):
        near = general @ captions.T
        best = torch.full((len(general), len(nodes)), -1.0)
        best.scatter_reduce_(1, labels.expand(len(general), -1), near, "amax")
        aims.append(functional.normalize((best / 0.04).softmax(1) @ nodes, dim=-1))
        trust.append(((best.amax(1) - settings.trusted) / 0.05).sigmoid())
    return torch.cat(aims), torch.cat(trust)


def _caption_weights(captions: Captions) -> Tensor:
    """How often to draw each caption: our labels more often than the AudioSet classes beside."""
    counts = np.bincount(captions.labels, minlength=len(captions.nodes))
    often = [
        5.0 if node in vocabulary.STEMS else 1.0 if node.startswith("as:") else 3.0
        for node in captions.nodes
    ]
    return torch.from_numpy((np.array(often) / np.maximum(counts, 1))[captions.labels])


def _noisy(meaning: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    size = torch.rand(len(meaning), 1, generator=generator) * noise
    direction = functional.normalize(torch.randn(meaning.shape, generator=generator), dim=-1)
    return functional.normalize(meaning + size * direction, dim=-1)


def _strangers(vectors: Tensor, nodes: Tensor, aims: Tensor, trust: Tensor) -> Tensor:
    """Phrases without a label lie no nearer to any label than their aim, if that is trusted."""
    allowed = (aims @ nodes.T).clamp_min(0) * trust.unsqueeze(1)
    return (vectors @ nodes.T - allowed).clamp_min(0).square().mean()


def _contrast(vectors: Tensor, nodes: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Cross-entropy over all labels: the own one is right, its kin are softly so."""
    wanted = (nodes[labels] @ nodes.T / temperature).softmax(1)
    return functional.cross_entropy(vectors @ nodes.T / temperature, wanted)


def _falling(optimiser: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / 100) * max(0.0, 1 - step / steps)
    )
