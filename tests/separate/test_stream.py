import numpy as np
import pytest

from separate.errors import SettingsError
from separate.stream import Grid, overlap_add, separate_stream

GRID = Grid(window_samples=1000, overlap_samples=200)


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


def test_overlap_must_leave_a_step() -> None:
    with pytest.raises(SettingsError):
        Grid(100, 60)
