import torch

from separate.models.losses import (
    magnitude_loss,
    masked_correlation_loss,
    masked_sdr_loss,
    masked_spectrum_loss,
)


def spectra(value: complex, frames: int = 2) -> torch.Tensor:
    return torch.full((1, 1, frames, 2), value, dtype=torch.complex64)


def test_masked_spectrum_by_hand() -> None:
    # |0.5 * 2 - (0.6 + 0.8j)| = |0.4 - 0.8j| = sqrt(0.8), over 0.8 * |S| + 0.2 * |X| = 1.2
    loss = masked_spectrum_loss(torch.full((1, 1, 2, 2), 0.5), spectra(2), spectra(0.6 + 0.8j))
    torch.testing.assert_close(loss, torch.tensor(0.8).sqrt() / 1.2, atol=1e-5, rtol=0)


def test_masked_spectrum_prefers_the_phase_sensitive_mask() -> None:
    mixture, target = spectra(1), spectra(0.5 + 0.5j)  # |S|/|X| = 0.707, Re(S/X) = 0.5
    masks = torch.linspace(0, 1, 101)
    losses = [
        float(masked_spectrum_loss(torch.full((1, 1, 2, 2), float(m)), mixture, target))
        for m in masks
    ]
    assert abs(float(masks[int(torch.tensor(losses).argmin())]) - 0.5) < 0.02


def test_sdr_by_hand() -> None:
    # |0.5 * 2 - 2|^2 / |2|^2 = 1 / 4, both over a floor of 0.003 * |X|^2 = 0.012
    loss = masked_sdr_loss(torch.full((1, 1, 50, 2), 0.5), spectra(2, 50), spectra(2, 50))
    torch.testing.assert_close(loss, torch.tensor(1.012 / 4.012).log10())
    perfect = masked_sdr_loss(torch.ones(1, 1, 50, 2), spectra(2, 50), spectra(2, 50))
    assert -3 < perfect < -2.4


def test_correlation_by_hand_and_blind_to_scale() -> None:
    mixture = torch.tensor([1.0, 1.0], dtype=torch.complex64).reshape(1, 1, 1, 2)
    target = torch.tensor([1.0, 0.0], dtype=torch.complex64).reshape(1, 1, 1, 2)
    # The mask (1, 1) gives rho^2 = 1 / 2; |S|^2 = 1, |X|^2 = 2, the floor 0.003.
    expected = torch.tensor(1 / 1.006) * torch.tensor(0.503).log10()
    for scale in (1.0, 0.01):
        loss = masked_correlation_loss(torch.full((1, 1, 1, 2), scale), mixture, target)
        torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)
    mask = torch.full((1, 1, 1, 2), 0.01, requires_grad=True)
    masked_correlation_loss(mask, mixture, target).backward()
    assert mask.grad[..., 0] < 0 < mask.grad[..., 1]


def test_magnitude_by_hand() -> None:
    estimate, target = torch.full((1, 1, 2, 2), 4.0), torch.full((1, 1, 2, 2), 1.0)
    mixture = torch.full((1, 1, 2, 2), 9.0)
    expected = torch.tensor(3 / 9 + 0.7 * 1 / 3)
    torch.testing.assert_close(magnitude_loss(estimate, target, mixture), expected)


def test_gradients_move_towards_the_target() -> None:
    mask = torch.full((1, 1, 2, 2), 0.9, requires_grad=True)
    masked_spectrum_loss(mask, spectra(1), spectra(0.2)).backward()
    assert (mask.grad > 0).all()
    estimate = torch.full((1, 1, 2, 2), 0.1, requires_grad=True)
    magnitude_loss(estimate, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).backward()
    assert (estimate.grad < 0).all()


def test_silence_is_finite() -> None:
    zero = torch.zeros(1, 1, 2, 2)
    assert torch.isfinite(masked_spectrum_loss(zero, spectra(0), spectra(0)))
    assert torch.isfinite(masked_sdr_loss(zero, spectra(0), spectra(0)))
    assert torch.isfinite(magnitude_loss(zero, zero, zero))
