"""Scores of a query net for its card: held-out phrases by stem, held-out sounds by label."""

import torch
from torch import Tensor
from torch.nn import functional

from separate.models.audio_tower import AudioTower
from separate.models.text_tower import TextTower
from separate.queries import vocabulary
from separate.train.query_net.config import SoundTable

# Classes of AudioSet of which one must be among a tagger's three likeliest, by folder of clips.
TAGGED_RIGHT = {
    "baby_cry": {"Baby cry, infant cry", "Crying, sobbing", "Babbling"},
    "chainsaw": {"Chainsaw"},
    "clock_tick": {"Tick-tock", "Tick", "Clock"},
    "dog_bark": {"Dog", "Bark", "Bow-wow", "Domestic animals, pets"},
    "fire_crackling": {"Fire", "Crackle"},
    "helicopter": {"Helicopter", "Aircraft"},
    "person_sneeze": {"Sneeze"},
    "rain": {"Rain", "Raindrop", "Rain on surface"},
    "rooster": {"Chicken, rooster", "Crowing, cock-a-doodle-doo", "Fowl"},
    "sea_waves": {"Waves, surf", "Ocean", "Water", "Wind"},
    "speech": {"Speech", "Male speech, man speaking", "Female speech, woman speaking"},
    "electric_guitar": {"Guitar", "Electric guitar", "Musical instrument"},
    "clean_guitar": {
        "Guitar",
        "Electric guitar",
        "Musical instrument",
        "Plucked string instrument",
    },
    "electric_bass": {"Guitar", "Bass guitar", "Musical instrument"},
    "flute": {"Flute", "Wind instrument, woodwind instrument", "Musical instrument"},
    "saxophone": {"Saxophone", "Musical instrument", "Wind instrument, woodwind instrument"},
    "cello": {"Cello", "Bowed string instrument", "Violin, fiddle", "Musical instrument"},
}

_FAR = 0.35  # an unrelated phrase is at most this near to every stem


def stem_vectors(tower: TextTower) -> Tensor:
    """Return the vectors of the four stems' names `(4, dim)`."""
    vectors: Tensor = tower(list(vocabulary.STEMS))
    return vectors


@torch.inference_mode()
def probe_table(tower: TextTower) -> list[tuple[str, str | None, list[float]]]:
    """Return each held-out phrase, its stem, and its cosines to the four stems' names."""
    stems = stem_vectors(tower)
    return [
        (phrase, stem, (tower([phrase]) @ stems.T)[0].tolist())
        for stem, phrases in vocabulary.PROBES.items()
        for phrase in phrases
    ]


@torch.inference_mode()
def text_scores(tower: TextTower) -> dict[str, float]:
    """Score a text tower.

    Returns:
        `probes_right`: share of held-out phrases nearest to their stem's name; `probes_margin`:
        mean cosine to it less that to the next stem; `fresh_right`: the former of phrases that
        nobody looked at before; `unrelated_far`: share of unrelated phrases
        below 0.35 to every stem; `labels_right`: share of training captions (plain, no template)
        nearest to their own label's name; `labels_worst`: highest cosine of two label names where
        neither is the other's ancestor.
    """
    right, margins, far = [], [], []
    for _, stem, cosines in probe_table(tower):
        if stem is None:
            far.append(max(cosines) < _FAR)
            continue
        own = cosines[vocabulary.STEMS.index(stem)]
        next_best = max(
            value for name, value in zip(vocabulary.STEMS, cosines, strict=True) if name != stem
        )
        right.append(own > next_best)
        margins.append(own - next_best)
    fresh = [
        int((tower([phrase]) @ stem_vectors(tower).T).argmax()) == vocabulary.STEMS.index(stem)
        for stem, phrases in vocabulary.FRESH_PROBES.items()
        for phrase in phrases
    ]
    labels = list(vocabulary.labels().values())
    names = tower([label.name for label in labels])
    hits = [
        int((tower([caption]) @ names.T).argmax()) == row
        for row, label in enumerate(labels)
        for caption in label.captions[1:]
    ]
    return {
        "probes_right": _mean(right),
        "probes_margin": _mean(margins),
        "fresh_right": _mean(fresh),
        "unrelated_far": _mean(far),
        "labels_right": _mean(hits),
        "labels_worst": _nearest_strangers(names),
    }


@torch.inference_mode()
def audio_scores(tower: AudioTower, text: TextTower, table: SoundTable) -> dict[str, float]:
    """Score an audio tower on the sounds that are held out.

    Returns:
        `sounds`: how many; `labels_right` and `labels_in_3`: share whose own label's name is the
        nearest, or among the three nearest, of all label names; `kin_right`: share whose nearest
        label is theirs, or wider or finer; `clips_right`: share of clips whose own label is nearest
        among the clips' labels; `stems_right`: share of sounds of music nearest to their stem's
        name; `teacher_correlation` of class logits (mean over sounds); `teacher_top3`: mean overlap
        of the three likeliest classes.
    """
    rows = table.held_out.nonzero().squeeze(1).tolist()
    embedded_sounds = [_embed(tower, table, row) for row in rows]
    vectors, logits = (torch.cat([pair[side] for pair in embedded_sounds]) for side in (0, 1))
    names = list(vocabulary.labels())
    own = [table.labels[row] for row in rows]
    sources = [table.sources[row] for row in rows]
    is_clip = [source.startswith("clips/") for source in sources]
    order = (vectors @ text(names).T).argsort(dim=1, descending=True)
    ranked = [[names[column] for column in line] for line in order[:, :3].tolist()]
    clips = sorted({label for label, clip in zip(own, is_clip, strict=True) if clip})
    among = _nearest(vectors, text(clips), clips)
    stems = _nearest(vectors, stem_vectors(text), list(vocabulary.STEMS))
    truth = [vocabulary.labels()[label].stem for label in own]
    teacher = table.logits[rows].float()
    both = (functional.normalize(x - x.mean(1, keepdim=True), dim=1) for x in (logits, teacher))
    correlation = torch.stack(list(both)).prod(0).sum(1)
    return {
        "sounds": len(rows),
        "labels_right": _mean([a == b[0] for a, b in zip(own, ranked, strict=True)]),
        "labels_in_3": _mean([a in b for a, b in zip(own, ranked, strict=True)]),
        "kin_right": _mean([_kin(a, b[0]) for a, b in zip(own, ranked, strict=True)]),
        "clips_right": _mean([a == b for a, b, c in zip(own, among, is_clip, strict=True) if c]),
        "stems_right": _mean([a == b for a, b in zip(truth, stems, strict=True) if a]),
        "teacher_correlation": _mean(correlation.tolist()),
        "teacher_top3": _mean(_overlaps(logits, teacher)),
        "top3_right": _tagged_right(logits, sources),
        "teacher_top3_right": _tagged_right(teacher, sources),
    }


def _embed(tower: AudioTower, table: SoundTable, row: int) -> tuple[Tensor, Tensor]:
    """Vector `(1, dim)` and logits `(1, classes)` of one sound, silence after a short one."""
    frames = max(int(table.frames[row]), tower.least_frames)
    features = tower.pooled(table.mels[row : row + 1, :, :frames].float())
    return functional.normalize(tower.joint(features), dim=-1), tower.classify(features)


def _nearest(vectors: Tensor, others: Tensor, names: list[str]) -> list[str]:
    return [names[column] for column in (vectors @ others.T).argmax(dim=1).tolist()]


def _kin(first: str, second: str) -> bool:
    return first in vocabulary.ancestors(second) or second in vocabulary.ancestors(first)


def _overlaps(logits: Tensor, teacher: Tensor) -> list[float]:
    tops = (x.topk(3, dim=1).indices.tolist() for x in (logits, teacher))
    return [len(set(a) & set(b)) / 3 for a, b in zip(*tops, strict=True)]


def _tagged_right(logits: Tensor, sources: list[str]) -> float:
    """Share of the clips of `TAGGED_RIGHT` with a right class among the three likeliest."""
    classes = vocabulary.audioset_classes()
    tops = logits.topk(3, dim=1).indices.tolist()
    return _mean(
        [
            bool({classes[row] for row in top} & TAGGED_RIGHT[source.removeprefix("clips/")])
            for top, source in zip(tops, sources, strict=True)
            if source.removeprefix("clips/") in TAGGED_RIGHT
        ]
    )


def _nearest_strangers(names: Tensor) -> float:
    labels = list(vocabulary.labels())
    lines = [set(vocabulary.ancestors(name)) for name in labels]
    cosines = names @ names.T
    return max(
        float(cosines[row, column])
        for row in range(len(labels))
        for column in range(row)
        if labels[row] not in lines[column] and labels[column] not in lines[row]
    )


def _mean(values: list[bool] | list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
