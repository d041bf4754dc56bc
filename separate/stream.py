"""Segments, overlap and cross-fade: audio of any length through a model, in constant memory.

Blocks `(channels, time)` of any lengths come in at the input's rate; blocks of estimates and
residual leave at the same rate, with as many samples in all.

The result is *defined* by segments of fixed length on a grid anchored at the first sample of the
file, each separated on its own and joined by linear cross-fades over a fixed overlap; so it does
not depend on how the input is cut into blocks.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from separate.audio import Resampler
from separate.errors import SettingsError


@dataclass(frozen=True)
class Segmentation:
    """The segments that define a result, in samples at the model's rate."""

    segment_samples: int  # length of a segment
    overlap_samples: int  # cross-fade between neighbours

    def __post_init__(self) -> None:
        """Refuse an overlap that leaves no step."""
        if not 0 <= 2 * self.overlap_samples <= self.segment_samples:
            raise SettingsError("the overlap must lie between 0 and 0.5 of a segment")

    @property
    def step_samples(self) -> int:
        """From the start of a segment to the start of the next."""
        return self.segment_samples - self.overlap_samples


@dataclass(frozen=True)
class StreamBlock:
    """A stretch of results at the input's rate and channels."""

    estimates: np.ndarray  # float32 (stems, channels, time)
    residual: np.ndarray  # float32 (channels, time)
    mixture: np.ndarray  # float32 (channels, time)


def overlap_add(
    blocks: Iterable[np.ndarray],
    segmentation: Segmentation,
    separate: Callable[[np.ndarray], np.ndarray],
    *,
    threads: int = 1,
    on_segment: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Iterator[np.ndarray]:
    """Separate a stream segment by segment.

    Args:
        blocks: `(channels, time)` each, at the model's rate, of any lengths.
        segmentation: Length and overlap of segments.
        separate: Maps a segment `(channels, n)`, n <= `segment_samples`, to
            `(outputs, channels, n)`.
        threads: Segments that are separated at the same time, each on one core.
        on_segment: Called with each segment and its result, in order.

    Yields:
        `(outputs, channels, time)`; as many samples in all as came in.
    """
    overlap = segmentation.overlap_samples
    fade_in = (np.arange(overlap, dtype=np.float32) + 0.5) / max(1, overlap)
    tail: np.ndarray | None = None  # the last segment's end, before its cross-fade
    for segment, result, is_last in _separated(_segments(blocks, segmentation), separate, threads):
        if on_segment is not None:
            on_segment(segment, result)
        if tail is not None:
            yield result[..., :overlap] * fade_in + tail * (1 - fade_in)
        start = 0 if tail is None else overlap
        yield result[..., start : None if is_last else segmentation.step_samples]
        tail = result[..., segmentation.step_samples :]


def _separated(
    segments: Iterable[tuple[np.ndarray, bool]],
    separate: Callable[[np.ndarray], np.ndarray],
    threads: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, bool]]:
    """Separate segments, several at a time, and yield them in order with their results.

    Segments share no data, so cores do not wait for each other as they do inside a segment, and the
    result does not depend on the number of threads.
    """
    pool = ThreadPoolExecutor(threads, "separate", initializer=_use_one_core)
    pending: deque[tuple[np.ndarray, Future[np.ndarray], bool]] = deque()
    try:
        for segment, is_last in segments:
            pending.append((segment, pool.submit(separate, segment), is_last))
            if len(pending) > threads:
                first, future, was_last = pending.popleft()
                yield first, future.result(), was_last
        while pending:
            first, future, was_last = pending.popleft()
            yield first, future.result(), was_last
    finally:
        pool.shutdown(cancel_futures=True)


def _use_one_core() -> None:
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # denormal numbers are slow


def _segments(
    blocks: Iterable[np.ndarray], segmentation: Segmentation
) -> Iterator[tuple[np.ndarray, bool]]:
    """Cut a stream into overlapping segments; the last one may be shorter."""
    held: list[np.ndarray] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block.shape[-1]
        while count > segmentation.segment_samples:
            joined = held[0] if len(held) == 1 else np.concatenate(held, axis=-1)
            yield joined[..., : segmentation.segment_samples], False
            held = [joined[..., segmentation.step_samples :]]
            count -= segmentation.step_samples
    if count:
        yield np.concatenate(held, axis=-1), True


def separate_stream(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    model_rate: int,
    segmentation: Segmentation,
    separate: Callable[[np.ndarray], np.ndarray],
    on_progress: Callable[[int], None] | None = None,
    *,
    threads: int = 1,
    on_segment: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Iterator[StreamBlock]:
    """Separate a stream at the input's own rate.

    Args:
        blocks: `(channels, time)` each, at `sample_rate`.
        sample_rate: The input's rate in Hz.
        model_rate: The model's rate in Hz; the stream is resampled there and back.
        segmentation: Segments at the model's rate.
        separate: Maps a segment `(channels, n)` to `(stems + 1, channels, n)`; the last output is
            all stems together, and the residual is the mixture without it.
        on_progress: Called with the number of input samples done; what it raises ends the stream.
        threads: See `overlap_add`.
        on_segment: See `overlap_add`.
    """
    inputs: deque[np.ndarray] = deque()  # inputs whose outputs are not complete

    def tee() -> Iterator[np.ndarray]:
        into: Resampler | None = None
        for block in blocks:
            inputs.append(block)
            into = into or Resampler(block.shape[0], sample_rate, model_rate)
            yield into.process(block)
        if into is not None:
            yield into.process(inputs[-1][:, :0], last=True)

    back: Resampler | None = None
    done = 0
    shape: tuple[int, ...] = ()
    separated = overlap_add(tee(), segmentation, separate, threads=threads, on_segment=on_segment)
    for result in separated:
        shape = result.shape[:-1]
        flat = result.reshape(-1, result.shape[-1])
        back = back or Resampler(flat.shape[0], model_rate, sample_rate)
        block = _block(back.process(flat).reshape(*shape, -1), inputs)
        done += block.residual.shape[-1]
        if on_progress is not None:
            on_progress(done)
        yield block
    if back is not None:
        left = sum(block.shape[-1] for block in inputs)
        nothing = np.zeros((int(np.prod(shape)), 0), np.float32)
        rest = back.process(nothing, last=True, total_samples=done + left)
        yield _block(rest.reshape(*shape, -1), inputs)
        if on_progress is not None:
            on_progress(done + left)


def _block(result: np.ndarray, inputs: deque[np.ndarray]) -> StreamBlock:
    mixture = take_samples(inputs, result.shape[-1], channels=result.shape[1])
    return StreamBlock(
        result[:-1, :, : mixture.shape[-1]],
        mixture - result[-1, :, : mixture.shape[-1]],
        mixture,
    )


def take_samples(inputs: deque[np.ndarray], count: int, channels: int) -> np.ndarray:
    """Remove the first `count` samples from a queue of blocks."""
    taken = [np.zeros((channels, 0), np.float32)]
    while count > 0 and inputs:
        block = inputs.popleft()
        taken.append(block[:, :count])
        if block.shape[-1] > count:
            inputs.appendleft(block[:, count:])
        count -= taken[-1].shape[-1]
    return np.concatenate(taken, axis=-1)
