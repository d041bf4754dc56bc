import torch

from separate.models.bands import (
    BANDS,
    BINS,
    SEGMENTS,
    band_widths,
    compressed,
    continued,
    from_bands,
    to_bands,
)


def test_bands_cover_all_bins_but_the_last() -> None:
    assert sum(count * width for count, width in SEGMENTS) == BINS - 1
    assert band_widths().shape == (BANDS,)
    assert int(band_widths().sum()) == BINS - 1


def test_what_is_constant_in_each_band_survives_the_way_there_and_back() -> None:
    mask = torch.rand(2, 3, BANDS)
    torch.testing.assert_close(to_bands(from_bands(mask)), mask)


def test_averages_by_hand() -> None:
    x = torch.zeros(BINS)
    x[5], x[256], x[-2] = 1.0, 3.0, 40.0
    bands = to_bands(x)
    assert float(bands[5]) == 1.0
    assert float(bands[256]) == 1.5  # the first pair
    assert float(bands[-1]) == 2.0  # one of the last twenty
    assert int(bands.count_nonzero()) == 3


def test_continued_with_the_mean_of_the_top_bins() -> None:
    mask = torch.zeros(1, 1024)
    mask[:, -32:] = 1.0
    full = continued(mask)
    assert full.shape == (1, BINS)
    assert (full[:, 1024:] == 0.5).all()
    assert continued(full, 10) is full


def test_loud_magnitudes_are_compressed_by_asinh() -> None:
    magnitude = torch.tensor([0.0, 1e-3, 1.0, 4.0, 50.0, 1024.0])
    torch.testing.assert_close(compressed(magnitude), 4 * torch.asinh(magnitude / 4))


def test_a_mask_reaches_every_bin_with_its_own_bands_value() -> None:
    mask = torch.arange(BANDS, dtype=torch.float32)
    bins = torch.cat([mask.repeat_interleave(band_widths().long()), mask[-1:]])
    torch.testing.assert_close(from_bands(mask[None]), bins[None])


def test_each_channel_and_frame_is_continued_with_its_own_mean() -> None:
    mask = torch.rand(2, 3, BINS - 1)
    full = continued(mask)
    assert full.shape == (2, 3, BINS)
    torch.testing.assert_close(full[..., -1], mask[..., -64:].mean(-1))
