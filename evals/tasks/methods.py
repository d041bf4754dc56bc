"""What makes the estimates that are scored: a model, files, an oracle, or the mixture itself.

In: a `Method`, which is plain data and travels to worker processes. Out: a function from a song
to its estimates.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separate.audio import read_audio
from separate.errors import DataError
from separate.evals.data.songs import ACCOMPANIMENT, STEMS, Song, align, audio_files

if TYPE_CHECKING:
    from separate.queries.query import Query
    from separate.separator import Separator

RULES = ("sum-to-mix", "free")
MODEL_BINS = 1024  # the band that the default model masks

Estimates = dict[str, np.ndarray]  # by stem or query, each (channels, time)
Separate = Callable[[Song, Sequence[str]], Estimates]


@dataclass(frozen=True)
class Method:
    """One way to separate, with all that its scores depend on."""

    kind: str  # "model", "estimates", "oracle", "mixture"
    name: str  # model name(s), the label of the estimates, the oracle
    mask_rule: str  # how masks were made of several queries, in words
    sha256: str = ""  # of the model's weights
    folder: str = ""  # of the estimates
    share: bool = True  # model: several queries share out the mixture
    bins: int | None = None  # oracle: lower bins masked; None: all
    overlap: float | None = None  # model: fraction of a segment
    segment: float | None = None  # model: seconds
    shifts: int = 0  # model: further positions averaged
    device: str = "cpu"
    threads: int | None = None  # of torch, a process

    def describe(self) -> dict[str, Any]:
        """Return what a result says of the method: no folders, device and threads of here."""
        hidden = ("folder", "device", "threads")
        return {key: value for key, value in asdict(self).items() if key not in hidden}


def model_method(
    model: str, stems: Sequence[str] | None, rule: str, **settings: Any
) -> tuple[Method, list[str]]:
    """Describe a model and the stems that it is asked for.

    Args:
        model: Name or path, or several with commas: their masks are averaged.
        stems: What to ask for; None: the model's own stems, or the four.
        rule: "sum-to-mix" or "free" (each query by itself).
        **settings: overlap, segment, shifts, device, threads.

    Raises:
        CheckpointError: There is no such model.
        DataError: The rule is none.
    """
    from separate.insides import model_cards

    if rule not in RULES:
        raise DataError(f"mask rule {rule!r}: take one of {', '.join(RULES)}")
    cards = model_cards(model)
    own = [stem for stem in cards[0].stems if stem in (*STEMS, ACCOMPANIMENT)]
    asked = list(stems or own or STEMS)
    share = rule == "sum-to-mix" and len(asked) > 1
    words = _SHARED if share else _FREE
    name = ",".join(card.name for card in cards)
    sha256 = ",".join(card.sha256 for card in cards)
    # The weights are opened by what the user gave, named by what their cards say.
    method = Method("model", name, words, sha256, folder=model, share=share, **settings)
    return method, asked


_SHARED = "sum-to-mix: the estimates of all queries sum to the mixture"
_FREE = "free queries: each mask by itself, target against all the rest"


def open_method(method: Method) -> Separate:
    """Load what the method needs.

    Returns:
        A function of a song and the stems or queries wanted; estimates have the song's shape.

    Raises:
        SeparateError: The model or the folder is missing.
    """
    if method.kind == "model":
        return _open_model(method)
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
        CheckpointError: It is missing or damaged.
    """
    from separate.separator import Separator
    from separate.settings import Settings

    settings = Settings(
        model=method.folder or method.name,
        device=method.device,
        threads=method.threads,
        segment=method.segment,
        overlap=method.overlap,
        shifts=method.shifts,
        share=method.share,
    )
    return Separator(settings)


def _open_model(method: Method) -> Separate:
    separator = open_separator(method)
    return lambda song, stems: separate_song(separator, song, stems)[0]


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
        if len(sources) > 2:  # the accompaniment is the sum of others then
            sources.pop(ACCOMPANIMENT, None)
        estimates = separate_oracle(sources, song.mixture, config.at(song.sample_rate))
        if ACCOMPANIMENT in stems and ACCOMPANIMENT not in estimates and "vocals" in estimates:
            estimates[ACCOMPANIMENT] = song.mixture - estimates["vocals"]
        return {stem: estimates[stem] for stem in stems if stem in estimates}

    return separate


def oracle_method(kind: str, band: str) -> Method:
    """Describe an oracle on the "whole" spectrum or as the "model" masks.

    Raises:
        DataError: Oracle or band is unknown.
    """
    from separate.evals.tasks.oracles import ORACLES, OracleConfig

    if kind not in ORACLES or band not in ("whole", "model"):
        raise DataError(
            f"oracle {kind!r}, band {band!r}: take {', '.join(ORACLES)} and whole or model"
        )
    bins = MODEL_BINS if band == "model" else None
    return Method("oracle", kind, OracleConfig(kind, bins=bins).rule, bins=bins)


def read_estimates(folder: Path, song: Song, stems: Sequence[str]) -> Estimates:
    """Read stems that any tool wrote: `<folder>/[<split>/]<song>/<stem>.<any audio>`.

    They are cut or padded with zeros to the song's length (museval's rule); mono is repeated.

    Raises:
        DataError: There is nothing for this song, or its sample rate is not the song's.
        InputError: A file is damaged.
    """
    places = [folder / song.name, *sorted(folder.glob(f"*/{_literal(song.name)}"))]
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


def _literal(name: str) -> str:
    """Escape a name for glob."""
    import glob

    return glob.escape(name)
