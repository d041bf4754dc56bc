"""Type what you want to hear and get it out of any recording.

from separate import Separator, read_audio
mixture, sample_rate = read_audio("song.wav")
result = Separator().separate(mixture, sample_rate, ["drums"])
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from separate.audio import read_audio, write_audio
    from separate.errors import SeparateError
    from separate.lyrics import LyricsSettings, transcribe
    from separate.queries.query import Query
    from separate.queries.vocabulary import STEMS
    from separate.separator import Separation, Separator
    from separate.settings import Settings

__all__ = [
    "STEMS",
    "LyricsSettings",
    "Query",
    "SeparateError",
    "Separation",
    "Separator",
    "Settings",
    "example_path",
    "read_audio",
    "transcribe",
    "write_audio",
]

# Loaded when first asked for: `import separate` must not cost the second that torch takes.
_HOMES = {
    "STEMS": "separate.queries.vocabulary",
    "LyricsSettings": "separate.lyrics",
    "Query": "separate.queries.query",
    "SeparateError": "separate.errors",
    "Separation": "separate.separator",
    "Separator": "separate.separator",
    "Settings": "separate.settings",
    "read_audio": "separate.audio",
    "transcribe": "separate.lyrics",
    "write_audio": "separate.audio",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'separate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def example_path() -> Path:
    """Return the bundled example: a short song made for this project."""
    return Path(__file__).parent / "example" / "demo.ogg"
