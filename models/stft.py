"""Waveforms to spectra and back: the short-time Fourier transform that every mask model shares.

In: waveform `(..., time)`. Out: complex spectrogram `(..., freq, frames)`, and the way back.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class StftConfig:
    """Analysis settings; windows are periodic Hann, frames are centred on multiples of the hop."""

    n_fft: int = 4096  # samples a frame
    hop_length: int = 1024  # samples from frame to frame

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    def samples(self, frames: int) -> int:
        """Length in samples whose centred transform has exactly `frames` frames."""
        return (frames - 1) * self.hop_length


def stft(waveform: Tensor, config: StftConfig) -> Tensor:
    """Transform a waveform; it is padded with zeros by half a frame at both ends.

    Args:
        waveform: `(..., time)`, real.
        config: Analysis settings.

    Returns:
        Complex spectrogram `(..., n_fft // 2 + 1, time // hop_length + 1)`.
    """
    window = torch.hann_window(config.n_fft, device=waveform.device, dtype=waveform.dtype)
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrogram = torch.stft(
        flat,
        config.n_fft,
        config.hop_length,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrogram.reshape(*waveform.shape[:-1], *spectrogram.shape[-2:])


def istft(spectrogram: Tensor, length: int, config: StftConfig) -> Tensor:
    """Invert `stft` by windowed overlap-add (Griffin and Lim, 1984).

    Args:
        spectrogram: Complex, `(..., freq, frames)`.
        length: Samples to return, at most `config.samples(frames) + n_fft // 2`.
        config: The settings that made the spectrogram; the hop divides the frame.

    Returns:
        Waveform `(..., length)`.
    """
    window = torch.hann_window(
        config.n_fft, device=spectrogram.device, dtype=spectrogram.real.dtype
    )
    frames = torch.fft.irfft(spectrogram.transpose(-1, -2), n=config.n_fft) * window
    waveform = _overlap_add(frames, config.hop_length)
    waveform = waveform.div_(_envelope(frames.shape[-2], config, str(frames.device), frames.dtype))
    start = config.n_fft // 2
    return waveform[..., start : start + length]


def _overlap_add(frames: Tensor, hop_length: int) -> Tensor:
    """Add frames `(..., frames, n_fft)` at every hop: `(..., n_fft + (frames - 1) * hop)`."""
    count, n_fft = frames.shape[-2:]
    parts = n_fft // hop_length
    total = frames.new_zeros(*frames.shape[:-2], count + parts - 1, hop_length)
    for part in range(parts):
        piece = frames[..., part * hop_length : (part + 1) * hop_length]
        total[..., part : part + count, :] += piece
    return total.flatten(-2)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept must serve outside of inference too
def _envelope(frames: int, config: StftConfig, device: str, dtype: torch.dtype) -> Tensor:
    """The squared windows' sum; where it vanishes (the padding's far end) it is one."""
    window = torch.hann_window(config.n_fft, device=device, dtype=dtype)
    total = _overlap_add(window.square().expand(frames, -1), config.hop_length)
    return torch.where(total > 1e-8, total, torch.ones_like(total))


def modulus(spectrogram: Tensor) -> Tensor:
    """Return |X|; much faster on a CPU than `abs`, which guards against overflow."""
    real, imaginary = spectrogram.real, spectrogram.imag
    return torch.addcmul(real.square(), imaginary, imaginary).sqrt()
