import torch

from separate.models.bands import BINS, band_widths, from_bands
from separate.models.losses import (
    Products,
    mask_entropy_loss,
    masked_correlation_loss,
    masked_error,
    masked_sdr_loss,
    products,
)


def spectra(value: complex, frames: int = 2) -> torch.Tensor:
    return torch.full((1, 1, frames, 2), value, dtype=torch.complex64)


def product(mixture: complex, target: complex, frames: int = 2) -> Products:
    return products(spectra(mixture, frames), spectra(target, frames))


def test_the_error_of_a_band_is_that_of_its_bins() -> None:
    mixture = torch.randn(1, 2, 3, BINS, dtype=torch.complex64)
    target = torch.randn(1, 2, 3, BINS, dtype=torch.complex64)
    mask = torch.rand(1, 2, 3, len(band_widths()))
    bins = (from_bands(mask) * mixture - target).abs().square()[..., :-1].sum()
    bands = masked_error(mask, products(mixture, target, bands=True)).sum()
    torch.testing.assert_close(bands, bins, rtol=1e-4, atol=0)


def test_entropy_by_hand() -> None:
    # Best mask Re(X conj S) / |X|^2 = 0.3; a mask of 0.5 costs log 2 over 0.8 * 0.3 + 0.2.
    loss = mask_entropy_loss(torch.zeros(1, 1, 2, 2), product(2, 0.6 + 0.8j))
    torch.testing.assert_close(loss, torch.tensor(2.0).log() / 0.44, atol=1e-5, rtol=0)


def test_entropy_prefers_the_phase_sensitive_mask() -> None:
    both = product(1, 0.5 + 0.5j)  # |S|/|X| = 0.707, Re(S/X) = 0.5
    logits = torch.linspace(-3, 3, 61)
    losses = [float(mask_entropy_loss(torch.full((1, 1, 2, 2), float(x)), both)) for x in logits]
    assert abs(float(logits[int(torch.tensor(losses).argmin())])) < 0.06


def test_entropy_brings_back_a_mask_that_has_gone_out() -> None:
    logits = torch.full((1, 1, 2, 2), -20.0, requires_grad=True)
    mask_entropy_loss(logits, product(1, 0.9)).backward()
    assert (logits.grad < -0.05).all()


def test_sdr_by_hand() -> None:
    # |0.5 * 2 - 2|^2 / |2|^2 = 1 / 4, both over a floor of 0.003 * |X|^2 = 0.012
    loss = masked_sdr_loss(torch.full((1, 1, 50, 2), 0.5), product(2, 2, 50))
    torch.testing.assert_close(loss, torch.tensor(1.012 / 4.012).log10())
    perfect = masked_sdr_loss(torch.ones(1, 1, 50, 2), product(2, 2, 50))
    assert -3 < perfect < -2.4


def test_correlation_by_hand_and_blind_to_scale() -> None:
    mixture = torch.tensor([1.0, 1.0], dtype=torch.complex64).reshape(1, 1, 1, 2)
    target = torch.tensor([1.0, 0.0], dtype=torch.complex64).reshape(1, 1, 1, 2)
    both = products(mixture, target)
    # The mask (1, 1) gives rho^2 = 1 / 2; |S|^2 = 1, |X|^2 = 2, the floor 0.003.
    expected = torch.tensor(1 / 1.006) * torch.tensor(0.503).log10()
    for scale in (1.0, 0.01):
        loss = masked_correlation_loss(torch.full((1, 1, 1, 2), scale), both)
        torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)
    mask = torch.full((1, 1, 1, 2), 0.01, requires_grad=True)
    masked_correlation_loss(mask, both).backward()
    assert mask.grad[..., 0] < 0 < mask.grad[..., 1]


def test_gradients_move_towards_the_target() -> None:
    mask = torch.full((1, 1, 50, 2), 0.9, requires_grad=True)
    masked_sdr_loss(mask, product(1, 0.2, 50)).backward()
    assert (mask.grad > 0).all()


def test_silence_is_finite() -> None:
    zero = torch.zeros(1, 1, 2, 2)
    for loss in (mask_entropy_loss, masked_sdr_loss, masked_correlation_loss):
        assert torch.isfinite(loss(zero, product(0, 0)))
