"""Settings of the server, and the settings that a visitor may choose."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from separate.errors import SettingsError
from separate.settings import KEYS, Settings

# Fields of `Settings` by their keys in a request, which a visitor may set, and their JSON types.
# The operator alone sets the rest (model paths, device, threads, file names).
CHOICES: dict[str, tuple[type, ...]] = {
    "strength": (int, float),
    "share": (bool,),
    "format": (str,),
    "subtype": (str,),
    "mp3_bitrate": (int,),
    "clip_mode": (str,),
    "overlap": (int, float),
    "shifts": (int,),
}
MOST_SHIFTS = 2  # each makes a separation as long again
MOST_QUERIES = 16
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class ServeConfig:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = 7860
    accounts: Mapping[str, str] = field(default_factory=dict)  # name -> password; none: no login
    max_minutes: float = 20.0  # of a recording, counted as stereo at up to 48 kHz
    max_upload_mb: float = 500.0
    concurrency: int = 1  # computations at once, each in a process of its own
    root_path: str = ""  # where a proxy puts the page, e.g. "/separate"
    keep_minutes: float = 60.0  # files go so long after their last use
    folder: Path | None = None  # temporary files; None: the system's place for them
    max_jobs: int = 50  # waiting or running, of a session; twice as many of an address
    max_files_gb: float = 50.0  # of all visitors; a quarter of it for one address
    settings: Settings = field(default_factory=Settings)  # model, device, threads

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            SettingsError: One is out of its range; the message says what to give.
        """
        _require(0 <= self.port <= 65535, f"--port {self.port}: give 0 to 65535")
        _require(0 < self.max_minutes <= 1440, "--max-minutes: give more than 0, 1440 at most")
        _require(0 < self.max_upload_mb <= 1e5, "--max-upload-mb: give more than 0, 100000 at most")
        _require(1 <= self.concurrency <= 64, f"--concurrency {self.concurrency}: give 1 to 64")
        _require(0 < self.keep_minutes <= 1e5, "--keep-minutes: give more than 0")
        _require(1 <= self.max_jobs <= 10_000, f"--max-jobs {self.max_jobs}: give 1 to 10000")
        _require(0 < self.max_files_gb <= 1e6, "--max-files-gb: give more than 0")
        plain = self.root_path == "" or (
            self.root_path.startswith("/")
            and not self.root_path.endswith("/")
            and all(c.isalnum() or c in "/-_.~" for c in self.root_path)
            and ".." not in self.root_path
        )
        _require(
            plain, f"--root-path {self.root_path!r}: give it as /name, without a slash at the end"
        )

    @property
    def max_upload_bytes(self) -> int:
        """Largest upload."""
        return int(self.max_upload_mb * 1e6)

    @property
    def max_seconds(self) -> float:
        """Longest recording."""
        return self.max_minutes * 60


def settings_from(base: Settings, chosen: Mapping[str, Any]) -> Settings:
    """Fill the settings of the command line with what a visitor chose.

    Args:
        base: The operator's.
        chosen: Plain values by field name; None is the default.

    Raises:
        SettingsError: An unknown field, a wrong type or a value out of its range.
    """
    values = {name: value for name, value in chosen.items() if value is not None}
    for name, value in values.items():
        _require(
            name in CHOICES, f"{str(name)[:40]!r} can't be set here; take {', '.join(CHOICES)}"
        )
        is_number = isinstance(value, bool) and bool not in CHOICES[name]
        right = isinstance(value, CHOICES[name]) and not is_number
        _require(right, f"{name}: {str(value)[:40]!r} is no {CHOICES[name][-1].__name__}")
    shifts = values.get("shifts", 0)
    _require(0 <= shifts <= MOST_SHIFTS, f"shifts {shifts}: give 0 to {MOST_SHIFTS}")
    names = {key: name for name, key in KEYS.items()}
    return replace(base, **{names.get(key, key): value for key, value in values.items()})


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SettingsError(message)
