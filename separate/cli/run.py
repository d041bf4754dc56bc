"""`separate run`: the main command.

Modules that import torch are imported inside the functions, after the arguments are parsed.
"""

from typing import TYPE_CHECKING

from separate.cli import options as o
from separate.settings import Request, Settings

if TYPE_CHECKING:
    from separate.auto.tree import AutoOptions
    from separate.batch.job import Job
    from separate.cli.batch import Given


def run(
    inputs: o.Inputs = None,
    query: o.Queries = None,
    stems: o.Stems = False,
    two_stems: o.TwoStems = None,
    like: o.Like = None,
    exclude: o.Not = None,
    unlike: o.NotLike = None,
    text_weight: o.TextWeight = Request.text_weight,
    negative_weight: o.NegativeWeight = Request.negative_weight,
    sum_to_mix: o.SumToMix = None,
    residual: o.Residual = None,
    keep_absent: o.KeepAbsent = Settings.keep_absent,
    auto: o.Auto = False,
    levels: o.Levels = None,
    threshold: o.Threshold = None,
    max_sources: o.MaxSources = None,
    tagger: o.Tagger = None,
    start: o.Start = None,
    end: o.End = None,
    model: o.Model = Settings.model,
    query_net: o.QueryNet = None,
    list_models: o.ListModels = False,
    segment: o.Segment = None,
    overlap: o.Overlap = None,
    shifts: o.Shifts = Settings.shifts,
    mask_exponent: o.MaskExponent = Settings.mask_exponent,
    device: o.Device = Settings.device,
    stream: o.Stream = Settings.stream,
    out: o.Out = "separated",
    filename: o.Filename = Settings.filename,
    format: o.Format = None,
    mp3: o.Mp3 = False,
    flac: o.Flac = False,
    mp3_bitrate: o.Mp3Bitrate = Settings.mp3_bitrate,
    int24: o.Int24 = False,
    float32: o.Float32 = False,
    clip_mode: o.ClipMode = Settings.clip_mode,
    jobs: o.Jobs = None,
    threads: o.Threads = None,
    ray: o.Ray = None,
    gpus_per_worker: o.GpusPerWorker = 0.0,
    max_fetch_gb: o.MaxFetchGb = 8.0,
    resume: o.Resume = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
) -> None:
    """Separate sources: writes DIR/<track>/<query>.wav and DIR/<track>/residual.wav."""
    from separate.cli.batch import batch_options, device_of, seconds_of
    from separate.cli.screen import show_batch

    given = batch_options(inputs, out, jobs, ray, gpus_per_worker, max_fetch_gb, resume, overwrite)
    settings = Settings(
        model=model,
        query_net=query_net,
        device=device_of(device, gpus_per_worker),
        threads=threads,
        segment=segment,
        overlap=overlap,
        shifts=shifts,
        mask_exponent=mask_exponent,
        keep_absent=keep_absent,
        start=seconds_of("--start", start) or Settings.start,
        end=seconds_of("--end", end),
        stream=stream,
        format=_format(format, mp3, flac),
        subtype=_subtype(int24, float32),
        mp3_bitrate=mp3_bitrate,
        clip_mode=clip_mode,
        filename=filename,
    )
    request = Request(
        texts=tuple(query or ()),
        stems=stems,
        two_stems=two_stems,
        like=tuple(like or ()),
        exclude=tuple(exclude or ()),
        unlike=tuple(unlike or ()),
        text_weight=text_weight,
        negative_weight=negative_weight,
        residual=residual,
        sum_to_mixture=sum_to_mix,
    )
    tree = _auto_options(auto, levels, threshold, max_sources, tagger)
    job, remark = _job(given, settings, request, tree)
    show_batch(given, job, "separating", json=json, remark=remark)


def _job(
    given: "Given", settings: Settings, request: Request, tree: "AutoOptions | None"
) -> "tuple[Job, str]":
    """Return the job, automatic with a tree, and a line on how the queries are parsed."""
    from separate.errors import SettingsError

    if tree is None:
        from separate.batch.separation import make_job
        from separate.queries.query import readings

        job = make_job(given.folder, settings, request)
        return job, readings(job.queries)
    if not request.is_empty:
        raise SettingsError("--auto finds the sources itself: leave the queries out")
    from separate.auto.run import AutoJob

    return AutoJob(settings, tree, given.folder), ""


def _auto_options(
    auto: bool,
    levels: str | None,
    threshold: float | None,
    max_sources: int | None,
    tagger: str | None,
) -> "AutoOptions | None":
    """Read the options of the tree; None without --auto."""
    from separate.errors import SettingsError

    if not auto:
        if any(value is not None for value in (levels, threshold, max_sources, tagger)):
            raise SettingsError("--levels, --threshold, --max-sources and --tagger go with --auto")
        return None
    from separate.auto.tree import AutoOptions

    return AutoOptions(
        levels=AutoOptions.levels if levels is None else _levels(levels),
        threshold=AutoOptions.threshold if threshold is None else threshold,
        most=AutoOptions.most if max_sources is None else max_sources,
        tagger=tagger,
    )


def _levels(text: str) -> tuple[int, ...]:
    from separate.errors import SettingsError

    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise SettingsError(f"--levels {text!r}: give numbers, for example 1,2,3")
    return tuple(sorted({int(part) for part in parts}))


def _format(format: str | None, mp3: bool, flac: bool) -> str:
    from separate.errors import SettingsError

    named = {name for name, wanted in (("mp3", mp3), ("flac", flac), (format, format)) if wanted}
    if len(named) > 1:
        raise SettingsError("several formats are named; take one of --format, --mp3 and --flac")
    return str(named.pop()).lower() if named else Settings.format


def _subtype(int24: bool, float32: bool) -> str | None:
    from separate.errors import SettingsError

    if int24 and float32:
        raise SettingsError("--int24 and --float32 exclude each other; take one")
    return "PCM_24" if int24 else "FLOAT" if float32 else None
