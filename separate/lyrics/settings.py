"""Settings of a transcription: frozen dataclasses, checked when they are made."""

import math
import re
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from separate.errors import SettingsError

AUDIO = ("auto", "mixture", "vocals", "blend")
SEGMENTATIONS = ("auto", "rms-vad", "whisper")
TASKS = ("transcribe", "translate")
FORMATS = ("txt", "lrc", "elrc", "srt", "vtt", "json", "tsv", "ass")
WORD_FORMATS = ("elrc", "ass")  # which have the time of each word
SAMPLE_RATE = 16_000  # Hz, of Whisper
WHISPERS_INCREMENT = 0.2  # of the temperature, its default
_NO_RESULT = ("device", "threads", "formats", "model_dir", "fp16")  # fields that change no text
_LATER = (  # fields that older records don't have; at their defaults they are left out
    "length_penalty", "suppress_tokens", "carry_initial_prompt", "clips", "subtitles",
    "hallucination_silence_threshold", "prepend_punctuations", "append_punctuations",
)  # fmt: skip


@dataclass(frozen=True)
class VadSettings:
    """RMS-VAD: singing is where the vocals are loud, relative to their loudest moment."""

    frame: int = 2048  # samples at 16 kHz, of an RMS frame
    hop_length: int = 512  # samples at 16 kHz; `frame` is a multiple of twice of it
    onset: float = 0.1  # singing begins at this part of the maximum
    offset: float = 0.1  # it ends below this part of the maximum
    min_silence: float = 1.0  # seconds; shorter rests don't end a segment
    pad: float = 0.2  # seconds, before and after each segment
    min_speech: float = 0.0  # seconds; shorter segments are left out
    max_speech: float = 30.0  # seconds of a segment, pads included: what Whisper takes at once
    min_silence_at_max: float = 0.098  # seconds; a segment that gets too long ends at such a rest

    def __post_init__(self) -> None:
        """Check every field."""
        _in_range("vad frame", self.frame, 2, 65_536)
        _in_range("vad hop_length", self.hop_length, 1, 32_768)
        _require(
            self.frame % (2 * self.hop_length) == 0,
            "vad: frame must be a multiple of twice hop_length",
        )
        _in_range("vad onset", self.onset, 0, 1)
        _in_range("vad offset", self.offset, 0, self.onset)
        for name in ("min_silence", "pad", "min_speech", "min_silence_at_max"):
            _in_range(f"vad {name}", getattr(self, name), 0, 10, " seconds")
        _in_range("vad max_speech", self.max_speech, 1, 30, " seconds")
        _require(self.max_speech > 2 * self.pad, "vad: max_speech must exceed both pads")


@dataclass(frozen=True)
class ShortFormSettings:
    """Short form: line times are known; lines are merged and grouped for Whisper."""

    merge_overlap: float = 0.2  # seconds; lines that overlap more are one
    pad: float = 0.5  # seconds at most, before and after a line
    buffer: float = 0.1  # seconds that a pad keeps away from the neighbour
    max_line: float = 30.0  # seconds; a longer line is left out
    is_concatenated: bool = True  # lines are grouped; else each is transcribed alone
    max_gap: float = 7.0  # seconds between lines of one group
    max_group: float = 30.0  # seconds of a group
    open_line: float = 10.0  # seconds of a line without an end (LRC), if nothing follows sooner

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("merge_overlap", "pad", "buffer", "max_gap"):
            _in_range(f"short form {name}", getattr(self, name), 0, 30, " seconds")
        for name in ("max_line", "max_group", "open_line"):
            _in_range(f"short form {name}", getattr(self, name), 0.5, 30, " seconds")


@dataclass(frozen=True)
class GuardSettings:
    """Which text is dropped as not sung; each with its reason."""

    is_on: bool = True
    no_vocals_presence: float = 0.02  # below: no vocals in the recording at all
    no_vocals_db: float = -30.0  # vocals quieter than the mixture by this: none at all
    unlikely_presence: float = 0.2  # below it, if also:
    unlikely_db: float = -12.0  # quieter by this: none at all
    silent_level: float = 0.02  # of the vocals' maximum: quieter words weren't sung
    no_speech_prob: float = 0.6  # lines of windows above it are dropped, if also unlikely:
    no_speech_logprob: float = -1.0  # mean log probability below
    compression_ratio: float = 2.4  # repetitive windows above it are searched for loops
    loop_ratio: float = 4.0  # so repetitive no song is: above it loops are dropped as a whole
    repeats: int = 2  # below it so many of equal phrases or lines, one after another, are kept
    words_per_second: float = 6.0  # lines of at least four words that are faster weren't sung

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("no_vocals_presence", "unlikely_presence", "silent_level", "no_speech_prob"):
            _in_range(f"guards {name}", getattr(self, name), 0, 1)
        for name in ("no_vocals_db", "unlikely_db"):
            _in_range(f"guards {name}", getattr(self, name), -200, 0, " dB")
        _in_range("guards compression_ratio", self.compression_ratio, 1, 1000)
        _in_range("guards loop_ratio", self.loop_ratio, 1, 1000)
        _in_range("guards repeats", self.repeats, 1, 1000)
        _in_range("guards words_per_second", self.words_per_second, 1, 1000)


@dataclass(frozen=True)
class SubtitleSettings:
    """The shape of SRT and VTT subtitles, as Whisper's own flags; at first one line a subtitle."""

    max_line_width: int | None = None  # characters
    max_line_count: int | None = None  # lines of a subtitle, with `max_line_width`
    max_words_per_line: int | None = None
    highlight_words: bool = False  # underline each word while it is sung

    def __post_init__(self) -> None:
        """Check every field."""
        _in_range("--max_line_width", self.max_line_width, 1, 1000)
        _in_range("--max_line_count", self.max_line_count, 1, 100)
        _in_range("--max_words_per_line", self.max_words_per_line, 1, 1000)

    @property
    def is_set(self) -> bool:
        """Whether any field differs from its default; words then need times."""
        return self != SubtitleSettings()


@dataclass(frozen=True)
class LyricsSettings:
    """How to transcribe and what to write.

    With `segmentation="whisper"` Whisper works as it does by itself: conditioned on the text before
    and with its fallback to higher temperatures, unless these fields say otherwise.

    Input and segmentation of the smaller models were chosen by `separate eval lyrics` on five CC0
    songs (451 words), separated by a model that was trained on none of them (`spleeter-2stems`).
    WER % with the guards:

    ======== ================= ======= ====== =====
    Whisper  cut by            mixture vocals blend
    ======== ================= ======= ====== =====
    base     RMS-VAD              51.0   51.2  38.8
    base     Whisper's windows    62.1   71.6  75.8
    tiny.en  RMS-VAD              43.2      -  52.3
    tiny.en  Whisper's windows    55.6   82.7  44.4
    ======== ================= ======= ====== =====

    Of the two that are level for tiny.en the blend in Whisper's windows is taken: without the
    guards it has 49.9, the other 143. small follows base, unmeasured; larger ones the paper, where
    vocals were better. `vad` is the paper's; other thresholds were not scored.
    """

    whisper: str | None = None  # name or path of a .pt; None: the best that is on this machine
    model: str = "default"  # the separator, by name or path
    audio: str = "auto"  # input of Whisper: mixture, vocals, blend; auto: by its size
    blend_db: float = -12.0  # the rest beside the vocals, in a blend
    segmentation: str = "auto"  # rms-vad; whisper: its own windows of 30 s; auto: by its size
    language: str | None = None  # code or name; None: found out
    task: str = "transcribe"  # or translate, into English
    temperature: float = 0.0  # 0: the likeliest token; above: drawn
    temperature_increment_on_fallback: float | None = None  # tried again, 0: never; None: auto
    beam_size: int | None = None  # None: greedy
    best_of: int | None = None  # candidates when drawn
    patience: float | None = None  # of the beam search
    initial_prompt: str | None = None  # words that are likely: names, spelling
    condition_on_previous_text: bool | None = None  # a text is the next one's prompt; None: auto
    word_timestamps: bool | None = None  # None: if a format shows them
    compression_ratio_threshold: float = 2.4  # fall back above
    logprob_threshold: float = -1.0  # fall back below
    no_speech_threshold: float = 0.6  # silent above, if also below the former
    length_penalty: float | None = None  # of the beam search, 0..1; None: by mean log probability
    suppress_tokens: str = "-1"  # ids with commas; -1: most symbols
    carry_initial_prompt: bool = False  # the prompt stands before every window, not the first alone
    hallucination_silence_threshold: float | None = None  # seconds of silence that are passed over
    prepend_punctuations: str = "\"'“¿([{-"  # they go with the next word
    append_punctuations: str = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - with the word before
    clips: tuple[tuple[float, float], ...] = ()  # seconds of the file; none: all of it
    model_dir: str | None = None  # where Whisper's files are looked for first
    fp16: bool = True  # half precision on a GPU
    device: str = "cpu"  # cpu, cuda, cuda:1, mps
    threads: int | None = None  # processor threads; None: torch's choice
    start: float = 0.0  # seconds into the file
    end: float | None = None  # seconds into the file; None: its end
    stream: int = 0  # audio stream of a file that has several (video), from 0
    formats: tuple[str, ...] = ("txt", "lrc", "json")
    subtitles: SubtitleSettings = field(default_factory=SubtitleSettings)
    vad: VadSettings = field(default_factory=VadSettings)
    short_form: ShortFormSettings = field(default_factory=ShortFormSettings)
    guards: GuardSettings = field(default_factory=GuardSettings)

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            SettingsError: One is out of its range; the message says what to give.
        """
        _one_of("--audio", self.audio, AUDIO)
        _one_of("--segmentation", self.segmentation, SEGMENTATIONS)
        _one_of("--task", self.task, TASKS)
        _require(len(self.formats) > 0, f"--output_format: take of {', '.join(FORMATS)}, or all")
        for name in self.formats:
            _one_of("--output_format", name, FORMATS)
        _in_range("--blend_db", self.blend_db, -80, 20, " dB")
        _in_range("--temperature", self.temperature, 0, 1)
        if self.temperature_increment_on_fallback:  # 0 is none
            _in_range(
                "--temperature_increment_on_fallback",
                self.temperature_increment_on_fallback,
                0.05,
                1,
            )
        _in_range("--beam_size", self.beam_size, 1, 50)
        _in_range("--best_of", self.best_of, 1, 50)
        _in_range("--patience", self.patience, 0.1, 10)
        _in_range("--length_penalty", self.length_penalty, 0, 1)
        _in_range("--hallucination_silence_threshold", self.hallucination_silence_threshold, 0, 1e7)
        _require(
            re.fullmatch(r"(-?\d{1,6}(,-?\d{1,6})*)?", self.suppress_tokens) is not None,
            f"--suppress_tokens {self.suppress_tokens!r}: give numbers with commas, or -1",
        )
        times = [0.0, *(time for clip in self.clips for time in clip)]
        _require(
            all(a <= b for a, b in pairwise(times)),
            "--clip_timestamps: give start,end,start,end... in seconds, none before the last",
        )
        _in_range("--threads", self.threads, 1, 1024)
        _require(
            re.fullmatch(r"cpu|mps|cuda(:\d{1,3})?", self.device) is not None,
            f"--device {self.device!r}: cpu, cuda, cuda:1 or mps",
        )
        _in_range("--start", self.start, 0, 1e7, " seconds")
        _in_range("--end", self.end, 0, 1e7, " seconds")
        _require(self.end is None or self.end > self.start, "--end must be later than --start")
        _in_range("--stream", self.stream, 0, 1000)

    @property
    def is_timing_words(self) -> bool:
        """Whether the times of single words are found."""
        if self.subtitles.is_set or self.hallucination_silence_threshold is not None:
            return True
        if self.word_timestamps is None:
            return any(name in WORD_FORMATS for name in self.formats)
        return self.word_timestamps

    @property
    def is_conditioned(self) -> bool:
        """Whether a window's or segment's text is the next one's prompt."""
        if self.condition_on_previous_text is None:
            return self.segmentation == "whisper"
        return self.condition_on_previous_text

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The first one, and those that are tried after it where a window fails."""
        step = self.temperature_increment_on_fallback
        if step is None and self.segmentation == "whisper":
            step = WHISPERS_INCREMENT
        if not step:
            return (self.temperature,)
        count = int((1.0 - self.temperature) / step + 1e-6)
        return tuple(self.temperature + step * tries for tries in range(count + 1))

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides the text, as plain values for a record."""
        default = asdict(LyricsSettings())
        data = {
            key: value
            for key, value in asdict(self).items()
            if key not in _NO_RESULT and not (key in _LATER and value == default[key])
        }
        return {**data, "word_timestamps": self.is_timing_words}


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SettingsError(message)


def _in_range(flag: str, value: float | None, least: float, most: float, unit: str = "") -> None:
    inside = value is None or (math.isfinite(value) and least <= value <= most)
    _require(inside, f"{flag} {value}: give {least:g} to {most:g}{unit}")


def _one_of(flag: str, value: str, choices: tuple[str, ...]) -> None:
    _require(value in choices, f"{flag} {value!r}: take one of {', '.join(choices)}")
