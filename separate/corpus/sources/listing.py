"""Says what a corpus holds: hours, sizes and licences, by folder and by label."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from separate.corpus.sources.catalogue import Library
from separate.corpus.sources.store import SAMPLE_RATE
from separate.errors import DataError


def summarise(folder: Path) -> str:
    """Return a table of the songs and clips below a folder.

    Raises:
        DataError: There are none.
    """
    songs = [(path, json.loads(path.read_text())) for path in sorted(folder.rglob("song.json"))]
    indices = [(path, json.loads(path.read_text())) for path in sorted(folder.rglob("clips.json"))]
    if not songs and not indices:
        raise DataError(f"{folder}: no cached songs or clips; run `separate data cache` first")
    rows: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    labels: dict[str, float] = defaultdict(float)
    for path, info in songs:
        row = rows[(path.parent.parent.name, info["licence_class"])]
        _count(row, 1, info["seconds"] / 3600, _size(path.parent))
        for label in info["stems"]:
            labels[label] += info["seconds"] / 3600
    for path, index in indices:
        for label, entry in index.items():
            hours = _clip_hours(entry)
            row = rows[(path.parent.name, entry["licence_class"])]
            _count(row, len(entry["clips"]), hours, (path.parent / entry["file"]).stat().st_size)
            labels[label] += hours
    lines = [f"{'folder':24} {'licence':12} {'items':>7} {'hours':>8} {'GB':>7}"]
    for (name, licence), (items, hours, size) in sorted(rows.items()):
        lines.append(f"{name:24} {licence:12} {items:7.0f} {hours:8.2f} {size / 1e9:7.2f}")
    total = [sum(row[column] for row in rows.values()) for column in range(3)]
    lines.append(f"{'all':24} {'':12} {total[0]:7.0f} {total[1]:8.2f} {total[2] / 1e9:7.2f}")
    lines.append("")
    lines.append(f"{'label':24} {'hours':>8}")
    lines += [f"{label:24} {hours:8.2f}" for label, hours in sorted(labels.items())]
    return "\n".join(lines)


def describe(library: Library) -> str:
    """Return a table of the sources found and missing, with licences and where to get them."""
    lines = [f"{'source':20} {'kind':14} {'class':11} {'licence':14} by, from"]
    for found, sources in ((True, library.found.values()), (False, library.missing)):
        for source in sources:
            mark = "" if found else "MISSING "
            lines.append(
                f"{source.name:20} {source.kind:14} {source.licence_class:11} "
                f"{source.license.split(' (')[0]:14} {mark}{source.credit}; {source.origin}"
            )
    lines += [f"program {name}: {'found' if there else 'MISSING, install the package'}"
              for name, there in library.programs.items()]  # fmt: skip
    return "\n".join(lines)


def _count(row: list[float], items: int, hours: float, size: int) -> None:
    row[0] += items
    row[1] += hours
    row[2] += size


def _clip_hours(entry: dict[str, Any]) -> float:
    return sum(clip["stop"] - clip["start"] for clip in entry["clips"]) / SAMPLE_RATE / 3600


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.npy"))
