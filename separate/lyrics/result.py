"""The result of a transcription: words in lines, dropped lines with reasons, and its settings."""

from dataclasses import asdict, dataclass, field
from typing import Any

from separate.lyrics.segmentation.vad import Span


@dataclass(frozen=True)
class Word:
    """One word, in seconds of the recording."""

    start: float
    end: float
    text: str  # without spaces around it
    probability: float


@dataclass(frozen=True)
class Line:
    """What Whisper gives one pair of times; of a song mostly a line."""

    start: float  # seconds of the recording
    end: float
    text: str
    words: tuple[Word, ...] = ()  # empty unless word times were asked for
    no_speech_prob: float = 0.0  # of its window
    avg_logprob: float = 0.0  # of its window
    compression_ratio: float = 0.0  # of its window
    temperature: float = 0.0  # of its window
    segment: int = 0  # which of the segments it was found in


@dataclass(frozen=True)
class Dropped:
    """What was transcribed and left out."""

    start: float
    end: float
    text: str
    reason: str


@dataclass(frozen=True)
class Lyrics:
    """The lyrics of one recording."""

    lines: tuple[Line, ...]
    dropped: tuple[Dropped, ...]
    language: str | None  # code; None: nothing was transcribed
    whisper: str  # the model's name
    whisper_sha256: str
    model: str | None  # the separator, or where the vocals come from; None: nothing was separated
    audio: str  # input of Whisper
    segmentation: str
    segments: tuple[Span, ...]  # of the recording, that Whisper transcribed
    presence: float | None  # how likely vocals are in the recording at all; None: not known
    vocals_db: float | None  # level of the vocals against the mixture
    duration: float  # seconds of the recording
    is_instrumental: bool = False  # no vocals found
    timings: dict[str, float] = field(default_factory=dict)  # seconds: separation, whisper, total

    @property
    def text(self) -> str:
        """The lines, each on one of its own."""
        return "\n".join(line.text for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; times with milliseconds."""
        data = asdict(self)
        data.pop("is_instrumental")
        note = self.note()
        ordered = {"text": self.text, "language": self.language, **({"note": note} if note else {})}
        rounded: dict[str, Any] = _rounded({**ordered, **data})
        return rounded

    def note(self) -> str | None:
        """A message about the whole result: that it is empty, and why."""
        if self.is_instrumental:
            presence = "" if self.presence is None else f"presence {self.presence:.2f}, "
            level = "silent" if self.vocals_db is None else f"{self.vocals_db:.0f} dB"
            return f"no vocals found ({presence}vocals {level} against the mixture)"
        if not self.lines:
            presence = "" if self.presence is None else f" (presence of vocals {self.presence:.2f})"
            return f"no words found{presence}"
        return None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value
