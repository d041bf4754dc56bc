"""Options that all batch commands have: inputs, output folder, processes, remote stores, times."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from separate.batch.remote.files import Place
    from separate.batch.run import BatchOptions


@dataclass(frozen=True)
class Given:
    """The checked options of a batch command."""

    inputs: list["Place"]
    out: "Place"
    options: "BatchOptions"

    @property
    def folder(self) -> Path:
        """The output folder; unused where the output is a URL."""
        return self.out if isinstance(self.out, Path) else Path()


def batch_options(
    inputs: list[str] | None,
    out: str,
    jobs: int | None,
    ray: str | None,
    gpus_per_worker: float,
    max_fetch_gb: float,
    resume: bool,
    overwrite: bool,
) -> Given:
    """Check the options that every batch command has.

    Raises:
        SettingsError: There is no input, a URL is refused, or a number is out of its range.
    """
    from separate.batch.ray_cluster import RayOptions
    from separate.batch.remote.files import RemoteOptions, place_of
    from separate.batch.run import BatchOptions
    from separate.errors import SettingsError

    if not inputs:
        raise SettingsError("no input: name at least one file or folder")
    if "-" in (*inputs, out):
        raise SettingsError(
            "'-' (standard input or output) is not supported: name a file or folder"
        )
    if not 0 < max_fetch_gb <= 1e6:
        raise SettingsError(f"--max-fetch-gb {max_fetch_gb}: give more than 0, and at most 1000000")
    if gpus_per_worker and ray is None:
        raise SettingsError("--gpus-per-worker goes with --ray; on this machine give --device cuda")
    place = place_of(out, writing=True)
    options = BatchOptions(
        jobs=BatchOptions.jobs if jobs is None or ray is not None else jobs,
        resume=resume,
        overwrite=overwrite,
        ray=None
        if ray is None
        else RayOptions(None if ray == "local" else ray, jobs, gpus_per_worker),
        remote=RemoteOptions(None if isinstance(place, Path) else place, int(max_fetch_gb * 2**30)),
    )
    return Given([place_of(text) for text in inputs], place, options)


def device_of(device: str, gpus_per_worker: float) -> str:
    """Return the device of the workers: the GPU that Ray shows each, where they have one."""
    return "cuda" if gpus_per_worker and device == "cpu" else device


def seconds_of(flag: str, text: str | None) -> float | None:
    """Read seconds, m:s or h:m:s."""
    from separate.errors import SettingsError

    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise SettingsError(f"{flag} {text!r}: give seconds (83.5), 1:23.5 or 1:02:03")
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
