"""`separate run`: the main job on the command line.

In: inputs and options. Out: one call of the library, lines on the terminal and an exit code. Heavy
imports stand inside the functions: they happen after the arguments are parsed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separate.cli import options as o

if TYPE_CHECKING:
    from separate.batch.remote.files import Place
    from separate.batch.run import BatchResult, OnRecord, Progress
    from separate.settings import Settings


def run(
    inputs: o.Inputs = None,
    query: o.Queries = None,
    stems: o.Stems = False,
    two_stems: o.TwoStems = None,
    like: o.Like = None,
    exclude: o.Not = None,
    unlike: o.NotLike = None,
    words: o.Words = 0.5,
    firmness: o.Firmness = 1.0,
    sum_to_mix: o.SumToMix = None,
    residual: o.Residual = None,
    auto: o.Auto = False,
    levels: o.Levels = None,
    threshold: o.Threshold = None,
    max_sources: o.MaxSources = None,
    tagger: o.Tagger = None,
    start: o.Start = None,
    end: o.End = None,
    model: o.Model = "default",
    query_net: o.QueryNet = None,
    list_models: o.ListModels = False,
    segment: o.Segment = None,
    overlap: o.Overlap = None,
    shifts: o.Shifts = 0,
    strength: o.Strength = 1.0,
    device: o.Device = "cpu",
    out: o.Out = "separated",
    filename: o.Filename = "{track}/{stem}.{ext}",
    format: o.Format = None,
    mp3: o.Mp3 = False,
    flac: o.Flac = False,
    mp3_bitrate: o.Mp3Bitrate = 320,
    int24: o.Int24 = False,
    float32: o.Float32 = False,
    clip_mode: o.ClipMode = "clamp",
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    ray: o.Ray = None,
    gpus_per_worker: o.GpusPerWorker = 0.0,
    max_fetch_gb: o.MaxFetchGb = 8.0,
    resume: o.Resume = False,
    json: o.Json = False,
) -> None:
    """Take sources out of recordings: DIR/<track>/<query>.wav and DIR/<track>/residual.wav."""
    from separate.errors import SettingsError
    from separate.settings import Settings

    given = batch_options(inputs, out, jobs, ray, gpus_per_worker, max_fetch_gb, resume)
    settings = Settings(
        model=model,
        query_net=query_net,
        device=device_of(device, gpus_per_worker),
        threads=threads,
        segment=segment,
        overlap=overlap,
        shifts=shifts,
        strength=strength,
        start=seconds_of("--start", start) or 0.0,
        end=seconds_of("--end", end),
        format=_format(format, mp3, flac),
        subtype=_subtype(int24, float32),
        mp3_bitrate=mp3_bitrate,
        clip_mode=clip_mode,
        filename=filename,
    )
    asked = {
        "texts": query or (),
        "stems": stems,
        "two_stems": two_stems,
        "like": like or (),
        "exclude": exclude or (),
        "unlike": unlike or (),
        "residual": residual,
        "share": sum_to_mix,
    }
    walk = {"levels": levels, "threshold": threshold, "most": max_sources, "tagger": tagger}
    walk = {name: value for name, value in walk.items() if value is not None}
    if not auto and walk:
        raise SettingsError("--levels, --threshold, --max-sources and --tagger go with --auto")
    if auto and any(value is not None and value != () and value is not False
                    for value in asked.values()):  # fmt: skip
        raise SettingsError("--auto finds by itself what sounds: leave the queries out")
    if auto:
        _run_auto(given, settings, walk, json=json)
    else:
        weights = {"words": words, "firmness": firmness}
        _run(given, settings, {**asked, **weights}, json=json)


def _run_auto(given: "Given", settings: "Settings", walk: dict[str, Any], *, json: bool) -> None:
    from separate.auto.run import run_auto
    from separate.auto.tree import AutoOptions
    from separate.cli.screen import show_batch
    from separate.errors import SettingsError

    if "levels" in walk:
        parts = walk["levels"].split(",")
        if not all(part.strip().isdigit() for part in parts):
            raise SettingsError(f"--levels {walk['levels']!r}: give numbers, for example 1,2,3")
        walk["levels"] = tuple(sorted({int(part) for part in parts}))
    options = AutoOptions(**walk)

    def work(on_progress: "Progress", on_record: "OnRecord") -> "BatchResult":
        return run_auto(
            given.inputs,
            given.folder,
            settings,
            options,
            **given.how,
            on_progress=on_progress,
            on_record=on_record,
        )

    show_batch(work, "separating", given.out, json=json)


def _run(given: "Given", settings: "Settings", asked: dict[str, Any], *, json: bool) -> None:
    from separate.batch.separation import run_batch
    from separate.batch.task import make_task
    from separate.cli.screen import show_batch
    from separate.queries.query import readings

    task = make_task(given.folder, settings, **asked)

    def work(on_progress: "Progress", on_record: "OnRecord") -> "BatchResult":
        return run_batch(
            given.inputs, task, **given.how, on_progress=on_progress, on_record=on_record
        )

    show_batch(work, "separating", given.out, json=json, remark=readings(task.queries))


@dataclass(frozen=True)
class Given:
    """What every command that runs a batch is given."""

    inputs: list["Place"]
    out: "Place"
    how: dict[str, Any]  # arguments that `run_batch`, `run_auto` and `run_lyrics` share

    @property
    def folder(self) -> Path:
        """The output folder; unused where the outputs go elsewhere."""
        return self.out if isinstance(self.out, Path) else Path()


def batch_options(
    inputs: list[str] | None,
    out: str,
    jobs: int | None,
    ray: str | None,
    gpus_per_worker: float,
    max_fetch_gb: float,
    resume: bool,
) -> Given:
    """Read the options that every command with a batch has.

    Raises:
        SettingsError: There is no input, a URL is refused, or a number is out of its range.
    """
    from separate.batch.ray_cluster import RayOptions
    from separate.batch.remote.files import RemoteOptions, place_of
    from separate.errors import SettingsError

    if not inputs:
        raise SettingsError("no input: name at least one file or folder")
    if not 0 < max_fetch_gb <= 1e6:
        raise SettingsError(f"--max-fetch-gb {max_fetch_gb}: give more than 0, and at most 1000000")
    if gpus_per_worker and ray is None:
        raise SettingsError("--gpus-per-worker goes with --ray; on this machine give --device cuda")
    place = place_of(out, writing=True)
    remote = RemoteOptions(None if isinstance(place, Path) else place, int(max_fetch_gb * 2**30))
    how: dict[str, Any] = {"resume": resume, "remote": remote}
    if ray is None:
        how["jobs"] = 1 if jobs is None else jobs
    else:
        how["ray"] = RayOptions(None if ray == "local" else ray, jobs, gpus_per_worker)
    return Given([place_of(text) for text in inputs], place, how)


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


def _format(format: str | None, mp3: bool, flac: bool) -> str:
    from separate.errors import SettingsError

    named = {name for name, wanted in (("mp3", mp3), ("flac", flac), (format, format)) if wanted}
    if len(named) > 1:
        raise SettingsError("several formats are named; take one of --format, --mp3 and --flac")
    return str(named.pop()).lower() if named else "wav"


def _subtype(int24: bool, float32: bool) -> str | None:
    from separate.errors import SettingsError

    if int24 and float32:
        raise SettingsError("--int24 and --float32 exclude each other; take one")
    return "PCM_24" if int24 else "FLOAT" if float32 else None
