"""Oracle masks: an upper bound of masking, computed from the true sources `(channels, time)`.

- `ibm`: ideal binary mask, 1 where the source is louder than all the rest together;
- `irm`: ideal ratio mask, |S_j|^a / sum_k |S_k|^a, a = 1 (SiSEC's IRM1) by default;
- `mwf`: multichannel Wiener filter with the true power spectra and one spatial covariance a
  source and frequency, estimated from the true source (Duong et al., 2010; SiSEC 2018's MWF).

They mask the whole spectrum, or the default model's band: the lower 1,024 bins, continued upward.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from separate.insides import StftConfig, apply_mask, istft, stft

ORACLES = ("ibm", "irm", "mwf")
BASE_RATE = 44100  # Hz; the sample rate of the configuration
_EPS = 1e-10
_CHUNK_BINS = 64  # frequencies of the Wiener filter computed at once
_BLOCK_FRAMES = 1024  # frames of a song transformed at once


@dataclass(frozen=True)
class OracleConfig:
    """Settings of an oracle."""

    kind: str = "irm"  # one of ORACLES
    n_fft: int = 4096  # samples a frame
    hop_length: int = 1024  # samples from frame to frame
    bins: int | None = None  # mask only so many lower bins and continue upward; None: all
    exponent: float = 1.0  # of the magnitudes in irm

    def __post_init__(self) -> None:
        """Refuse an unknown oracle."""
        if self.kind not in ORACLES:
            raise ValueError(f"oracle must be one of {ORACLES}, got {self.kind!r}")

    def at(self, sample_rate: int) -> "OracleConfig":
        """Return the settings for another rate: same seconds and Hz, frames of a power of two."""
        factor = 2.0 ** round(math.log2(sample_rate / BASE_RATE))
        n_fft, hop_length = int(self.n_fft * factor), int(self.hop_length * factor)
        bins = self.bins
        if bins is not None:
            top_hz = bins * BASE_RATE / self.n_fft
            bins = min(n_fft // 2 + 1, round(top_hz / sample_rate * n_fft))
        return replace(self, n_fft=n_fft, hop_length=hop_length, bins=bins)

    @property
    def rule(self) -> str:
        """The mask rule in words."""
        band = "whole spectrum" if self.bins is None else f"lower {self.bins} bins, continued"
        return f"oracle {self.kind} {self.n_fft}/{self.hop_length} at 44.1 kHz, {band}"


def separate_oracle(
    references: Mapping[str, np.ndarray], mixture: np.ndarray, config: OracleConfig
) -> dict[str, np.ndarray]:
    """Separate a mixture by masks of its true sources, block by block.

    Args:
        references: All sources of the mixture, float32 `(channels, time)` by stem.
        mixture: `(channels, time)`.
        config: Settings of the oracle.

    Returns:
        An estimate of each source, float32 `(channels, time)`; it does not depend on the blocks.
    """
    transform = StftConfig(config.n_fft, config.hop_length)
    arrays = list(references.values())
    spatial = _spatial(arrays, transform) if config.kind == "mwf" else []
    outputs = [np.empty_like(mixture) for _ in arrays]
    for read, keep in _blocks(mixture.shape[1], transform):
        mix = _spectrum(mixture, read, transform)
        sources = [_spectrum(array, read, transform) for array in arrays]
        if config.kind == "mwf":
            spectra = _wiener(sources, spatial, mix, config.bins)
        else:
            masks = _masks(sources, mix, config)
            spectra = [_masked(mask, mix, config.bins) for mask in masks]
        inside = slice(keep.start - read.start, keep.stop - read.start)
        for output, spectrum in zip(outputs, spectra, strict=True):
            block = istft(spectrum, read.stop - read.start, transform)
            output[:, keep] = block[:, inside].numpy()
    return dict(zip(references, outputs, strict=True))


def _blocks(length: int, transform: StftConfig) -> Iterator[tuple[slice, slice]]:
    """Yield the samples to read and to keep; with these margins, blocks equal the whole."""
    step = _BLOCK_FRAMES * transform.hop_length
    hops = -(-2 * transform.n_fft // transform.hop_length)
    margin = hops * transform.hop_length
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield slice(max(0, start - margin), min(stop + margin, length)), slice(start, stop)


def _spectrum(array: np.ndarray, cut: slice, transform: StftConfig) -> Tensor:
    return stft(torch.from_numpy(np.ascontiguousarray(array[:, cut])), transform)


def _masks(sources: list[Tensor], mix: Tensor, config: OracleConfig) -> list[Tensor]:
    """Return binary or ratio masks, each `(channels, freq, frames)`."""
    if config.kind == "ibm":
        return [(s.abs() > (mix - s).abs()).to(mix.real.dtype) for s in sources]
    powers = [source.abs().pow(config.exponent) for source in sources]
    total = torch.stack(powers).sum(0) + _EPS
    return [power / total for power in powers]


def _masked(mask: Tensor, mix: Tensor, bins: int | None) -> Tensor:
    return mask * mix if bins is None else apply_mask(mask[:, :bins].transpose(1, 2), mix)


def _spatial(arrays: list[np.ndarray], transform: StftConfig) -> list[Tensor]:
    """Return each source's spatial covariance `(freq, channels, channels)`, of trace `channels`."""
    covariances = []
    for array in arrays:
        outer: Tensor | float = 0.0
        power: Tensor | float = 0.0
        for read, _ in _blocks(array.shape[1], transform):
            spectrum = _spectrum(array, read, transform)
            outer = outer + torch.einsum("cft,dft->fcd", spectrum, spectrum.conj())
            power = power + spectrum.abs().square().mean(0).sum(-1)
        covariances.append(outer / (torch.as_tensor(power)[:, None, None] + _EPS))
    return covariances


def _wiener(
    sources: list[Tensor], spatial: list[Tensor], mix: Tensor, bins: int | None
) -> list[Tensor]:
    """Filter all channels together, some frequencies at a time.

    Above `bins` (the model's band) the gain of its top bins is continued, like a mask.
    """
    outputs = [torch.zeros_like(mix) for _ in sources]
    top = mix.shape[1] if bins is None else bins
    for start in range(0, top, _CHUNK_BINS):
        cut = slice(start, min(start + _CHUNK_BINS, top))
        bands = [source[:, cut].abs().square().mean(0) for source in sources]
        results = _wiener_band(bands, [matrix[cut] for matrix in spatial], mix[:, cut])
        for output, result in zip(outputs, results, strict=True):
            output[:, cut] = result
    if bins is not None:
        for output in outputs:
            mask = (output.abs() / (mix.abs() + _EPS)).clamp(max=1.0)
            output[:, top:] = _masked(mask, mix, bins)[:, top:]
    return outputs


def _wiener_band(powers: list[Tensor], spatial: list[Tensor], mix: Tensor) -> list[Tensor]:
    """Wiener-filter `(channels, freq, frames)` by powers `(freq, frames)` and covariances."""
    models = [
        torch.einsum("ft,fcd->ftcd", power.to(matrix.dtype), matrix)
        for power, matrix in zip(powers, spatial, strict=True)
    ]
    total = torch.stack(models).sum(0)
    ridge = total.diagonal(dim1=-2, dim2=-1).real.mean(-1)[..., None, None] * 1e-5 + _EPS
    total = total + ridge * torch.eye(mix.shape[0], dtype=total.dtype)
    solved = torch.linalg.solve(total, mix.permute(1, 2, 0).unsqueeze(-1))
    return [(model @ solved).squeeze(-1).permute(2, 0, 1) for model in models]
