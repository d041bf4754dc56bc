"""Lyrics of many songs, transcribed in several ways and scored.

In: songs with lyrics, and what is to be compared: what Whisper hears times how it is cut. Out: a
result with every song's texts and scores, and totals over the songs that no model was trained on.
Each song is separated once for all ways.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from separate.evals.data.lyrics import LyricsSong
from separate.evals.data.songs import SongSource
from separate.evals.metrics.wer import reduction, score_texts, wer_interval
from separate.evals.tasks.results import is_seen
from separate.evals.tasks.runner import Progress, score_songs
from separate.files import sha256_of
from separate.lyrics.pipeline import Transcriber
from separate.lyrics.prepare import Prepared, Vocals
from separate.lyrics.recogniser import Recogniser, find_whisper
from separate.lyrics.result import Line
from separate.lyrics.settings import LyricsSettings
from separate.lyrics.tracks import Track, Tracks, in_blocks
from separate.weights.whisper import plain_name

SEPARATED, TRUE = "separated", "true"
_PLAIN, _GUARDED = "plain", "guarded"
_CUTS = {"rms-vad": "RMS-VAD", "whisper": "Whisper's windows", "auto": "cut by its size"}


@dataclass(frozen=True)
class Way:
    """One way to transcribe a song."""

    audio: str  # what Whisper hears: mixture, vocals, blend; auto: by its size
    segmentation: str  # whisper, rms-vad; auto: by its size
    vocals: str = SEPARATED  # or true: the stem itself

    @property
    def name(self) -> str:
        """What a row is called."""
        if self == DEFAULT:
            return "by default"
        heard = f"true {self.audio}" if self.vocals == TRUE else self.audio
        return f"{heard}, {_CUTS[self.segmentation]}"


BASELINE = Way("mixture", "whisper")
DEFAULT = Way("auto", "auto")  # what `separate lyrics` does


@dataclass(frozen=True)
class LyricsEval:
    """What is compared, on which data."""

    settings: LyricsSettings
    ways: tuple[Way, ...]
    dataset: str
    split: str | None
    trained_on: tuple[Mapping[str, Any], ...] | None = None  # of the separator; None: unknown


def evaluate_lyrics(
    songs: Sequence[LyricsSong],
    task: LyricsEval,
    *,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Transcribe and score songs.

    Args:
        songs: With lyrics.
        task: What is compared.
        out: Folder for one file a song.
        resume: Take songs from their files if they were made in the same way.
        jobs: Processes.
        on_progress: Called after each song.

    Returns:
        A result of kind "lyrics", see `separate.evals.tasks.results`.
    """
    path = find_whisper(task.settings.whisper, task.settings.language)
    task = replace(task, settings=replace(task.settings, whisper=str(path)))
    whisper_sha256 = sha256_of(path)
    sha256 = _separator_sha256(task.settings.model)
    made_by = {
        "settings": {**task.settings.fingerprint(), "whisper": whisper_sha256},
        "ways": [asdict(way) for way in task.ways],
        "separator": sha256,
    }
    run = score_songs(
        songs,
        partial(_score_song, task=task),
        out=out,
        resume=resume,
        fingerprint=made_by,
        jobs=jobs,
        on_progress=on_progress,
    )
    return {
        "kind": "lyrics",
        "dataset": task.dataset,
        "split": task.split,
        "method": {"kind": "model", "name": task.settings.model, "sha256": sha256},
        "whisper": plain_name(path.stem),
        "metric": "WER of alt-eval",
        "mask_rule": "one query against the rest",
        "made_by": made_by,
        "ways": [way.name for way in task.ways],
        "baseline": BASELINE.name if BASELINE in task.ways else None,
        "songs": run.songs,
        "failed": run.failed,
        "summary": summarise_lyrics(run.songs, [way.name for way in task.ways], BASELINE.name),
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


def _score_song(song: SongSource, task: LyricsEval) -> dict[str, Any]:
    """Transcribe a song in all ways and score it."""
    assert isinstance(song, LyricsSong)
    reference = song.text()
    language = task.settings.language or song.language() or "en"
    settings = replace(task.settings, language=language)
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    ways: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="separate-lyrics-") as folder:
        prepared = _prepare(song, Path(folder), task)
        for way in task.ways:
            if way.vocals in prepared:
                ways[way.name] = _transcribe(way, prepared[way.vocals], settings, reference)
    separated = prepared[SEPARATED]
    return {
        "song": song.name,
        "split": song.split,
        "seconds": separated.tracks.seconds,
        "separation_seconds": separated.seconds_spent,
        "seen": is_seen(song.name, task.dataset, song.split, task.trained_on or ()),
        "presence": separated.presence,
        "vocals_db": separated.tracks.vocals_db(),
        "language": language,
        "reference": reference,
        "ways": ways,
        "stems": {},
    }


def _prepare(song: LyricsSong, folder: Path, task: LyricsEval) -> dict[str, Prepared]:
    """Separate a song; with its true vocals, where they are known."""
    settings, loaded = task.settings, song.load()
    separator = _separator(settings.model, settings.device, settings.threads)
    transcriber = Transcriber(settings, recogniser=_recogniser_of(settings), separator=separator)
    vocals = Vocals(separator=separator, name=settings.model)
    prepared = transcriber.prepare(loaded.mixture, folder, loaded.sample_rate, vocals)
    result = {SEPARATED: prepared}
    true = loaded.references.get("vocals")
    if true is not None and any(way.vocals == TRUE for way in task.ways):
        track = Track(folder / "true.f32", loaded.sample_rate, settings.vad)
        for block in in_blocks(true):
            track.append(block)
        track.append(true[:, :0], last=True)
        tracks = Tracks(prepared.tracks.mixture, track)
        result[TRUE] = Prepared(tracks, None, "the true stem", 0.0, 0.0)
    return result


def _transcribe(
    way: Way, prepared: Prepared, settings: LyricsSettings, reference: str
) -> dict[str, Any]:
    """Transcribe in one way; scored without the guards and with them."""
    settings = replace(settings, audio=way.audio, segmentation=way.segmentation)
    transcriber = Transcriber(settings, recogniser=_recogniser_of(settings))
    began = time.perf_counter()
    heard = transcriber.hear(prepared)
    kept, dropped = transcriber.guarded(prepared, heard)
    seconds = time.perf_counter() - began
    if way != BASELINE and way.vocals == SEPARATED:
        seconds += prepared.seconds_spent
    assert settings.language is not None
    texts = {_PLAIN: _text(heard.lines), _GUARDED: _text(kept)}
    return {
        "seconds": seconds,
        "whisper_seconds": heard.seconds_spent,
        "texts": texts,
        "dropped": [asdict(piece) for piece in dropped],
        "scores": {
            name: score_texts([reference], [text], [settings.language])
            for name, text in texts.items()
        },
    }


def _recogniser_of(settings: LyricsSettings) -> Recogniser:
    """The one that is loaded, the same for all ways."""
    return _recogniser(settings.whisper, settings.device)


def _text(lines: Sequence[Line]) -> str:
    return "\n".join(line.text for line in lines)


def summarise_lyrics(
    songs: Sequence[dict[str, Any]], ways: Sequence[str], baseline: str
) -> dict[str, Any]:
    """Totals over the songs that the separator has not seen.

    Returns:
        By way, then "plain" or "guarded": the pooled scores, the WER's interval over songs, the
        real-time factor, and the reduction against the plain baseline.
    """
    unseen = [song for song in songs if not song.get("seen")]
    summary: dict[str, Any] = {}
    for way in ways:
        having = [song for song in unseen if way in song["ways"]]
        if not having:
            continue
        summary[way] = {name: _total(having, way, name, baseline) for name in (_PLAIN, _GUARDED)}
    return summary


def _total(songs: Sequence[dict[str, Any]], way: str, name: str, baseline: str) -> dict[str, Any]:
    scores = score_texts(
        [song["reference"] for song in songs],
        [song["ways"][way]["texts"][name] for song in songs],
        [song["language"] for song in songs],
    )
    each = [song["ways"][way]["scores"][name] for song in songs]
    both = all(baseline in song["ways"] for song in songs)
    against = [song["ways"][baseline]["scores"][_PLAIN] for song in songs] if both else None
    seconds = sum(song["ways"][way]["seconds"] for song in songs)
    return {
        **scores,
        "wer_interval": wer_interval(each),
        "reduction": reduction(each, against) if against is not None else None,
        "real_time_factor": seconds / sum(song["seconds"] for song in songs),
        "songs": len(songs),
    }
