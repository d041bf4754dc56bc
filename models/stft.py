"""Waveforms to spectra and back: the short-time Fourier transform of every mask model.

In: waveform `(..., time)`. Out: complex spectrogram `(..., freq, frames)`, and the way back.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StftConfig:
    """Analysis settings; windows are periodic Hann, frames are centred on multiples of the hop."""

    n_fft: int = 4096  # samples a frame
    hop_length: int = 1024  # samples from frame to frame
    win_length: int = 0  # samples of the window, with zeros around it; 0: `n_fft`

    @property
    def bins(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    def samples(self, frames: int) -> int:
        """Length in samples whose centred transform has exactly `frames` frames."""
        return (frames - 1) * self.hop_length

    def window(self, like: Tensor) -> Tensor:
        """Return the window `(n_fft,)`, where and of the type that a real tensor is."""
        return _window(self, str(like.device), like.dtype)


def stft(waveform: Tensor, config: StftConfig) -> Tensor:
    """Transform a waveform; it is padded with zeros by half a frame at both ends.

    Args:
        waveform: `(..., time)`, real.
        config: Analysis settings.

    Returns:
        Complex spectrogram `(..., n_fft // 2 + 1, time // hop_length + 1)`.
    """
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrogram = torch.stft(
        flat,
        config.n_fft,
        config.hop_length,
        window=config.window(waveform),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrogram.reshape(*waveform.shape[:-1], *spectrogram.shape[-2:])


def istft(spectrogram: Tensor, length: int, config: StftConfig) -> Tensor:
    """Invert `stft`.

    Args:
        spectrogram: Complex, `(..., freq, frames)`.
        length: Samples to return, at most `config.samples(frames) + n_fft // 2`.
        config: The settings that made the spectrogram; the hop divides the frame.

    Returns:
        Waveform `(..., length)`.
    """
    inverse = InverseStft(spectrogram.shape[-1], config)
    inverse.add(spectrogram)
    return inverse.waveform(length)


class InverseStft:
    """Windowed overlap-add (Griffin and Lim, 1984) of spectra that arrive in blocks of frames."""

    def __init__(self, frames: int, config: StftConfig) -> None:
        """Begin.

        Args:
            frames: In all.
            config: The settings that made the spectra; the hop divides the frame.
        """
        self.frames = frames
        self.config = config
        self._parts = config.n_fft // config.hop_length
        self._done = 0
        self._total: Tensor | None = None  # (..., frames + parts - 1, hop)

    def add(self, spectrogram: Tensor) -> None:
        """Add the next frames: complex, `(..., freq, frames)`."""
        config = self.config
        frames = torch.fft.irfft(spectrogram.transpose(-1, -2), n=config.n_fft)
        window = config.window(frames)
        count = frames.shape[-2]
        if self._total is None:
            rows = self.frames + self._parts - 1
            self._total = frames.new_zeros(*frames.shape[:-2], rows, config.hop_length)
        pieces = frames.unflatten(-1, (self._parts, config.hop_length))
        for part, weights in enumerate(window.split(config.hop_length)):
            start = self._done + part
            self._total[..., start : start + count, :].addcmul_(pieces[..., part, :], weights)
        self._done += count

    def waveform(self, length: int, out: Tensor | None = None) -> Tensor:
        """Return `(..., length)` samples once all frames are in, or write them to `out`."""
        assert self._total is not None and self._done == self.frames
        envelope = _envelope(self.frames, self.config, str(self._total.device), self._total.dtype)
        start = self.config.n_fft // 2
        some = slice(start, start + length)
        return torch.div(self._total.flatten(-2)[..., some], envelope[some], out=out)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # cached tensors must be usable outside of inference mode
def _window(config: StftConfig, device: str, dtype: torch.dtype) -> Tensor:
    """Hann's, in the middle of the frame."""
    length = config.win_length or config.n_fft
    window = torch.hann_window(length, device=device, dtype=dtype)
    before = (config.n_fft - length) // 2
    return nn.functional.pad(window, (before, config.n_fft - length - before))


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # cached tensors must be usable outside of inference mode
def _envelope(frames: int, config: StftConfig, device: str, dtype: torch.dtype) -> Tensor:
    """The squared windows' sum; where it vanishes (the padding's far end) it is one."""
    window = config.window(torch.empty(0, device=device, dtype=dtype))
    rows = window.square().unflatten(0, (-1, config.hop_length))  # what a frame adds to each hop
    total = torch.zeros(frames + len(rows) - 1, config.hop_length, device=device, dtype=dtype)
    for part, row in enumerate(rows):
        total[part : part + frames] += row
    total = total.flatten()
    return torch.where(total > 1e-8, total, torch.ones_like(total))


def compute_magnitude(spectrogram: Tensor) -> Tensor:
    """Return |X|; much faster on a CPU than `abs`, which guards against overflow."""
    real, imaginary = spectrogram.real, spectrogram.imag
    return torch.addcmul(real.square(), imaginary, imaginary).sqrt()
