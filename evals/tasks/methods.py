"""The methods that are scored: a model, files of any tool, an oracle, or the mixture itself.

A `Method` is plain data that is pickled to processes; `open_method` makes a function of it that
maps a song to its estimates.
"""

import glob
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separate.audio import read_audio
from separate.errors import DataError
from separate.evals.data.layouts import audio_files
from separate.evals.data.songs import ACCOMPANIMENT, STEMS, Song, align
from separate.settings import KEYS, Settings

if TYPE_CHECKING:
    from separate.queries.query import Query
    from separate.separator import Separator

RULES = ("sum-to-mix", "free")
MODEL_BINS = 1024  # the band that the default model masks

Estimates = dict[str, np.ndarray]  # by stem or query, each (channels, time)
Separate = Callable[[Song, Sequence[str]], Estimates]


@dataclass(frozen=True)
class Method:
    """How songs are separated: all that the scores depend on."""

    kind: str  # "model", "estimates", "oracle", "mixture"
    name: str  # model name(s), the label of the estimates, the oracle
    mask_rule: str  # how the masks of several queries are made, in words
    sha256: str = ""  # of the model's weights
    folder: str = ""  # of the estimates
    sum_to_mixture: bool = True  # model: the estimates of several queries sum to the mixture
    bins: int | None = None  # oracle: lower bins masked; None: all
    overlap: float | None = None  # model: fraction of a segment
    segment: float | None = None  # model: seconds
    shifts: int = 0  # model: further positions averaged
    device: str = "cpu"
    threads: int | None = None  # of torch, a process

    def describe(self) -> dict[str, Any]:
        """Return the fields for a result: none that depend on this machine."""
        hidden = ("folder", "device", "threads")
        shown = {key: value for key, value in asdict(self).items() if key not in hidden}
        return {KEYS.get(key, key): value for key, value in shown.items()}


def model_method(
    model: str, stems: Sequence[str] | None, rule: str, **settings: Any
) -> tuple[Method, list[str]]:
    """Return a model's method and the stems that it is queried for.

    Args:
        model: Name or path, or several of them, comma-separated: their masks are averaged.
        stems: Stems to query; None: the model's own stems, or the four.
        rule: "sum-to-mix" or "free" (independent masks).
        **settings: overlap, segment, shifts, device, threads.

    Raises:
        CheckpointError: There is no such model.
        DataError: The rule is unknown.
    """
    from separate.insides import model_cards

    if rule not in RULES:
        raise DataError(f"mask rule {rule!r}: take one of {', '.join(RULES)}")
    cards = model_cards(model)
    own = [stem for stem in cards[0].stems if stem in (*STEMS, ACCOMPANIMENT)]
    asked = list(stems or own or STEMS)
    shared = rule == "sum-to-mix" and len(asked) > 1
    words = _SHARED if shared else _FREE
    name = ",".join(card.name for card in cards)
    sha256 = ",".join(card.sha256 for card in cards)
    # The weights are opened by the name that the user gave; the result has the names on the cards.
    method = Method("model", name, words, sha256, folder=model, sum_to_mixture=shared, **settings)
    return method, asked


_SHARED = "sum-to-mix: the estimates of all queries sum to the mixture"
_FREE = "free queries: each mask by itself, target against all the rest"


def open_method(method: Method) -> Separate:
    """Load a method's model or open its folder.

    Returns:
        A function of a song and stems; it returns estimates of the song's shape.

    Raises:
        SeparateError: The model or the folder is missing.
    """
    if method.kind == "model":
        separator = open_separator(method)
        return lambda song, stems: separate_song(separator, song, stems)[0]
    if method.kind == "estimates":
        return lambda song, stems: read_estimates(Path(method.folder), song, stems)
    if method.kind == "mixture":
        return lambda song, stems: dict.fromkeys(stems, song.mixture)
    if method.kind == "oracle":
        return _open_oracle(method)
    raise DataError(f"unknown kind of method {method.kind!r}")


def open_separator(method: Method) -> "Separator":
    """Load a method's model.

    Raises:
        CheckpointError: The model is missing or damaged.
    """
    from separate.separator import Separator

    settings = Settings(
        model=method.folder or method.name,
        device=method.device,
        threads=method.threads,
        segment=method.segment,
        overlap=method.overlap,
        shifts=method.shifts,
        sum_to_mixture=method.sum_to_mixture,
        keep_absent=True,  # separation and presence are scored each by itself
    )
    return Separator(settings)


def separate_song(
    separator: "Separator", song: Song, queries: Sequence["str | Query"]
) -> tuple[Estimates, dict[str, float]]:
    """Separate a song that is in memory.

    Returns:
        Estimates and presence by query.
    """
    result = separator.separate(song.mixture, song.sample_rate, queries)
    return {name: audio.numpy() for name, audio in result.estimates.items()}, result.presence


def _open_oracle(method: Method) -> Separate:
    from separate.evals.tasks.oracles import OracleConfig, separate_oracle

    config = OracleConfig(method.name, bins=method.bins)

    def separate(song: Song, stems: Sequence[str]) -> Estimates:
        sources = dict(song.references)
        if len(sources) > 2:  # then the accompaniment is the sum of other sources
            sources.pop(ACCOMPANIMENT, None)
        estimates = separate_oracle(sources, song.mixture, config.at(song.sample_rate))
        if ACCOMPANIMENT in stems and ACCOMPANIMENT not in estimates and "vocals" in estimates:
            estimates[ACCOMPANIMENT] = song.mixture - estimates["vocals"]
        return {stem: estimates[stem] for stem in stems if stem in estimates}

    return separate


def oracle_method(kind: str, band: str) -> Method:
    """Return the method of an oracle that masks the "whole" spectrum, or the band of the "model".

    Raises:
        DataError: The oracle or the band is unknown.
    """
    from separate.evals.tasks.oracles import ORACLES, OracleConfig

    if kind not in ORACLES or band not in ("whole", "model"):
        raise DataError(
            f"oracle {kind!r}, band {band!r}: take {', '.join(ORACLES)} and whole or model"
        )
    bins = MODEL_BINS if band == "model" else None
    return Method("oracle", kind, OracleConfig(kind, bins=bins).rule, bins=bins)


def read_estimates(folder: Path, song: Song, stems: Sequence[str]) -> Estimates:
    """Read a tool's estimates: `<folder>/[<split>/]<song>/<stem>.<any audio>`.

    They are cut or padded with zeros to the song's length, as museval does; mono is repeated.

    Raises:
        DataError: The song has no estimates, or they have another sample rate.
        InputError: A file is damaged.
    """
    places = [folder / song.name, *sorted(folder.glob(f"*/{glob.escape(song.name)}"))]
    place = next((path for path in places if path.is_dir()), None)
    if place is None:
        raise DataError(f"{folder}: has no folder {song.name!r} with estimates")
    files = {path.stem: path for path in audio_files(place)}
    estimates = {}
    for stem in stems:
        if stem not in files:
            continue
        audio, rate = read_audio(files[stem])
        if rate != song.sample_rate:
            raise DataError(f"{files[stem]}: is at {rate} Hz, its reference at {song.sample_rate}")
        estimates[stem] = align([audio[:, : song.mixture.shape[1]], song.mixture])[0]
    if not estimates:
        raise DataError(f"{place}: holds none of {', '.join(stems)}; name the files by the stems")
    return estimates
