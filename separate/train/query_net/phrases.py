"""The phrases that the text tower is trained on, and the tree of labels that shapes its space.

The vocabulary, the AudioSet ontology and an optional list of English words give phrases for the
teacher, labelled captions, and the target similarity of each pair of labels.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from separate.queries import vocabulary

# How near a child stays to its parent (cosine); siblings get the product.
_NEARNESS = 0.65
_NEARNESS_TO_ROOT = 0.4
_NEARNESS_OF_INSTRUMENT = 0.6
_NEARNESS_OF_VARIANT = 0.75
_VARIANTS = ("lead vocals", "male vocals", "female vocals", "electric guitar", "acoustic guitar")
_ROOTS = ("music", "human sounds", "animals", "nature sounds", "machines", "signals", "impacts")

# AudioSet nodes that are one of our labels under another name.
_SAME_NODE = {
    "Percussion": "drums",
    "Choir": "choral vocals",
    "Musical instrument": "other",
    "Animal": "animals",
    "Natural sounds": "nature sounds",
    "Keyboard (musical)": "keys",
    "Bowed string instrument": "strings",
    "Wind instrument, woodwind instrument": "woodwinds",
    "Mallet percussion": "mallets",
    "Human sounds": "human sounds",
    "Orchestra": "full orchestra",
    "Mechanisms": "machines",
    "Vehicle": "machines",
    "Alarm": "signals",
    "Source-ambiguous sounds": "impacts",
    "Noise": "noise",
    "Domestic animals, pets": "animals",
    "Sound effect": "effects",
    "Plucked string instrument": "other",
    "Brass instrument": "brass",
    "Cattle, bovinae": "livestock",
    "Raindrop": "rain",
    "Ocean": "sea waves",
    "Maraca": "shaker",
    "Clapping": "applause",
}

_MUSICAL = """
    song music sound noise melody rhythm tempo chord riff groove solo loop sample tune hook verse
    bridge intro band ensemble studio concert live recording track stem mix jazz rock pop funk
    soul blues metal punk folk country classical electronic techno house ambient reggae latin
    disco orchestral loud quiet soft distorted clean deep low high bright dark warm fast slow
    heavy gentle muted plucked bowed struck blown synthetic acoustic electric digital analog
    vintage modern player musician voice woman man child boy girl people crowd engine water wind
    animal machine bell horn string key pedal amplifier microphone speaker echo reverb filtered
    pitched tuned bright percussive vocal instrumental
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Captions:
    """Labelled phrases: `phrases[i]` belongs to `nodes[labels[i]]`."""

    phrases: list[str]
    labels: np.ndarray  # (n,), int64, row of the node
    nodes: list[str]  # our labels, then AudioSet classes that are none of ours
    similarity: np.ndarray  # (nodes, nodes), target cosine


def probes() -> set[str]:
    """Return the held-out phrases."""
    groups = [*vocabulary.PROBES.values(), *vocabulary.FRESH_PROBES.values()]
    return {phrase for group in groups for phrase in group}


@lru_cache(maxsize=1)
def _edges() -> dict[str, list[tuple[str, float]]]:
    """Parents of every node with the nearness of each edge; AudioSet nodes start with `as:`."""
    edges: dict[str, list[tuple[str, float]]] = {}
    for label in vocabulary.labels().values():
        nearness = _NEARNESS
        if label.parent in _ROOTS:
            nearness = _NEARNESS_TO_ROOT if label.parent in ("music", "human sounds") else 0.5
        elif label.parent == "other":
            nearness = _NEARNESS_OF_INSTRUMENT
        elif label.name in _VARIANTS:
            nearness = _NEARNESS_OF_VARIANT
        edges[label.name] = [(label.parent, nearness)] if label.parent else []
    for name, parents in vocabulary.audioset_parents().items():
        node = audioset_node(name)
        if node.startswith("as:"):
            edges[node] = [
                (audioset_node(parent), _NEARNESS_TO_ROOT if parent == "Music" else _NEARNESS)
                for parent in parents
            ]
    return edges


@lru_cache(maxsize=1)
def _label_of_caption() -> dict[str, str]:
    labels = vocabulary.labels().values()
    return {caption: label.name for label in labels for caption in label.captions}


def audioset_node(name: str) -> str:
    """Return our label for an AudioSet node, or `as:` and its name where we have none."""
    if name in _SAME_NODE:
        return _SAME_NODE[name]
    plain = name.split(" (")[0].lower()
    for text in (name.lower(), plain, *plain.split(", ")):
        if text in _label_of_caption():
            return _label_of_caption()[text]
    return f"as:{name}"


def _reach(node: str) -> dict[str, float]:
    """Nearness of a node to each of its ancestors, itself included (the best path counts)."""
    best = {node: 1.0}
    queue = [node]
    while queue:
        current = queue.pop()
        for parent, nearness in _edges()[current]:
            if best[current] * nearness > best.get(parent, 0.0):
                best[parent] = best[current] * nearness
                queue.append(parent)
    return best


def tree_similarity(nodes: list[str]) -> np.ndarray:
    """Return the wanted cosines `(nodes, nodes)`: the product of edges over the best ancestor."""
    reach = [_reach(node) for node in nodes]
    result = np.eye(len(nodes), dtype=np.float32)
    for row, first in enumerate(reach):
        for column in range(row):
            second = reach[column]
            common = [first[name] * second[name] for name in first.keys() & second.keys()]
            result[row, column] = result[column, row] = max(common, default=0.0)
    return result


def labelled_captions() -> Captions:
    """Return every training caption of our labels and of the AudioSet classes, without probes."""
    forbidden = probes()
    nodes = list(vocabulary.labels())
    pairs: list[tuple[str, str]] = []
    for label in vocabulary.labels().values():
        pairs.extend((text, label.name) for text in vocabulary.training_captions(label))
    for name in vocabulary.audioset_classes():
        node = audioset_node(name)
        if node not in nodes:
            nodes.append(node)
        plain = name.split(" (")[0].lower()
        spoken = dict.fromkeys([plain, *plain.split(", ")])
        pairs.extend(
            (template.format(text), node)
            for text in spoken
            for template in vocabulary.TEMPLATES[:4]
            if text not in forbidden
        )
    unique = {text: node for text, node in reversed(pairs) if text not in forbidden}
    row = {node: index for index, node in enumerate(nodes)}
    phrases = list(unique)
    labels = np.array([row[unique[text]] for text in phrases], dtype=np.int64)
    return Captions(phrases, labels, nodes, tree_similarity(nodes))


def general_phrases(tokens: list[str], words: Path | None, count: int, seed: int) -> list[str]:
    """Return English phrases without a label, from which the teacher's geometry is learnt.

    Args:
        tokens: BERT's vocabulary, its whole words in order of frequency.
        words: A file with one English word a line (Debian's `wamerican`), or None.
        count: How many phrases beside the single words.
        seed: Of the random choice.
    """
    generator = random.Random(seed)
    frequent = [token for token in tokens if token.isalpha() and len(token) > 2]
    rare: list[str] = []
    if words is not None:
        known = set(tokens)
        lines = words.read_text(encoding="utf-8").split()
        rare = [word for word in lines if word.isascii() and word.isalpha() and word not in known]
        rare = generator.sample(rare, min(len(rare), count // 3))
    captions = [text for label in vocabulary.labels().values() for text in label.captions]
    phrases: list[str] = list(rare)
    for _ in range(count):
        size = generator.choice((2, 2, 2, 3, 3, 4))
        pool = [generator.choice(frequent[:8000]) for _ in range(size)]
        if generator.random() < 0.6:
            pool[generator.randrange(size)] = generator.choice(_MUSICAL)
        if generator.random() < 0.25:
            pool[generator.randrange(size)] = generator.choice(captions)
        text = " ".join(pool)
        if generator.random() < 0.3:
            text = generator.choice(vocabulary.TEMPLATES[1:]).format(text)
        phrases.append(text)
    forbidden = probes()
    return [text for text in dict.fromkeys(phrases) if text not in forbidden]


def whole_words(tokens: list[str]) -> list[str]:
    """Return the words of BERT's vocabulary, without the held-out ones."""
    forbidden = probes()
    return [
        token for token in tokens if token.isalpha() and len(token) > 2 and token not in forbidden
    ]


def joined_captions(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Return `count` triples: a caption of two sources, and the two single captions."""
    generator = random.Random(seed)
    captions = list(_label_of_caption())
    result = []
    for _ in range(count):
        first, second = generator.sample(captions, 2)
        result.append((generator.choice(vocabulary.JOINTS).format(first, second), first, second))
    return result
