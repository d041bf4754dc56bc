"""Settings and requests: frozen dataclasses filled by command line, web form and Python."""

import math
import re
import string
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from separate.errors import SettingsError
from separate.renamed import renamed

FORMATS = ("wav", "flac", "ogg", "mp3")
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
CLIP_MODES = ("clamp", "rescale", "none")
RESIDUAL = "residual"
_FILENAME_FIELDS = {"track", "stem", "ext"}
_ROUNDING_ONLY = {"threads", "device"}  # fields that change a result by rounding at most
# Keys in records and in requests of the web page, where they differ from the field.
KEYS = {"sum_to_mixture": "share", "mask_exponent": "strength"}


@renamed(**{key: field for field, key in KEYS.items()})
@dataclass(frozen=True)
class Settings:
    """How to separate and what to write."""

    model: str = "default"  # name or path of a model; several, comma-separated, are averaged
    query_net: str | None = None  # encoder of the queries; None: the one the model was trained with
    device: str = "cpu"  # cpu, cuda, cuda:1, mps
    threads: int | None = None  # processor threads; None: torch's choice
    segment: float | None = None  # seconds a window; None: the model's own
    overlap: float | None = None  # part of a window that is cross-faded, 0..0.5; None: the model's
    shifts: int = 0  # further positions of the transform that are averaged, 0..10
    sum_to_mixture: bool = False  # the estimates of several queries sum to the mixture
    keep_absent: bool = False  # False: an estimate whose source was not found is 30 dB softer
    mask_exponent: float = 1.0  # masks are raised to this power, 0.25..4
    start: float = 0.0  # seconds into the file
    end: float | None = None  # seconds into the file; None: its end
    stream: int = 0  # audio stream of a file that has several (video), from 0
    format: str = "wav"  # wav, flac, ogg, mp3
    subtype: str | None = None  # PCM_16, PCM_24, FLOAT; None: the input's where the format has it
    mp3_bitrate: int = 320  # kbit/s
    clip_mode: str = "clamp"  # clamp: cut at full scale; rescale: one gain for all outputs; none
    filename: str = "{track}/{stem}.{ext}"  # below the output folder
    residual: str | None = RESIDUAL  # name of what no query takes; None: not written

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            SettingsError: One is out of its range; the message says what to give.
        """
        _require(
            all(part.strip() for part in self.model.split(",")),
            "--model: a name or path, or several with commas between them",
        )
        _require(
            re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", self.device) is not None,
            f"--device {self.device!r}: cpu, cuda, cuda:1 or mps",
        )
        _in_range("--threads", self.threads, 1, 1024)
        _in_range("--segment", self.segment, 0.5, 600, " seconds")
        _in_range("--overlap", self.overlap, 0, 0.5)
        _in_range("--shifts", self.shifts, 0, 10)
        _in_range("--strength", self.mask_exponent, 0.25, 4)
        _in_range("--start", self.start, 0, 1e7, " seconds")
        _in_range("--end", self.end, 0, 1e7, " seconds")
        _require(self.end is None or self.end > self.start, "--end must be later than --start")
        _in_range("--stream", self.stream, 0, 1000)
        _one_of("--format", self.format, FORMATS)
        _one_of("subtype", self.subtype, (None, *SUBTYPES))
        _one_of("--clip-mode", self.clip_mode, CLIP_MODES)
        self._check_depth()
        _in_range("--mp3-bitrate", self.mp3_bitrate, 64, 320, " kbit/s")
        _check_filename(self.filename, self.format)
        _require(self.residual is None or self.residual.strip() != "", "the residual needs a name")

    def _check_depth(self) -> None:
        flag = {"PCM_24": "--int24", "FLOAT": "--float32"}.get(self.subtype or "", "16 bits")
        _require(
            self.subtype is None or self.format in ("wav", "flac"),
            f"{self.format} has no bit depth: leave {flag} out, or take --format wav",
        )
        _require(
            not (self.subtype == "FLOAT" and self.format == "flac"),
            "flac holds no floating point: take --int24, or --format wav",
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return the fields that decide a result, as plain values for a record."""
        names = (f.name for f in fields(self) if f.name not in _ROUNDING_ONLY)
        return {KEYS.get(name, name): getattr(self, name) for name in names}


@dataclass(frozen=True)
class Request:
    """The sources to separate, as a user names them."""

    texts: tuple[str, ...] = ()  # free queries
    stems: bool = False  # the four stems of music; alone they sum to the mixture
    two_stems: str | None = None  # one query, whose residual is called `no_<query>`
    like: tuple[Path, ...] = ()  # examples of one sound; with a text they describe one source
    exclude: tuple[str, ...] = ()  # phrases for what every query excludes
    unlike: tuple[Path, ...] = ()  # examples of what every query excludes
    text_weight: float = 0.5  # weight of the text against the examples, 0..1
    negative_weight: float = 1.0  # weight of what is excluded, 0..10
    residual: bool | None = None  # write the residual; None: unless the stems sum to the mixture
    sum_to_mixture: bool | None = None  # the estimates sum to the mixture; None: of stems alone

    @property
    def is_empty(self) -> bool:
        """Whether all fields but the weights have their defaults."""
        default = Request()
        weights = (default.text_weight, default.negative_weight)
        return replace(self, text_weight=weights[0], negative_weight=weights[1]) == default


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SettingsError(message)


def _in_range(flag: str, value: float | None, least: float, most: float, unit: str = "") -> None:
    inside = value is None or (math.isfinite(value) and least <= value <= most)
    _require(inside, f"{flag} {value}: give {least:g} to {most:g}{unit}")


def _one_of(flag: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    named = ", ".join(choice for choice in choices if choice)
    _require(value in choices, f"{flag} {value!r}: take one of {named}")


def _check_filename(pattern: str, format: str) -> None:
    """Only plain fields, a different name for each stem, and nothing outside of the folder."""
    wrong = f"--filename {pattern!r}: write it with {{track}}, {{stem}} and {{ext}} alone"
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise SettingsError(wrong) from error
    found = [name for _, name, _, _ in parts if name is not None]
    plain = all(not spec and not conversion for _, _, spec, conversion in parts)
    _require(set(found) <= _FILENAME_FIELDS and plain, wrong)
    _require("stem" in found, "--filename must contain {stem}, else outputs overwrite each other")
    filled = pattern.format(track="track", stem="stem", ext=format).replace("\\", "/")
    folders = filled.split("/")
    _require(
        not {"", ".", ".."} & set(folders) and ":" not in folders[0] and "\0" not in filled,
        f"--filename {pattern!r}: must name a file inside the output folder",
    )
    ending = filled.rsplit(".", 1)[-1].lower()
    _require(
        ending == format or ending not in FORMATS,
        f"--filename {pattern!r} ends in .{ending}, but the format is {format}: end it in {{ext}}",
    )
