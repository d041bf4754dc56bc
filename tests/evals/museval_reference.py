"""Scores that museval itself gives, kept in a file so that a test need not run it for minutes.

`make museval-reference` computes `museval_reference.json` anew; a test marked slow
(`make test-slow`) compares the two.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from song_helpers import RATE, four_stems, noise

from separate.evals.metrics import bss_eval
from separate.evals.tasks.musdb import find_tracks

FILE = Path(__file__).with_suffix(".json")
FOUR = ("vocals", "drums", "bass", "other")


def reference() -> dict[str, Any]:
    """The scores in the file."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def compute(musdb: Path) -> dict[str, Any]:
    """Let museval score everything.

    Args:
        musdb: The folder of MUSDB18's 7 s tracks.
    """
    references, estimates = degraded_song()
    frames = bss_eval.evaluate(references, estimates, RATE, engine="museval").frames
    return {
        "degraded_song": {
            stem: {metric: values.round(8).tolist() for metric, values in metrics.items()}
            for stem, metrics in frames.items()
        },
        "oracles": {kind: oracle_medians(musdb, kind) for kind in ("ibm", "irm")},
    }


def noisy_stems(seconds: float = 2.0) -> dict[str, np.ndarray]:
    """Four stems, each with noise: a pure tone has no unique filter."""
    return {
        stem: audio + noise(40 + index, seconds, 1e-2)
        for index, (stem, audio) in enumerate(four_stems(seconds).items())
    }


def degraded_song() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Stems, and the same with further noise."""
    references = noisy_stems()
    return references, {
        stem: audio + noise(index, audio.shape[1] / RATE, level=0.03)
        for index, (stem, audio) in enumerate(references.items())
    }


def oracle_medians(musdb: Path, kind: str) -> dict[str, float]:
    """Median SDR of an oracle on the first track, without any of our code for masks and scores.

    scipy's transform, masks by hand, museval by itself; the vocals' score comes of the scenario of
    vocals and accompaniment.
    """
    import museval
    import scipy.signal

    song = find_tracks(musdb, ["train"])[0].load()
    options = {"nperseg": 4096, "noverlap": 3072}
    spectra = {s: scipy.signal.stft(x, **options)[2] for s, x in song.references.items()}
    mixture = scipy.signal.stft(song.mixture, **options)[2]
    estimates = []
    for stem in FOUR:
        if kind == "ibm":
            mask = np.abs(spectra[stem]) > np.abs(mixture - spectra[stem])
        else:
            mask = np.abs(spectra[stem]) / (sum(map(np.abs, spectra.values())) + 1e-10)
        audio = scipy.signal.istft(mask * mixture, **options)[1]
        estimates.append(audio[:, : song.mixture.shape[1]].T)
    references = [song.references[stem].T for stem in FOUR]
    whole = museval.evaluate(references, estimates)[0]
    voice = museval.evaluate(
        [references[0], np.sum(references[1:], axis=0)],
        [estimates[0], np.sum(estimates[1:], axis=0)],
    )[0]
    scores = {"vocals": voice[0], "accompaniment": voice[1]}
    scores |= dict(zip(FOUR[1:], whole[1:], strict=True))
    return {stem: round(float(np.nanmedian(values)), 4) for stem, values in scores.items()}


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    FILE.write_text(json.dumps(compute(beside / "musdb18"), indent=1) + "\n", encoding="utf-8")
