"""The files of one track: written together, and all there or none.

In: blocks of every stem. Out: complete files under their final names, with their SHA-256.

Everything is written into a hidden folder inside the output folder. When all files are complete
they are moved to their places at once, so that a full disk, Ctrl-C or a crash leaves no part.
"""

import os
import re
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

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
from separate.batch.record import Output
from separate.errors import OutputError
from separate.files import sha256_of
from separate.settings import Settings

_BLOCK_SAMPLES = 262_144
_STAGING = re.compile(r"\.separate-(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{12}\.tmp")
_LOSSY_BYTES = 1  # a sample, generously


class OutputSet:
    """The writers of one track."""

    def __init__(
        self,
        folder: Path,
        places: Mapping[str, str],
        info: AudioInfo,
        settings: Settings,
        total_samples: int | None = None,
    ) -> None:
        """Check that the files can be written, and open them in the hidden folder.

        Args:
            folder: The output folder.
            places: Path of each stem's file relative to it.
            info: The input, whose rate, channels and bit depth are kept.
            settings: Format, bit depth, clip policy.
            total_samples: To come per channel, if known.

        Raises:
            OutputError: The format can't hold this sound, the disk is too full, or a file can't be
                written where it shall be.
        """
        self._folder, self._places, self._settings = Path(folder), dict(places), settings
        self._rate, self._channels, self._total = info.sample_rate, info.channels, total_samples
        check_format(settings.format, self._rate, self._channels)
        self._subtype = output_subtype(
            settings.format, settings.subtype or info.subtype, self._rate
        )
        self._is_rescaling = settings.clip_mode == "rescale"
        self._peak = 0.0
        self.clipped_samples = dict.fromkeys(self._places, 0)
        self.gain = 1.0  # of all outputs, with clip mode "rescale"
        check_writable(self._folder, needed_bytes=self._needed_bytes())
        for place in self._places.values():
            _check_place(self._folder / place)
        self._staging = self._folder / staging_name()
        self._writers: dict[str, AudioWriter] = {}
        try:
            self._staging.mkdir()
            for index, stem in enumerate(self._places):
                self._writers[stem] = self._open(index)
        except OSError as error:
            self.close()
            raise _failed(self._folder, error) from error
        except BaseException:
            self.close()
            raise

    def _needed_bytes(self) -> int:
        sample = SAMPLE_BYTES.get(self._subtype, _LOSSY_BYTES) + (4 if self._is_rescaling else 0)
        return (self._total or 0) * self._channels * sample * len(self._places)

    def _open(self, index: int, *, final: bool = False) -> AudioWriter:
        """Open a stem's file; before rescaling it is a float one."""
        is_draft = self._is_rescaling and not final
        return AudioWriter(
            self._staging / f"{index}.{'draft' if is_draft else 'audio'}",
            self._rate,
            self._channels,
            format="wav" if is_draft else self._settings.format,
            subtype="FLOAT" if is_draft else self._subtype,
            mp3_bitrate=self._settings.mp3_bitrate,
            total_samples=self._total,
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

    def commit(self) -> list[Output]:
        """Complete all files and move them to their places.

        Raises:
            OutputError: One is not whole or can't be moved; then none is there.
        """
        with self._naming_places():
            staged = {stem: writer.commit() for stem, writer in self._writers.items()}
            if self._is_rescaling:
                self.gain = rescale_gain(self._peak)
                staged = {
                    stem: self._rescale(index, draft)
                    for index, (stem, draft) in enumerate(staged.items())
                }
        try:
            outputs = [
                Output(stem, self._places[stem], sha256_of(path), path.stat().st_size)
                for stem, path in staged.items()
            ]
            _move_all([(path, self._folder / self._places[stem]) for stem, path in staged.items()])
        except OSError as error:
            raise _failed(self._folder, error) from error
        finally:
            self.close()
        return outputs

    @contextmanager
    def _naming_places(self) -> Iterator[None]:
        """Let errors name the output folder, not the hidden one."""
        try:
            yield
        except OutputError as error:
            message = str(error).removeprefix(str(self._staging)).partition(": ")[2] or str(error)
            raise OutputError(f"{self._folder}: {message}") from error

    def _rescale(self, index: int, draft: Path) -> Path:
        with AudioReader(draft) as reader, self._open(index, final=True) as writer:
            for block in reader.blocks(_BLOCK_SAMPLES):
                writer.write(apply_clip(block, "rescale", self.gain)[0])
            path = writer.commit()
        draft.unlink()
        return path

    def close(self) -> None:
        """Remove all that has not been committed."""
        for writer in self._writers.values():
            writer.abort()
        shutil.rmtree(self._staging, ignore_errors=True)

    def __enter__(self) -> "OutputSet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def remove_leftovers(folder: Path) -> None:
    """Remove hidden folders of runs on this host that were killed."""
    for path in Path(folder).glob(".separate-*.tmp"):
        if is_abandoned(path.name):
            shutil.rmtree(path, ignore_errors=True)


def is_abandoned(name: str) -> bool:
    """Whether something hidden was left by a process of this host that has ended."""
    match = _STAGING.fullmatch(name)
    return bool(match and match["host"] == _host() and not _is_running(int(match["process"])))


def staging_name() -> str:
    """Return a new hidden name that tells whose it is."""
    return f".separate-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.tmp"


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:60]


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # asking with a signal would end it there
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether a process has ended and its parent never asked; known on Linux alone."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def _check_place(path: Path) -> None:
    """Refuse a place where a folder is, or below something that can't take a file."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; choose another --filename or -o")
    parent = next(p for p in path.parents if p.exists())
    if not parent.is_dir():
        raise OutputError(f"{parent}: is a file, not a folder; choose another -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{parent}: cannot be written to; choose another -o")


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files to their places; where that fails, none of them stays."""
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
    except BaseException:
        for source, target in moves:
            if not source.exists():
                with suppress(OSError):
                    target.unlink()
        raise


def _failed(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or error
    return OutputError(f"{folder}: cannot be written to ({reason}); make room or choose another")
