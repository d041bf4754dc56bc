"""Label-queried mixtures of two clips, by the protocol of USS (Kong et al., 2023).

The clips lie in one folder a label, each clip with a single source. Two clips of different labels
are mixed at equal energy; the first is the target in words, by other sounds of its class, by its
AudioSet tag, by words and sounds, or by words that exclude the second one. The score is the SDR
improvement of each mixture, its median in each class, and the mean over classes.

Only held-out clips are used: every file whose number is divisible by 10. A seed fixes the mixtures,
so that every method separates the same ones.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import read_audio, resample, to_mono
from separate.errors import DataError, SettingsError
from separate.evals.data.layouts import audio_files
from separate.evals.data.songs import Song, SongReader
from separate.evals.metrics.sdr import bootstrap, global_sdr, si_sdr
from separate.evals.tasks.evaluation import Evaluation, opened, opened_separator
from separate.evals.tasks.methods import separate_song
from separate.evals.tasks.results import SongScores
from separate.queries.query import Query
from separate.queries.vocabulary import label_of

BY = ("text", "example", "tag", "mixed", "negative")
SAMPLE_RATE = 32000  # Hz of the mixtures, that of USS
_EXAMPLES = 3  # sounds of the class in a query by example
_PEAK = 0.9
_IMPROVEMENTS = ("sdr_improvement", "si_sdr_improvement")
_NEGATIVE = ("excluded_lowered_db", "target_cost_db")  # against the query without it
_RATIO = (0.02, 50.0)  # of energies, USS's bounds of the gain
TAGS = {  # the AudioSet class of a label, where its name differs
    "baby_cry": "Baby cry, infant cry", "clean_guitar": "Electric guitar",
    "clock_tick": "Tick-tock", "dog_bark": "Bark", "electric_bass": "Bass guitar",
    "fire_crackling": "Crackle", "orchestral_percussion": "Percussion",
    "person_sneeze": "Sneeze", "rooster": "Chicken, rooster", "sea_waves": "Waves, surf",
    "cello": "Cello", "bassoon": "Wind instrument, woodwind instrument",
    "oboe": "Wind instrument, woodwind instrument",
}  # fmt: skip


@dataclass(frozen=True)
class ClipMixture:
    """Two clips that are mixed; the first is the target."""

    target: Path
    other: Path
    seconds: float = 4.0  # longer clips are cut, shorter ones end in silence
    split: str = "held-out"

    @property
    def label(self) -> str:
        """The class of the target."""
        return self.target.parent.name

    @property
    def name(self) -> str:
        """The names of both clips."""
        return f"{self.label}-{self.target.stem} + {self.other.parent.name}-{self.other.stem}"

    def load(self) -> Song:
        """Read, cut and mix at equal energy; mixture and references have one gain.

        Raises:
            InputError: A clip is damaged.
            DataError: A clip is silent.
        """
        target, other = (self._read(path) for path in (self.target, self.other))
        ratio = float(np.square(target).sum() / np.square(other).sum())
        other = other * np.sqrt(np.clip(ratio, *_RATIO))
        peaks = [float(np.abs(array).max()) for array in (target, other, target + other)]
        gain = _PEAK / max(_PEAK, *peaks)
        references = {
            self.label: (gain * target).astype(np.float32),
            self.other.parent.name: (gain * other).astype(np.float32),
        }
        return Song(self.name, SAMPLE_RATE, sum(references.values()), references)

    def _read(self, path: Path) -> np.ndarray:
        audio, rate = read_audio(path)
        mono = to_mono(audio[:, : round(self.seconds * rate)])[None]
        mono = resample(mono, rate, SAMPLE_RATE)
        length = round(self.seconds * SAMPLE_RATE)
        mono = np.pad(mono[:, :length], ((0, 0), (0, max(0, length - mono.shape[1]))))
        if not mono.any():
            raise DataError(f"{path}: silent")
        return mono


def held_out(path: Path) -> dict[str, list[Path]]:
    """Return the held-out clips by label: those whose number is divisible by 10.

    Raises:
        DataError: There are fewer than two labels with such clips.
    """
    if not Path(path).is_dir():
        raise DataError(f"{path}: no such folder; give one with a folder of clips a label")
    labels: dict[str, list[Path]] = {}
    for folder in sorted(p for p in Path(path).iterdir() if p.is_dir()):
        clips = [path for path in audio_files(folder) if is_held_out(path)]
        if clips:
            labels[folder.name] = clips
    if len(labels) < 2:
        raise DataError(f"{path}: needs two labels with files 000, 010 ... in their folders")
    return labels


def is_held_out(clip: Path) -> bool:
    """Whether no model is trained on a clip: its number is divisible by 10."""
    return clip.stem.isdigit() and int(clip.stem) % 10 == 0


def draw(clips: Mapping[str, Sequence[Path]], per_class: int, seed: int = 0) -> list[ClipMixture]:
    """Draw mixtures: each class is the target `per_class` times, mixed with other classes."""
    generator = random.Random(seed)
    mixtures: dict[str, ClipMixture] = {}
    for label, files in clips.items():
        order = generator.sample(list(files), len(files))
        for index in range(per_class):
            other = generator.choice([name for name in clips if name != label])
            mixture = ClipMixture(order[index % len(order)], generator.choice(list(clips[other])))
            mixtures.setdefault(mixture.name, mixture)
    return list(mixtures.values())


@dataclass(frozen=True)
class ClipsEval(Evaluation):
    """SDR improvement of the target clip."""

    by: str = "text"  # how the target is queried, one of BY
    root: Path = Path()  # of the clips, for examples

    kind = "clips"

    def __post_init__(self) -> None:
        """Refuse an unknown kind of query."""
        if self.by not in BY:
            raise SettingsError(f"--by {self.by!r}: take one of {', '.join(BY)}")

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            "SDRi = SDR - SDR of the mixture, whole mixture, no filters; two held-out clips at"
            f" equal energy, asked for by {self.by}; median in a class, mean over classes"
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return all that a mixture's scores depend on."""
        return {**super().fingerprint(), "by": self.by}

    def score(self, reader: SongReader) -> SongScores:
        """Mix, separate and score the target clip."""
        assert isinstance(reader, ClipMixture)
        song, label = reader.load(), reader.label
        negative = {}
        if self.method.kind == "model":
            separator = opened_separator(self.method)
            query = query_for(reader, self)
            plain = replace(query, name="", exclude=())
            queries = [query, plain] if self.by == "negative" else [query]
            estimates, presence = separate_song(separator, song, queries)
            if self.by == "negative":
                negative = negative_effect(song, label, estimates[label], estimates[""])
        else:
            estimates, presence = opened(self.method)(song, [label]), {}
        reference, estimate = song.references[label], estimates[label]
        measures = {"sdr": global_sdr, "si_sdr": si_sdr}
        scores = {key: measure(reference, estimate) for key, measure in measures.items()}
        improvements = {
            f"{key}_improvement": scores[key] - measure(reference, song.mixture)
            for key, measure in measures.items()
        }
        return {
            "song": song.name,
            "split": reader.split,
            "label": label,
            "other": reader.other.parent.name,
            "seconds": song.seconds,
            "presence": presence.get(label),
            "stems": {"target": {**scores, **improvements, **negative}},
        }

    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Average improvements over classes, and the effect of a negative query over mixtures."""
        unseen = [entry for entry in songs if not entry.get("seen")]
        classes = by_class(unseen)
        targets = [entry["stems"]["target"] for entry in unseen]
        values = {
            key: [entry[key] for entry in (classes.values() if key in _IMPROVEMENTS else targets)]
            for key in _keys(targets)
        }
        summary = {"mean": {key: asdict(bootstrap(column)) for key, column in values.items()}}
        return {"by": self.by, "stems": ["target"], "classes": classes, "summary": summary}


def query_for(mixture: ClipMixture, task: ClipsEval) -> Query:
    """Return the query for a mixture's target; its examples never contain the target.

    Raises:
        DataError: The class has no other held-out clip.
    """
    label = mixture.label
    if task.by == "text":
        return Query(label, (label_of(label).name,))
    if task.by == "negative":
        other = label_of(mixture.other.parent.name).name
        return Query(label, (label_of(label).name,), exclude=(other,))
    if task.by == "tag":
        return Query(label, (TAGS.get(label, label.replace("_", " ").capitalize()),))
    others = [clip for clip in held_out(task.root)[label] if clip != mixture.target]
    if not others:
        raise DataError(f"{label}: no other held-out clip to ask by")
    words = (label_of(label).name,) if task.by == "mixed" else ()
    return Query(label, words, like=tuple(others[:_EXAMPLES]))


def by_class(scores: Sequence[SongScores]) -> dict[str, Any]:
    """Return the medians of the improvements in each class."""
    grouped: dict[str, list[Mapping[str, float]]] = {}
    for entry in scores:
        grouped.setdefault(entry["label"], []).append(entry["stems"]["target"])
    return {
        label: {
            "mixtures": len(entries),
            **{key: float(np.median([entry[key] for entry in entries])) for key in _keys(entries)},
        }
        for label, entries in sorted(grouped.items())
    }


def _keys(entries: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the measures that all entries have."""
    return [key for key in (*_IMPROVEMENTS, *_NEGATIVE) if all(key in entry for entry in entries)]


def negative_effect(
    song: Song, label: str, estimate: np.ndarray, plain: np.ndarray
) -> dict[str, float]:
    """Measure the effect of an exclusion on both sources.

    Args:
        song: The two references.
        label: The label of the target.
        estimate: Estimate with the exclusion, `(channels, time)`.
        plain: Estimate without it.

    Returns:
        By how many dB the excluded source and the target became softer; the levels are the gains
        of the least squares fit of both references to an estimate.
    """
    order = [label, *(name for name in song.references if name != label)]
    basis = np.stack([song.references[name].ravel() for name in order], axis=1).astype(float)

    def levels(audio: np.ndarray) -> np.ndarray:
        gains = np.linalg.lstsq(basis, audio.ravel().astype(float), rcond=None)[0]
        found: np.ndarray = 20 * np.log10(np.abs(gains) + 1e-4)
        return found

    cost, lowered = levels(plain) - levels(estimate)
    return {"excluded_lowered_db": float(lowered), "target_cost_db": float(cost)}
