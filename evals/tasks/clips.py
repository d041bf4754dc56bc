"""Label-queried mixtures of two clips, by the protocol of USS (Kong et al., 2023).

In: a folder with one folder of single-source clips a label, and a method. Out: SDR improvement of
each mixture, its median in each class, and the mean over classes.

Two clips of different labels are mixed at equal energy; the first is asked for in words, by other
sounds of its class, by its AudioSet tag, by words and sounds, or by words that leave the second
one out. Held-out clips only: every file whose number is divisible by 10. Mixtures are drawn from a
seed, so that every method meets the same ones.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import read_audio, resample
from separate.errors import DataError, SettingsError
from separate.evals.data.songs import Song, audio_files
from separate.evals.metrics.sdr import bootstrap, global_sdr, si_sdr
from separate.evals.tasks.methods import separate_song
from separate.evals.tasks.results import SongScores
from separate.evals.tasks.runner import Progress
from separate.evals.tasks.stems import StemsTask, opened, opened_separator, run_task
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
    """Two clips to be mixed; the first is asked for."""

    target: Path
    other: Path
    seconds: float = 4.0  # longer clips are cut, shorter ones end in silence
    split: str = "held-out"

    @property
    def label(self) -> str:
        """The class asked for."""
        return self.target.parent.name

    @property
    def name(self) -> str:
        """Both clips."""
        return f"{self.label}-{self.target.stem} + {self.other.parent.name}-{self.other.stem}"

    def load(self) -> Song:
        """Read, cut and mix at equal energy; mixture and sources share one gain.

        Raises:
            InputError: A clip is damaged.
            DataError: One is silent.
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
        mono = audio.mean(axis=0, keepdims=True)[:, : round(self.seconds * rate)]
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
    """Draw mixtures: each class `per_class` times the target, beside clips of other classes."""
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
class ClipsTask(StemsTask):
    """What is scored and how."""

    by: str = "text"  # how the target is asked for, one of BY
    root: Path = Path()  # of the clips, for examples

    def __post_init__(self) -> None:
        """Refuse a way of asking that is none."""
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
        """What a mixture's scores depend on."""
        return {**super().fingerprint(), "by": self.by}


def query_for(mixture: ClipMixture, task: ClipsTask) -> Query:
    """Say how a mixture's target is asked for; examples are never the clip itself.

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


def evaluate_clips(
    mixtures: Sequence[ClipMixture],
    task: ClipsTask,
    *,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score mixtures; arguments as `evaluate_stems`."""
    score = partial(score_mixture, task=task)
    run = run_task(
        mixtures, task, score, out=out, resume=resume, jobs=jobs, on_progress=on_progress
    )
    unseen = [entry for entry in run.songs if not entry.get("seen")]
    classes = by_class(unseen)
    singly = [entry["stems"]["target"] for entry in unseen]
    summary = {
        "mean": {
            key: bootstrap(
                [entry[key] for entry in (classes.values() if key in _IMPROVEMENTS else singly)]
            ).__dict__
            for key in _keys(singly)
        }
    }
    return {
        "kind": "clips",
        "dataset": task.dataset,
        "split": task.split,
        "method": task.method.describe(),
        "mask_rule": task.method.mask_rule,
        "metric": task.metric,
        "by": task.by,
        "stems": ["target"],
        "classes": classes,
        "summary": summary,
        "failed": run.failed,
        "songs": run.songs,
    }


def by_class(scores: Sequence[SongScores]) -> dict[str, Any]:
    """Medians of the improvements in each class."""
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
    """What was measured: improvements, and of a negative query what it took out."""
    return [key for key in (*_IMPROVEMENTS, *_NEGATIVE) if all(key in entry for entry in entries)]


def score_mixture(source: ClipMixture, task: ClipsTask) -> SongScores:
    """Mix, separate and score the clip asked for."""
    song = source.load()
    label = source.label
    negative = {}
    if task.method.kind == "model":
        separator = opened_separator(task.method)
        query = query_for(source, task)
        asked = [query] if task.by != "negative" else [query, replace(query, name="", exclude=())]
        estimates, presence = separate_song(separator, song, asked)
        if task.by == "negative":
            negative = negative_effect(song, label, estimates[label], estimates[""])
    else:
        estimates, presence = opened(task.method)(song, [label]), {}
    reference, estimate = song.references[label], estimates[label]
    scores = {"sdr": global_sdr(reference, estimate), "si_sdr": si_sdr(reference, estimate)}
    baseline = {
        "sdr": global_sdr(reference, song.mixture),
        "si_sdr": si_sdr(reference, song.mixture),
    }
    improvements = {f"{key}_improvement": scores[key] - baseline[key] for key in scores}
    return {
        "song": song.name,
        "split": source.split,
        "label": label,
        "other": source.other.parent.name,
        "seconds": song.seconds,
        "presence": presence.get(label),
        "stems": {"target": {**scores, **improvements, **negative}},
    }


def negative_effect(
    song: Song, label: str, estimate: np.ndarray, plain: np.ndarray
) -> dict[str, float]:
    """Say what leaving something out did to both sources.

    Args:
        song: The two references.
        label: What was asked for.
        estimate: With the exclusion, `(channels, time)`.
        plain: Without it.

    Returns:
        In dB, by how much the excluded source and the target became softer; levels are those of
        the least squares fit of both references to an estimate.
    """
    order = [label, *(name for name in song.references if name != label)]
    basis = np.stack([song.references[name].ravel() for name in order], axis=1).astype(float)

    def levels(audio: np.ndarray) -> np.ndarray:
        gains = np.linalg.lstsq(basis, audio.ravel().astype(float), rcond=None)[0]
        found: np.ndarray = 20 * np.log10(np.abs(gains) + 1e-4)
        return found

    cost, lowered = levels(plain) - levels(estimate)
    return {"excluded_lowered_db": float(lowered), "target_cost_db": float(cost)}
