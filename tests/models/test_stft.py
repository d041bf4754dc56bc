import torch

from separate.models.stft import StftConfig, compute_magnitude, istft, stft

CONFIG = StftConfig()


def test_identity_mask_reconstructs() -> None:
    waveform = torch.randn(2, 50_001, generator=torch.Generator().manual_seed(0))
    back = istft(stft(waveform, CONFIG), 50_001, CONFIG)
    assert (back - waveform).abs().max() < 1e-5


def test_frames_and_samples_agree() -> None:
    for frames in (64, 512):
        spectrogram = stft(torch.zeros(1, CONFIG.samples(frames)), CONFIG)
        assert spectrogram.shape == (1, CONFIG.bins, frames)


def test_a_sine_peaks_at_its_bin() -> None:
    bin_number = 100
    time = torch.arange(44100)
    sine = torch.sin(2 * torch.pi * bin_number / CONFIG.n_fft * time)
    spectrum = compute_magnitude(stft(sine, CONFIG))[:, 20]
    assert int(spectrum.argmax()) == bin_number


def test_modulus_is_abs() -> None:
    spectrogram = torch.randn(3, 4, dtype=torch.complex64)
    torch.testing.assert_close(compute_magnitude(spectrogram), spectrogram.abs())


def test_inverse_is_torchs() -> None:
    spectrogram = torch.randn(2, CONFIG.bins, 20, dtype=torch.complex64)
    window = torch.hann_window(CONFIG.n_fft)
    expected = torch.istft(
        spectrogram, CONFIG.n_fft, CONFIG.hop_length, window=window, length=19_000
    )
    torch.testing.assert_close(istft(spectrogram, 19_000, CONFIG), expected, atol=1e-4, rtol=1e-4)


def test_a_short_window_has_zeros_around_it() -> None:
    config = StftConfig(n_fft=512, hop_length=32, win_length=128)
    waveform = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(128)
    expected = torch.stft(
        waveform, 512, 32, 128, window, pad_mode="constant", return_complex=True, center=True
    )
    torch.testing.assert_close(stft(waveform, config), expected)
    assert (istft(expected, 4_000, config) - waveform).abs().max() < 1e-5
