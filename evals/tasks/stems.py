"""SDR without filters of any songs with stems, or of their finest labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separate.errors import DataError
from separate.evals.data.songs import Song, SongReader
from separate.evals.metrics.sdr import FRAME_SECONDS, global_sdr, median_of_frames, si_sdr
from separate.evals.tasks.evaluation import Evaluation, read_and_separate
from separate.evals.tasks.results import SongScores, summarise
from separate.sdr import SOUNDING_DBFS, frame_sdr


@dataclass(frozen=True)
class StemsEval(Evaluation):
    """SDR of each stem: median over a song's frames, mean over songs."""

    @property
    def kind(self) -> str:
        """Labels have a kind of their own."""
        return "labels" if self.fine else "stems"

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            f"SDR = 10 log10(|ref|^2 / |ref - est|^2) of each {FRAME_SECONDS:g} s frame whose"
            f" reference sounds (mean power above {self.sounding_dbfs:g} dBFS), no filters;"
            " median over a song's frames, mean over songs"
        )

    def score(self, reader: SongReader) -> SongScores:
        """Score the stems that song and estimates have; "missing" names the others."""
        song, estimates, head = read_and_separate(reader, self)
        stems = {
            stem: score_stem(song, stem, estimates[stem], self.sounding_dbfs)
            for stem in self.stems
            if stem in song.references and stem in estimates
        }
        return {**head, "missing": [s for s in self.stems if s not in stems], "stems": stems}

    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Average over songs.

        Raises:
            DataError: No song has a stem to score.
        """
        if not any(song["stems"] for song in songs):
            raise DataError(f"no song and estimate have {' or '.join(self.stems)}; see --stems")
        return {
            "sounding_dbfs": self.sounding_dbfs,
            "stems": list(self.stems),
            "summary": summarise(songs, self.stems),
        }


def score_stem(
    song: Song, stem: str, estimate: np.ndarray, sounding_dbfs: float = SOUNDING_DBFS
) -> dict[str, Any]:
    """Score one stem of a song.

    Args:
        song: References and mixture.
        stem: Name of the reference.
        estimate: `(channels, time)`.
        sounding_dbfs: See `frame_sdr`.

    Returns:
        SDR (median of frames), global SDR ("usdr" in files) and SI-SDR; those of the mixture;
        improvements; the SDR of each frame.
    """
    reference = song.references[stem]
    frame_samples = round(FRAME_SECONDS * song.sample_rate)
    frames = frame_sdr(reference, estimate, frame_samples, sounding_dbfs)
    mixture_frames = frame_sdr(reference, song.mixture, frame_samples, sounding_dbfs)
    scores = {
        "sdr": median_of_frames(frames),
        "usdr": global_sdr(reference, estimate),
        "si_sdr": si_sdr(reference, estimate),
    }
    baseline = {
        "sdr": median_of_frames(mixture_frames),
        "usdr": global_sdr(reference, song.mixture),
        "si_sdr": si_sdr(reference, song.mixture),
    }
    return {
        **scores,
        **{f"{name}_mixture": value for name, value in baseline.items()},
        **{f"{name}_improvement": scores[name] - baseline[name] for name in scores},
        "sounding_frames": int(np.count_nonzero(~np.isnan(frames))),
        "frames": len(frames),
        "sdr_frames": frames,
    }
