"""A card's account of the training data: `Card.trained_on` and `Card.licence` of a corpus."""

from typing import Any

from separate.train.data.folders import LICENCE_CLASSES, Corpus, CorpusSong

# Of weights, by the strictest class of their data, in the order of `LICENCE_CLASSES`.
_LICENCES = ("MIT", "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0", "research use only")


def described(corpus: Corpus) -> tuple[dict[str, Any], ...]:
    """List songs, recordings and clips by licence class, each with its required credits."""
    rows: list[dict[str, Any]] = []
    groups = sorted({(song.rendered, song.licence_class) for song in corpus.songs})
    for rendered, licence in groups:
        songs = [
            song
            for song in corpus.songs
            if (song.rendered, song.licence_class) == (rendered, licence)
        ]
        rows.append(
            {
                "dataset": "rendered songs" if rendered else "songs with stems",
                "split": "train",
                "songs": [] if rendered else sorted(song.name for song in songs),
                "count": len(songs),
                "hours": round(sum(song.samples for song in songs) / 44100 / 3600, 2),
                "licence_class": licence,
                "credits": _credits(songs),
            }
        )
    for licence in sorted({mixture.licence_class for mixture in corpus.mixtures}):
        recordings = [m for m in corpus.mixtures if m.licence_class == licence]
        seconds = sum(len(mixture.audio) for mixture in recordings) / 44100
        rows.append(
            {
                "dataset": "recordings without stems",
                "split": "train",
                "songs": [],
                "count": len(recordings),
                "hours": round(seconds / 3600, 2),
                "licence_class": licence,
                "credits": sorted({mixture.source for mixture in recordings}),
            }
        )
    if corpus.clips:
        rows.append(
            {
                "dataset": "labelled clips",
                "split": "train",
                "songs": [],
                "labels": sorted(corpus.clips),
                "credits": sorted({words for _, words in corpus.clip_licences.values() if words}),
            }
        )
    return tuple(rows)


def licence_of(corpus: Corpus, *starts: str) -> str:
    """Return the licence that weights must carry.

    Args:
        corpus: What they were trained on.
        starts: Licences of weights that they started or learned from; an unknown one stays.
    """
    classes = {song.licence_class for song in corpus.songs}
    classes |= {licence for licence, _ in corpus.clip_licences.values()}
    classes |= {mixture.licence_class for mixture in corpus.mixtures}
    needed = max((LICENCE_CLASSES.index(name) for name in classes), default=0)
    for start in starts:
        if start not in _LICENCES:
            return start
        needed = max(needed, _LICENCES.index(start))
    return _LICENCES[needed]


def _credits(songs: list[CorpusSong]) -> list[str]:
    return sorted({source for song in songs for source in song.sources if source})
