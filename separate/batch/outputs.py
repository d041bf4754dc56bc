"""The files of one item: they get their names together, or none does.

All files are written into a hidden folder inside the output folder. When they are complete they are
moved to their places at once, so that a full disk, Ctrl-C or a crash leaves no part.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from separate.audio import (
    SAMPLE_BYTES,
    AudioInfo,
    AudioReader,
    AudioWriter,
    apply_clip,
    check_format,
    check_writable,
    output_subtype,
    rescale_gain,
)
from separate.batch.guard import Guard
from separate.batch.record import Output
from separate.batch.staging import StagingFolder
from separate.errors import OutputError
from separate.files import sha256_of
from separate.settings import Settings

_BLOCK_SAMPLES = 262_144
_LOSSY_BYTES = 1  # a sample, generously
FREE = Guard()  # of a folder of one's own


class FileSet:
    """Files that get their names together; use it in a `with` block."""

    def __init__(self, folder: Path, places: Mapping[str, str], guard: Guard = FREE) -> None:
        """Check the places and make the hidden folder.

        Args:
            folder: The output folder.
            places: Path of each file relative to it, by the name of the output.
            guard: What the files must not replace.

        Raises:
            OutputError: A file can't be written where it shall be.
        """
        self.folder, self.places = Path(folder), dict(places)
        self._guard = guard
        check_places(self.folder, self.places, guard)
        try:
            self._staging = StagingFolder(self.folder)
        except OSError as error:
            raise failed(self.folder, error) from error

    @property
    def hidden(self) -> Path:
        """The hidden folder, for drafts."""
        return self._staging.path

    def path(self, stem: str) -> Path:
        """Return where an output is written before it gets its name."""
        return self.hidden / f"{list(self.places).index(stem)}.new"

    def write_text(self, stem: str, text: str) -> None:
        """Write a text output in UTF-8.

        Raises:
            OutputError: The disk is full or fails.
        """
        try:
            self.path(stem).write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise failed(self.folder, error) from error

    def commit(self) -> list[Output]:
        """Move all files to their places.

        Returns:
            The outputs in the order of the places.

        Raises:
            OutputError: One can't be moved; then the files of before are there again.
        """
        try:
            self._guard.check(self.folder, self.places.values())
            outputs = [
                Output(stem, place, sha256_of(self.path(stem)), self.path(stem).stat().st_size)
                for stem, place in self.places.items()
            ]
            self._move_all()
        except OSError as error:
            raise failed(self.folder, error) from error
        finally:
            self.close()
        return outputs

    def _move_all(self) -> None:
        begun: list[tuple[Path, Path]] = []  # target, where its file of before is kept
        try:
            for stem, place in self.places.items():
                target, old = self.folder / place, self.path(stem).with_suffix(".old")
                target.parent.mkdir(parents=True, exist_ok=True)
                begun.append((target, old))
                _keep(target, old)
                self.path(stem).replace(target)
        except BaseException:
            for (target, old), stem in zip(begun, self.places, strict=False):
                with suppress(OSError):
                    if old.exists():
                        old.replace(target)
                    elif not self.path(stem).exists():
                        target.unlink()
            raise

    def close(self) -> None:
        """Remove what has not been moved."""
        self._staging.remove()

    def __enter__(self) -> "FileSet":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _keep(target: Path, old: Path) -> None:
    """Keep the file that is at `target`, if there is one, at `old` as well."""
    if not target.exists():
        return
    try:
        os.link(target, old)
    except OSError:  # a file system without hard links
        target.replace(old)


class OutputSet:
    """The sound files of one item, and texts beside them; use it in a `with` block."""

    def __init__(
        self,
        folder: Path,
        places: Mapping[str, str],
        info: AudioInfo,
        settings: Settings,
        total_samples: int | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        guard: Guard = FREE,
    ) -> None:
        """Check that the files can be written, and open them in the hidden folder.

        Args:
            folder: The output folder.
            places: Path of each stem's file relative to it.
            info: The input, whose rate, channels and bit depth are kept.
            settings: Format, bit depth, clip policy.
            total_samples: To come per channel, if known.
            texts: Paths of text outputs, by their names.
            guard: What the files must not replace.

        Raises:
            OutputError: The format can't hold this sound, the disk is too full, or a file can't be
                written where it shall be.
        """
        self._folder, self._stems, self._settings = Path(folder), list(places), settings
        self._rate, self._channels, self._total = info.sample_rate, info.channels, total_samples
        self._mask = info.channel_mask
        check_format(settings.format, self._rate, self._channels, self._mask)
        self._subtype = output_subtype(
            settings.format, settings.subtype or info.subtype, self._rate
        )
        self._is_rescaling = settings.clip_mode == "rescale"
        self._peak = 0.0
        self.clipped_samples = dict.fromkeys(self._stems, 0)
        self.gain = 1.0  # of all outputs, with clip mode "rescale"
        check_writable(self._folder, needed_bytes=self._needed_bytes())
        self._files = FileSet(self._folder, {**places, **(texts or {})}, guard)
        self._writers: dict[str, AudioWriter] = {}
        try:
            for stem in self._stems:
                self._writers[stem] = self._open(stem)
        except OSError as error:
            self.close()
            raise failed(self._folder, error) from error
        except BaseException:
            self.close()
            raise

    def _needed_bytes(self) -> int:
        sample = SAMPLE_BYTES.get(self._subtype, _LOSSY_BYTES) + (4 if self._is_rescaling else 0)
        return (self._total or 0) * self._channels * sample * len(self._stems)

    def _open(self, stem: str, *, final: bool = False, path: Path | None = None) -> AudioWriter:
        """Open a stem's file, or one of its kind; before rescaling it is a float one."""
        is_draft = self._is_rescaling and not final
        place = self._files.path(stem)
        return AudioWriter(
            path or (place.with_suffix(".draft") if is_draft else place),
            self._rate,
            self._channels,
            format="wav" if is_draft else self._settings.format,
            subtype="FLOAT" if is_draft else self._subtype,
            mp3_bitrate=self._settings.mp3_bitrate,
            total_samples=self._total,
            channel_mask=self._mask,
        )

    def write(self, blocks: Mapping[str, np.ndarray]) -> None:
        """Append samples.

        Args:
            blocks: float32 `(channels, time)` of every stem, all of one length.

        Raises:
            OutputError: The disk is full or fails.
        """
        for stem, writer in self._writers.items():
            block = blocks[stem]
            if self._is_rescaling:
                self._peak = max(self._peak, float(np.abs(block).max(initial=0.0)))
            elif self._subtype not in ("FLOAT", "DOUBLE"):  # those hold what is beyond full scale
                block, beyond = apply_clip(block, self._settings.clip_mode)
                self.clipped_samples[stem] += beyond
            with self._naming_places():
                writer.write(block)

    def write_text(self, name: str, text: str) -> None:
        """Write a text output.

        Raises:
            OutputError: The disk is full or fails.
        """
        self._files.write_text(name, text)

    def commit(self, mixes: Mapping[str, Mapping[str, float]] | None = None) -> list[Output]:
        """Complete all files and move them to their places.

        Args:
            mixes: Stems that become a sum of what was written: the gain of each part.

        Raises:
            OutputError: One is not whole or can't be moved; then the files of before are there.
        """
        with self._naming_places():
            drafts = {stem: writer.commit() for stem, writer in self._writers.items()}
            mixed = {
                stem: self._mixed(drafts, stem, gains) for stem, gains in (mixes or {}).items()
            }
            for stem, path in mixed.items():
                path.replace(drafts[stem])
            if self._is_rescaling:
                self.gain = rescale_gain(self._peak)
                for stem, draft in drafts.items():
                    self._rescale(stem, draft)
        return self._files.commit()

    @contextmanager
    def _naming_places(self) -> Iterator[None]:
        """Let errors name the output folder, not the hidden one."""
        try:
            yield
        except OutputError as error:
            message = str(error).removeprefix(str(self._files.hidden)).partition(": ")[2] or str(
                error
            )
            raise OutputError(f"{self._folder}: {message}") from error

    def _mixed(self, drafts: Mapping[str, Path], stem: str, gains: Mapping[str, float]) -> Path:
        """Write a weighted sum of complete files beside a stem's."""
        path = drafts[stem].with_suffix(".mixed")
        with ExitStack() as stack:
            readers = [stack.enter_context(AudioReader(drafts[part])) for part in gains]
            writer = stack.enter_context(self._open(stem, path=path))
            blocks = zip(*(reader.blocks(_BLOCK_SAMPLES) for reader in readers), strict=True)
            for parts in blocks:
                total = sum(gain * part for gain, part in zip(gains.values(), parts, strict=True))
                self._peak = max(self._peak, float(np.abs(total).max(initial=0.0)))
                is_draft = self._is_rescaling or self._subtype in ("FLOAT", "DOUBLE")
                writer.write(total if is_draft else apply_clip(total, self._settings.clip_mode)[0])
            writer.commit()
        return path

    def _rescale(self, stem: str, draft: Path) -> None:
        """Write a stem's file from its draft, with one gain for all stems."""
        with AudioReader(draft) as reader, self._open(stem, final=True) as writer:
            for block in reader.blocks(_BLOCK_SAMPLES):
                writer.write(apply_clip(block, "rescale", self.gain)[0])
            writer.commit()
        draft.unlink()

    def close(self) -> None:
        """Remove all that has not been committed."""
        for writer in self._writers.values():
            writer.abort()
        self._files.close()

    def __enter__(self) -> "OutputSet":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def check_places(folder: Path, places: Mapping[str, str], guard: Guard = FREE) -> None:
    """Check that files can be written where they shall be.

    Args:
        folder: The output folder.
        places: Paths relative to it, by the names of the outputs.
        guard: What the files must not replace.

    Raises:
        OutputError: A folder or a file is in the way, or the parent is no folder that can be
            written to.
    """
    guard.check(folder, places.values())
    for place in places.values():
        path = folder / place
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; choose another --filename or -o")
        parent = next(p for p in path.parents if p.exists())
        if not parent.is_dir():
            raise OutputError(f"{parent}: is a file, not a folder; choose another -o")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{parent}: cannot be written to; choose another -o")


def failed(folder: Path, error: OSError) -> OutputError:
    """Return an error that names the output folder."""
    reason = error.strerror or error
    return OutputError(f"{folder}: cannot be written to ({reason}); make room or choose another")
