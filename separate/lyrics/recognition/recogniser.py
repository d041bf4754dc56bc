"""A loaded Whisper model that transcribes segments; the one module that imports `whisper`."""

import difflib
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separate.errors import CheckpointError, SettingsError, WeightsError
from separate.lyrics.result import Line, Word
from separate.lyrics.settings import SAMPLE_RATE, LyricsSettings
from separate.weights.whisper import PREFIX, WHISPER_MODELS, plain_name

if TYPE_CHECKING:
    from whisper import Whisper

LONGEST_SECONDS = 30.0  # of audio that Whisper takes at once
_SEED = 0  # of drawn tokens: the same file gives the same text
# Input and segmentation by the width of the encoder: of tiny, base, small.
_BY_WIDTH = {384: ("blend", "whisper"), 512: ("blend", "rms-vad"), 768: ("blend", "rms-vad")}
_OF_LARGE = ("vocals", "rms-vad")


def find_whisper(
    name: str | None, language: str | None = None, model_dir: str | None = None
) -> Path:
    """Return the weights of a name, a path, or the best that is on this machine.

    Args:
        name: Whisper's name (`base`, `whisper-base`), the path of a `.pt`, or None.
        language: Code or name, if known: an English-only model is not taken for another one.
        model_dir: Folder that is searched first for the `.pt` of a name.

    Raises:
        WeightsError: They are not on this machine; the message says how to get them.
    """
    if name is None:
        return _best(language)
    if name.endswith(".pt") or "/" in name or "\\" in name:
        if not Path(name).is_file():
            raise WeightsError(f"{name}: no such file; give the path of a Whisper .pt, or a name")
        return Path(name)
    plain = plain_name(name)
    if plain not in WHISPER_MODELS:
        known = ", ".join(sorted(WHISPER_MODELS))
        raise WeightsError(f"no Whisper model {name!r}: take one of {known}, or the path of a .pt")
    own = Path(model_dir or "") / f"{plain}.pt"
    found = own if model_dir and own.is_file() else _here(plain)
    if found is None:
        raise WeightsError(
            f"Whisper {plain} is not on this machine: `separate models get {PREFIX}{plain}`"
            " fetches it, --whisper FILE.pt takes a file that you have"
        )
    return found


def _best(language: str | None) -> Path:
    english = language is None or language.lower() in ("en", "english")
    for model in WHISPER_MODELS.values():
        found = _here(model.name) if english or not model.is_english_only else None
        if found is not None:
            return found
    which = f" that knows {language}" if not english else ""
    raise WeightsError(
        f"no Whisper model{which} on this machine: `separate models get {PREFIX}base` fetches one"
        " (145 MB), --whisper FILE.pt takes a file that you have"
    )


def _here(plain: str) -> Path | None:
    """Look into our cache, then into whisper's own."""
    import os

    from separate.files import sha256_of
    from separate.weights.store import PRETRAINED, is_cached, target_of

    weights = PRETRAINED[PREFIX + plain]
    if is_cached(weights):
        return target_of(weights)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    theirs = home / "whisper" / f"{plain}.pt"
    if theirs.is_file() and sha256_of(theirs) == weights.sha256:
        return theirs
    return None


def check_language(language: str | None) -> str | None:
    """Return the code of a language given by code or name.

    Raises:
        SettingsError: Whisper knows no such language.
    """
    if language is None:
        return None
    from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

    wanted = language.strip().lower()
    if wanted in LANGUAGES:
        return wanted
    if wanted in TO_LANGUAGE_CODE:
        return TO_LANGUAGE_CODE[wanted]
    near = difflib.get_close_matches(wanted, [*TO_LANGUAGE_CODE, *LANGUAGES], 3)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    raise SettingsError(f"--language {language!r}: Whisper knows no such language{hint}")


class Recogniser:
    """A loaded Whisper model."""

    def __init__(self, path: Path, settings: LyricsSettings) -> None:
        """Load it.

        Args:
            path: OpenAI's `.pt`.
            settings: Device and language.

        Raises:
            CheckpointError: The file is no Whisper model.
            SettingsError: It does not know the language, or can't translate.
        """
        from separate.files import sha256_of

        self.name = plain_name(path.stem)
        self._model = _load(path, settings.device, self.name)
        self.sha256 = sha256_of(path)
        self.is_multilingual = bool(self._model.is_multilingual)
        self._check(settings)

    def _check(self, settings: LyricsSettings) -> None:
        language = check_language(settings.language)
        if self.is_multilingual:
            return
        if language not in (None, "en"):
            raise SettingsError(
                f"Whisper {self.name} knows only English, not {settings.language}:"
                " take a multilingual one, for example --whisper base"
            )
        if settings.task == "translate":
            raise SettingsError(f"Whisper {self.name} can't translate: take --whisper base")

    def settled(self, settings: LyricsSettings) -> LyricsSettings:
        """Choose input and segmentation: as given, or by the size of the model.

        `LyricsSettings` says why.
        """
        width = int(self._model.dims.n_audio_state)
        audio, segmentation = _BY_WIDTH.get(width, _OF_LARGE)
        return replace(
            settings,
            audio=audio if settings.audio == "auto" else settings.audio,
            segmentation=(
                segmentation if settings.segmentation == "auto" else settings.segmentation
            ),
        )

    def detect_language(self, pieces: Sequence[np.ndarray]) -> str:
        """Find out the language of some stretches of at most 30 s, together.

        Args:
            pieces: `(time,)` each, at 16 kHz; all are used.
        """
        if not self.is_multilingual:
            return "en"
        import torch
        import whisper

        totals: dict[str, float] = {}
        with torch.inference_mode():
            for piece in pieces:
                audio = torch.from_numpy(whisper.pad_or_trim(piece))
                mel = whisper.log_mel_spectrogram(audio, self._model.dims.n_mels)
                _, found = self._model.detect_language(mel.to(self._model.device))
                for code, probability in found.items():
                    totals[code] = totals.get(code, 0.0) + float(probability)
        return max(totals, key=lambda code: totals[code])

    def transcribe(
        self,
        audio: np.ndarray,
        settings: LyricsSettings,
        language: str,
        offset: float = 0.0,
        before: str = "",
    ) -> list[Line]:
        """Transcribe a stretch, in Whisper's way.

        Args:
            audio: `(time,)` at 16 kHz; above 30 s Whisper's own windows follow one another.
            settings: Whisper's options.
            language: Code.
            offset: Seconds in the recording at which it begins.
            before: What was sung before it, as a prompt.

        Returns:
            Lines in the recording's time; texts without spaces around them, none empty.
        """
        import torch
        import whisper

        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            torch.manual_seed(_SEED)
            found = whisper.transcribe(
                self._model,
                audio,
                temperature=settings.temperatures,
                compression_ratio_threshold=settings.compression_ratio_threshold,
                logprob_threshold=settings.logprob_threshold,
                no_speech_threshold=settings.no_speech_threshold,
                condition_on_previous_text=settings.is_conditioned,
                initial_prompt=" ".join(filter(None, (settings.initial_prompt, before))) or None,
                word_timestamps=settings.is_timing_words,
                language=language,
                task=settings.task,
                beam_size=settings.beam_size,
                best_of=settings.best_of,
                patience=settings.patience,
                length_penalty=settings.length_penalty,
                suppress_tokens=settings.suppress_tokens,
                carry_initial_prompt=settings.carry_initial_prompt,
                hallucination_silence_threshold=settings.hallucination_silence_threshold,
                prepend_punctuations=settings.prepend_punctuations,
                append_punctuations=settings.append_punctuations,
                fp16=settings.fp16 and self._model.device.type == "cuda",
            )
        seconds = len(audio) / SAMPLE_RATE
        lines = [_line(segment, offset, seconds) for segment in found["segments"]]
        return [line for line in lines if line.text]


def _line(segment: dict[str, Any], offset: float, seconds: float) -> Line:
    """Make a line of Whisper's segment; Whisper pads with silence and may continue into it."""

    def at(time: float) -> float:
        return offset + min(max(0.0, float(time)), seconds)

    words = tuple(
        Word(at(w["start"]), at(w["end"]), w["word"].strip(), float(w["probability"]))
        for w in segment.get("words", ())
        if w["word"].strip()
    )
    start, end = at(segment["start"]), at(segment["end"])
    if words:  # found more finely than the line's own times
        start, end = min(start, words[0].start), max(end, words[-1].end)
    return Line(
        start=start,
        end=end,
        text=" ".join(segment["text"].split()),
        words=words,
        no_speech_prob=float(segment["no_speech_prob"]),
        avg_logprob=float(segment["avg_logprob"]),
        compression_ratio=float(segment["compression_ratio"]),
        temperature=float(segment["temperature"]),
    )


def _load(path: Path, device: str, name: str) -> "Whisper":
    """Read OpenAI's form strictly; nothing but tensors and numbers is unpickled.

    Raises:
        CheckpointError: It is another kind of file.
    """
    import torch
    import whisper
    from whisper.model import ModelDimensions, Whisper

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = Whisper(ModelDimensions(**content["dims"]))
        model.load_state_dict(content["model_state_dict"])
    except (
        OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, EOFError,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:100]
        if isinstance(error, pickle.UnpicklingError):  # torch writes an essay on it
            reason = "no tensors in it"
        raise CheckpointError(
            f"{path}: not a Whisper model in OpenAI's form ({reason}); give another .pt, or a"
            " name such as --whisper base"
        ) from error
    heads = getattr(whisper, "_ALIGNMENT_HEADS", {}).get(name)  # for the times of words
    if heads is not None:
        model.set_alignment_heads(heads)
    model.eval()
    return model.to(device)
