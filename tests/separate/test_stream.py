import threading

import numpy as np
import pytest

from separate.errors import SettingsError
from separate.stream import Segmentation, overlap_add, separate_stream

GRID = Segmentation(segment_samples=1000, overlap_samples=200)


def tone(samples: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(channels, samples)).astype(np.float32) * 0.1


def edgy(window: np.ndarray) -> np.ndarray:
    """A separation whose result depends on where its window begins."""
    ramp = np.linspace(0.2, 0.9, window.shape[-1], dtype=np.float32)
    return np.stack([window * ramp, window * 0.5, window * ramp])


def cut(array: np.ndarray, *sizes: int) -> list[np.ndarray]:
    """Cut into blocks of some sizes, the last repeated."""
    blocks, position, turn = [], 0, 0
    while position < array.shape[1]:
        size = sizes[min(turn, len(sizes) - 1)]
        blocks.append(array[:, position : position + size])
        position, turn = position + size, turn + 1
    return blocks


def run(blocks: list[np.ndarray], rate: int = 44100, model_rate: int = 44100) -> tuple:
    out = list(separate_stream(blocks, rate, model_rate, GRID, edgy))
    return (
        np.concatenate([b.estimates for b in out], axis=-1),
        np.concatenate([b.residual for b in out], axis=-1),
    )


@pytest.mark.parametrize("samples", [1, 199, 1000, 1001, 1800, 1801, 9999])
@pytest.mark.parametrize("sizes", [(1,), (7, 333), (60_000,), (0, 500)])
def test_the_result_does_not_depend_on_the_blocks(samples: int, sizes: tuple[int, ...]) -> None:
    if sizes == (1,) and samples > 2000:
        sizes = (13,)
    mixture = tone(samples)
    whole, rest = run([mixture])
    cut_estimates, cut_rest = run(cut(mixture, *sizes))
    np.testing.assert_allclose(cut_estimates, whole, atol=1e-6)
    np.testing.assert_allclose(cut_rest, rest, atol=1e-6)
    assert whole.shape == (2, 2, samples) and rest.shape == (2, samples)


@pytest.mark.parametrize("rate", [8000, 16000, 48000, 96000, 192000])
def test_other_rates_keep_length_and_sum(rate: int) -> None:
    mixture = tone(5003)
    estimates, residual = run(cut(mixture, 777), rate=rate)
    assert estimates.shape == (2, 2, 5003)
    np.testing.assert_allclose(estimates[0] + residual, mixture, atol=1e-4)


def test_identity_reconstructs() -> None:
    mixture = tone(4321)
    result = list(overlap_add([mixture], GRID, lambda w: w[None]))
    np.testing.assert_allclose(np.concatenate(result, axis=-1)[0], mixture, atol=1e-6)


def test_windows_start_on_the_grid_and_keep_their_length() -> None:
    seen: list[int] = []
    list(overlap_add([tone(2500)], GRID, lambda w: (seen.append(w.shape[-1]), w[None])[1]))
    assert seen == [1000, 1000, 900]


def test_progress_ends_at_the_length_and_can_cancel() -> None:
    steps: list[int] = []
    list(separate_stream([tone(4000)], 44100, 44100, GRID, edgy, steps.append))
    assert steps == sorted(steps) and steps[-1] == 4000

    def cancel(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(separate_stream([tone(4000)], 44100, 44100, GRID, edgy, cancel))


def test_no_input_gives_no_output() -> None:
    assert list(separate_stream([], 44100, 44100, GRID, edgy)) == []


@pytest.mark.parametrize("overlap", [0, 500])
def test_from_none_to_half_a_window_may_overlap(overlap: int) -> None:
    mixture = tone(2345)
    result = list(overlap_add([mixture], Segmentation(1000, overlap), lambda w: w[None]))
    np.testing.assert_allclose(np.concatenate(result, axis=-1)[0], mixture, atol=1e-6)


@pytest.mark.parametrize("overlap", [-1, 501])
def test_other_overlaps_are_refused(overlap: int) -> None:
    with pytest.raises(SettingsError, match=r"between 0 and 0\.5"):
        Segmentation(1000, overlap)


@pytest.mark.parametrize("overlap", [1, 200])
def test_windows_are_joined_by_straight_lines(overlap: int) -> None:
    numbers = iter(range(1, 10))
    result = overlap_add(
        [tone(1500)], Segmentation(1000, overlap), lambda w: np.full((1, *w.shape), next(numbers))
    )
    joined = np.concatenate(list(result), axis=-1)[0, 0]
    start = 1000 - overlap
    assert (joined[:start] == 1).all() and (joined[1000:] == 2).all()
    line = 1 + (np.arange(overlap) + 0.5) / overlap
    np.testing.assert_allclose(joined[start:1000], line, rtol=1e-6)


def test_each_window_is_shown_with_its_result_in_order() -> None:
    mixture, seen = tone(2500), []
    list(overlap_add([mixture], GRID, edgy, threads=3, on_segment=lambda *pair: seen.append(pair)))
    assert [window.shape[-1] for window, _ in seen] == [1000, 1000, 900]
    for start, (window, result) in zip((0, 800, 1600), seen, strict=True):
        np.testing.assert_array_equal(window, mixture[:, start : start + 1000])
        np.testing.assert_array_equal(result, edgy(window))


def test_as_many_windows_are_separated_at_a_time_as_threads_are_given() -> None:
    together = threading.Barrier(3, timeout=20)

    def separate(window: np.ndarray) -> np.ndarray:
        together.wait()
        return window[None]

    assert len(list(overlap_add([tone(4400)], GRID, separate, threads=3))) > 0


def test_a_worker_takes_one_core_and_no_denormal_numbers() -> None:
    import torch

    before, seen = torch.get_num_threads(), []

    def separate(window: np.ndarray) -> np.ndarray:
        seen.append((torch.get_num_threads(), float(torch.full((8,), 1e-40).mul(0.5).sum())))
        return window[None]

    torch.set_num_threads(2)
    try:
        list(overlap_add([tone(1000)], GRID, separate))
    finally:
        torch.set_num_threads(before)
    assert seen == [(1, 0.0)]


def test_no_more_is_separated_when_nobody_reads_on() -> None:
    done = []
    release = threading.Event()

    def separate(window: np.ndarray) -> np.ndarray:
        if done:
            release.wait(20)
        done.append(1)
        return window[None]

    blocks = (tone(1000) for _ in range(50))
    results = overlap_add(blocks, GRID, separate, threads=1)
    next(results)
    taken = 50 - sum(1 for _ in blocks)
    assert taken <= 4  # constant memory: windows are cut as they are needed
    release.set()
    results.close()
    assert len(done) <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("separate")]


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_a_perfect_separation_leaves_nothing_at_any_rate(rate: int) -> None:
    time = np.arange(rate) / rate
    tones = np.sin(2 * np.pi * np.array([[300.0], [1100.0]]) * time).astype(np.float32)
    steps: list[int] = []
    blocks = cut(tones, rate // 3, rate // 5)

    def halves(window: np.ndarray) -> np.ndarray:
        return np.stack([0.25 * window, 0.75 * window, window])

    grid = Segmentation(9000, 1000)
    found = list(separate_stream(blocks, rate, 44100, grid, halves, steps.append))
    quarter, rest = np.concatenate([block.estimates for block in found], axis=-1)
    inner = slice(200, -200)  # the resampling rings where the tones begin and end
    np.testing.assert_allclose(quarter[:, inner], 0.25 * tones[:, inner], atol=2e-3)
    np.testing.assert_allclose(rest[:, inner], 0.75 * tones[:, inner], atol=2e-3)
    residual = np.concatenate([block.residual for block in found], axis=-1)
    assert np.abs(residual[:, inner]).max() < 2e-3
    assert residual.shape == tones.shape and residual.dtype == quarter.dtype == np.float32
    assert steps == np.cumsum([block.residual.shape[-1] for block in found]).tolist()
    assert len(steps) > 3
