"""Word error rates of transcribed lyrics, by the package `alt-eval`.

Error rates count words as `alt-eval` tokenises them, without case and punctuation; these, line
breaks and section breaks have their own scores. A hallucinated run has more than ten inserted
words.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from separate.errors import SettingsError
from separate.evals.metrics.sdr import draws, percentiles

RUN_WORDS = 10  # a hallucinated run has more inserted words


def require_alt_eval() -> None:
    """Refuse to go on without alt-eval.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        import alt_eval  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "the scores of lyrics need alt-eval: pip install 'separate-audio[bench]'"
        ) from error


def score_texts(
    references: Sequence[str], hypotheses: Sequence[str], languages: Sequence[str]
) -> dict[str, Any]:
    """Score hypotheses together; counts add up over the texts.

    Returns:
        alt-eval's metrics (rates as parts of 1), `hallucinated_runs`, `hallucinated_words`, and
        `words`, the number of the references' words.
    """
    from alt_eval import compute_metrics

    found = dict(compute_metrics(list(references), list(hypotheses), list(languages)))
    runs = [_runs(*pair) for pair in zip(references, hypotheses, languages, strict=True)]
    words = found["hits"] + found["substitutions"] + found["deletions"]
    return {
        **found,
        "hallucinated_runs": sum(len(run) for run in runs),
        "hallucinated_words": sum(sum(run) for run in runs),
        "words": words,
    }


def errors_html(reference: str, hypothesis: str, language: str) -> str:
    """Return alt-eval's HTML of the differences: spans with classes, one line for each line."""
    from alt_eval import compute_metrics

    found = compute_metrics([reference], [hypothesis], language, visualize_errors=True)
    return str(found["errors_html"][0])


def _runs(reference: str, hypothesis: str, language: str) -> list[int]:
    """Return the lengths of the hallucinated runs."""
    import iso639
    import jiwer
    from alt_eval.tokenizer import LyricsTokenizer, tokens_as_words

    code = iso639.Language.match(language).part1
    tokenizer = LyricsTokenizer()
    words: list[Any] = [
        [token.text.lower() for token in tokens_as_words(tokenizer(text, language=code))]
        for text in (reference, hypothesis)
    ]
    as_they_are = jiwer.Compose([])
    output = jiwer.process_words(
        words[:1],
        words[1:],
        reference_transform=as_they_are,
        hypothesis_transform=as_they_are,
    )
    inserted = [
        chunk.hyp_end_idx - chunk.hyp_start_idx
        for chunk in output.alignments[0]
        if chunk.type == "insert"
    ]
    return [count for count in inserted if count > RUN_WORDS]


def wer_interval(songs: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Return the 95 % interval of the pooled WER, bootstrapped over songs; None below two songs.

    Args:
        songs: Scores of each song, with their counts.
    """
    if len(songs) < 2:
        return None
    errors, words = _counts(songs)
    drawn = draws(len(songs))
    return percentiles(errors[drawn].sum(axis=1) / words[drawn].sum(axis=1))


def reduction(
    songs: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]
) -> dict[str, float | None]:
    """Return the reduction of the WER against a baseline on the same songs, as a part of 1.

    Returns:
        mean, and low and high of its 95 % interval over songs (paired; None below two songs).
    """
    ours, theirs = _counts(songs)[0], _counts(baseline)[0]
    total = float(theirs.sum())
    mean = 1 - float(ours.sum()) / total if total else math.nan
    if len(songs) < 2:
        return {"mean": mean, "low": None, "high": None}
    drawn = draws(len(songs))
    sums = theirs[drawn].sum(axis=1)
    low, high = percentiles(1 - ours[drawn].sum(axis=1)[sums > 0] / sums[sums > 0])
    return {"mean": mean, "low": low, "high": high}


def _counts(songs: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    keys = ("substitutions", "deletions", "insertions")
    errors = [sum(song[key] for key in keys) for song in songs]
    return np.array(errors, dtype=float), np.array([song["words"] for song in songs], dtype=float)
