"""Word error rates of lyrics, transcribed by several routes.

A route is an input of Whisper and a segmentation. The result has the texts and scores of every
song, and totals over the songs that no model was trained on. A song is separated once for all
routes.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from separate.evals.data.lyrics import LyricsSong
from separate.evals.data.songs import SongReader
from separate.evals.metrics.wer import reduction, score_texts, wer_interval
from separate.evals.tasks.results import is_seen
from separate.evals.tasks.runner import DEFAULT_RUN, RunOptions, score_songs
from separate.files import sha256_of
from separate.lyrics.pipeline import Transcriber
from separate.lyrics.recognition.recogniser import Recogniser, find_whisper
from separate.lyrics.result import Line
from separate.lyrics.settings import LyricsSettings
from separate.lyrics.vocals.prepare import Prepared, Vocals
from separate.lyrics.vocals.signals import Signal, Signals, in_blocks
from separate.weights.whisper import plain_name

SEPARATED, TRUE = "separated", "true"
_PLAIN, _GUARDED = "plain", "guarded"
_CUTS = {"rms-vad": "RMS-VAD", "whisper": "Whisper's windows", "auto": "cut by its size"}


@dataclass(frozen=True)
class LyricsMethod:
    """One input of Whisper, segmented in one way."""

    audio: str  # mixture, vocals, blend; auto: by the size of the model
    segmentation: str  # whisper, rms-vad; auto: by the size of the model
    vocals: str = SEPARATED  # separated, or true: the reference stem

    @property
    def name(self) -> str:
        """Name of its row in tables."""
        if self == DEFAULT:
            return "by default"
        audio = f"true {self.audio}" if self.vocals == TRUE else self.audio
        return f"{audio}, {_CUTS[self.segmentation]}"


BASELINE = LyricsMethod("mixture", "whisper")
DEFAULT = LyricsMethod("auto", "auto")  # the defaults of `separate lyrics`


@dataclass(frozen=True)
class LyricsEval:
    """The routes that are compared, and the data."""

    settings: LyricsSettings
    routes: tuple[LyricsMethod, ...]
    dataset: str
    split: str | None
    trained_on: tuple[Mapping[str, Any], ...] | None = None  # of the separator; None: unknown


def evaluate_lyrics(
    songs: Sequence[LyricsSong], evaluation: LyricsEval, options: RunOptions = DEFAULT_RUN
) -> dict[str, Any]:
    """Transcribe and score songs.

    Args:
        songs: Songs with lyrics.
        evaluation: What is compared.
        options: Folder, resuming, processes, progress.

    Returns:
        A result of kind "lyrics", see `separate.evals.tasks.results`.
    """
    path = find_whisper(evaluation.settings.whisper, evaluation.settings.language)
    evaluation = replace(evaluation, settings=replace(evaluation.settings, whisper=str(path)))
    whisper_sha256 = sha256_of(path)
    sha256 = _separator_sha256(evaluation.settings.model)
    made_by = {
        "settings": {**evaluation.settings.fingerprint(), "whisper": whisper_sha256},
        "ways": [asdict(route) for route in evaluation.routes],
        "separator": sha256,
    }
    names = [route.name for route in evaluation.routes]
    run = score_songs(songs, partial(_score_song, evaluation=evaluation), options, made_by)
    return {
        "kind": "lyrics",
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "method": {"kind": "model", "name": evaluation.settings.model, "sha256": sha256},
        "whisper": plain_name(path.stem),
        "metric": "WER of alt-eval",
        "mask_rule": "one query against the rest",
        "made_by": made_by,
        "ways": names,
        "baseline": BASELINE.name if BASELINE in evaluation.routes else None,
        "songs": run.songs,
        "failed": run.failed,
        "summary": summarise_lyrics(run.songs, names, BASELINE.name),
    }


def _separator_sha256(model: str) -> str:
    from separate.insides import model_cards

    return ",".join(card.sha256 for card in model_cards(model))


@lru_cache(maxsize=1)
def _recogniser(whisper: str | None, device: str) -> Recogniser:
    return Recogniser(find_whisper(whisper), LyricsSettings(device=device))


@lru_cache(maxsize=1)
def _separator(model: str, device: str, threads: int | None) -> Any:
    from separate.open import open_separator
    from separate.settings import Settings

    return open_separator(Settings(model=model, device=device, threads=threads))


def _score_song(song: SongReader, evaluation: LyricsEval) -> dict[str, Any]:
    """Transcribe a song by all routes and score it."""
    assert isinstance(song, LyricsSong)
    reference = song.text()
    language = evaluation.settings.language or song.language() or "en"
    settings = replace(evaluation.settings, language=language)
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    by_route: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="separate-lyrics-") as folder:
        prepared = _prepare(song, Path(folder), evaluation)
        for route in evaluation.routes:
            if route.vocals in prepared:
                prepared_for = prepared[route.vocals]
                by_route[route.name] = _transcribe(route, prepared_for, settings, reference)
    separated = prepared[SEPARATED]
    return {
        "song": song.name,
        "split": song.split,
        "seconds": separated.signals.seconds,
        "separation_seconds": separated.seconds_spent,
        "seen": is_seen(song.name, evaluation.dataset, song.split, evaluation.trained_on or ()),
        "presence": separated.presence,
        "vocals_db": separated.signals.vocals_db(),
        "language": language,
        "reference": reference,
        "ways": by_route,
        "stems": {},
    }


def _prepare(song: LyricsSong, folder: Path, evaluation: LyricsEval) -> dict[str, Prepared]:
    """Separate a song; add its true vocals, where they are known."""
    settings, loaded = evaluation.settings, song.load()
    separator = _separator(settings.model, settings.device, settings.threads)
    transcriber = Transcriber(settings, recogniser=_recogniser_of(settings), separator=separator)
    vocals = Vocals(separator=separator, name=settings.model)
    prepared = transcriber.prepare(loaded.mixture, folder, loaded.sample_rate, vocals)
    result = {SEPARATED: prepared}
    true = loaded.references.get("vocals")
    if true is not None and any(route.vocals == TRUE for route in evaluation.routes):
        signal = Signal(folder / "true.f32", loaded.sample_rate, settings.vad)
        signals = Signals(prepared.signals.mixture, signal.fill(in_blocks(true)))
        result[TRUE] = Prepared(signals, None, "the true stem", 0.0, 0.0)
    return result


def _transcribe(
    route: LyricsMethod, prepared: Prepared, settings: LyricsSettings, reference: str
) -> dict[str, Any]:
    """Transcribe by one route; score the text without the guards and with them."""
    settings = replace(settings, audio=route.audio, segmentation=route.segmentation)
    transcriber = Transcriber(settings, recogniser=_recogniser_of(settings))
    began = time.perf_counter()
    transcribed = transcriber.recognise(prepared)
    kept, dropped = transcriber.guarded(prepared, transcribed)
    seconds = time.perf_counter() - began
    if route != BASELINE and route.vocals == SEPARATED:
        seconds += prepared.seconds_spent
    assert settings.language is not None
    texts = {_PLAIN: _text(transcribed.lines), _GUARDED: _text(kept)}
    return {
        "seconds": seconds,
        "whisper_seconds": transcribed.seconds_spent,
        "texts": texts,
        "dropped": [asdict(piece) for piece in dropped],
        "scores": {
            name: score_texts([reference], [text], [settings.language])
            for name, text in texts.items()
        },
    }


def _recogniser_of(settings: LyricsSettings) -> Recogniser:
    """Return the Whisper model that is loaded, the same for all routes."""
    return _recogniser(settings.whisper, settings.device)


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)


def summarise_lyrics(
    songs: Sequence[dict[str, Any]], routes: Sequence[str], baseline: str
) -> dict[str, Any]:
    """Total the scores over the songs that the separator was not trained on.

    Returns:
        By route, then "plain" or "guarded": the pooled scores, the WER's interval over songs, the
        real-time factor, and the reduction against the plain baseline.
    """
    unseen = [song for song in songs if not song.get("seen")]
    songs_of = {route: [s for s in unseen if route in s["ways"]] for route in routes}
    return {
        route: {name: _total(having, route, name, baseline) for name in (_PLAIN, _GUARDED)}
        for route, having in songs_of.items()
        if having
    }


def _total(songs: Sequence[dict[str, Any]], route: str, name: str, baseline: str) -> dict[str, Any]:
    scores = score_texts(
        [song["reference"] for song in songs],
        [song["ways"][route]["texts"][name] for song in songs],
        [song["language"] for song in songs],
    )
    each = [song["ways"][route]["scores"][name] for song in songs]
    both = all(baseline in song["ways"] for song in songs)
    against = [song["ways"][baseline]["scores"][_PLAIN] for song in songs] if both else None
    seconds = sum(song["ways"][route]["seconds"] for song in songs)
    return {
        **scores,
        "wer_interval": wer_interval(each),
        "reduction": reduction(each, against) if against is not None else None,
        "real_time_factor": seconds / sum(song["seconds"] for song in songs),
        "songs": len(songs),
    }
