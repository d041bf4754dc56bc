"""The recipes `unsupervised`, `weak` and `semi`: separation learned from mixtures.

Source: T. Mahmud et al., "Weakly-supervised Audio Separation via Bi-modal Semantic Similarity",
ICLR 2024. The paper's total is 5 L_unsup + 5 L_crl + 0.5 L_cnt (`PAPER`); `semi` adds the
supervised mix-and-separate loss on single sources, at the weight of L_unsup, of which it is the
case P = 1.

Where this deviates from the paper:

- The separator is our own (44.1 kHz, STFT 4096/1024, masks in 512 bands, FiLM) and not the paper's
  (16 kHz, STFT 1022/256, cross-attention). In the L1 losses magnitudes are scaled to those of a
  mixture near full scale and a 1022-point transform, so that a tone weighs in `log(1 + |X|)`, and
  the L1 losses beside the contrastive one, what they weigh there.
- The consistency loss weighs each bin by the loudness of the whole mixture X, not by that of the
  part S_n (`WeakConfig.weighting`): under the paper's weight a leak of the other part costs nothing
  where S_n is silent, and training settles on half of both parts. RUNS.md has the comparison.
- The contrastive loss is off unless its weight is set: it lowered the score at each weight that was
  tried from the start, because gradients through a small tagger find masks that raise its logits
  and spoil the sound, and changed nothing where it was light and began late.
- Queries are drawn from all wordings of the vocabulary, the paper's prompts among them.
- The scorer is the project's own query net at temperature 0.07 unless CLAP is asked for. A
  tagger's logits are centred by their mean over mixtures, which needs no labels.
- The contrast is over the phrases of all N mixtures, of all examples and processes: the sources of
  the other mixture, which lie under the same mask, are the negatives that matter most.
- The mixtures of an example share no label of clips, where there are enough: one query for two
  different targets teaches nothing.
- "1/count" of a repeated phrase counts over all N mixtures of an example.
- The learning rate is the loop's; the paper decays it by steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from separate.models.bands import from_bands
from separate.models.stft import StftConfig, compute_magnitude, istft
from separate.models.weak_losses import (
    Weighting,
    consistency_loss,
    contrastive_loss,
    mix_and_separate_loss,
)
from separate.train.data.mixing import SAMPLE_RATE
from separate.train.data.mixtures import MixtureMixer, Mixtures
from separate.train.data.phrases import draw_wording
from separate.train.distributed import agreed, gathered, mean_over_all
from separate.train.recipes.scorers import Scorer
from separate.train.trainable import TrainableNet

_PAPER_N_FFT = 1022
_LEVEL = 0.2  # of a recording near full scale, root mean square
_WINDOW_ENERGY = 0.375  # a sample of the squared Hann window, in the mean
_CENTRED_ON = 32  # examples of mixtures by which the scorer is centred


@dataclass(frozen=True)
class WeakConfig:
    """Weights of the losses."""

    unsupervised_weight: float = 5.0  # of L_unsup
    consistency_weight: float = 5.0  # of L_crl
    contrastive_weight: float = 0.0  # of L_cnt; the paper's is 0.5
    contrastive_after: int = 0  # index of the first example that it is computed for
    supervised_weight: float = 0.0  # of mix-and-separate on single sources
    weighting: Weighting = "mixture"  # of L_crl's bins; "part" is the paper's
    query_noise: float = 0.0  # standard deviation of noise on each coordinate of a query vector


RECIPES = {
    "unsupervised": WeakConfig(consistency_weight=0.0),
    "weak": WeakConfig(),
    "semi": WeakConfig(supervised_weight=5.0),
    # The paper's supervised baseline: single sources alone.
    "mix-and-separate": WeakConfig(0.0, 0.0, supervised_weight=5.0),
}

PAPER = WeakConfig(contrastive_weight=0.5, weighting="part")  # the losses as the paper weighs them


class Weak:
    """See `separate.train.loop.Recipe`."""

    def __init__(
        self,
        net: TrainableNet[Any],
        phrases: Mapping[str, Tensor],
        *,
        name: str = "weak",
        config: WeakConfig | None = None,
        mixer: MixtureMixer | None = None,
        singles: MixtureMixer | None = None,
        scorer: Scorer | None = None,
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what the recipe needs.

        Args:
            net: The network to train.
            phrases: Query vectors `(wordings, dim)` by phrase and by joined phrases.
            name: A key of `RECIPES`.
            config: Weights; None: those of the name.
            mixer: Makes mixtures of mixtures; needed where one of their losses counts.
            singles: Makes mixtures of single sources, for the supervised loss.
            scorer: Scores the estimates, for the contrastive loss.
            evaluate: Scores a model.
            device: Where to train.

        Raises:
            ValueError: A loss counts, and what it needs is not given.
        """
        self.name, self.config = name, config or RECIPES[name]
        weights = self.config
        mixed = weights.unsupervised_weight + weights.consistency_weight
        if mixed + weights.contrastive_weight and mixer is None:
            raise ValueError("the losses of mixtures need a mixer")
        if weights.supervised_weight and singles is None:
            raise ValueError("the supervised loss needs a mixer of single sources")
        if weights.contrastive_weight and scorer is None:
            raise ValueError("the contrastive loss needs a scorer")
        self.net, self.phrases = net, phrases
        self.scorer = scorer if weights.contrastive_weight else None
        self.mixer = mixer if mixed + weights.contrastive_weight else None
        self.singles = singles if weights.supervised_weight else None
        self.evaluate = evaluate
        self.device = torch.device(device)
        self.model = net.model.to(device)
        if self.scorer is not None:
            self.scorer.centre(self._some_mixtures, SAMPLE_RATE)

    def _some_mixtures(self) -> Tensor:
        """Return the waveforms `(n, samples)` of the mixtures of some examples."""
        assert self.mixer is not None
        return _mono(self.mixer.batch(range(_CENTRED_ON), self.device).parts.flatten(0, 1))

    def groups(self) -> list[dict[str, Any]]:
        """See `TrainableNet.groups`."""
        return self.net.groups()

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of the losses that count, and each."""
        config = self.config
        terms: dict[str, tuple[float, Tensor]] = {}
        if self.mixer is not None:
            encoded = _EncodedBatch(self.net, self.mixer.batch(indices, self.device))
            if config.unsupervised_weight:
                loss = self._mix_and_separate(encoded, indices)
                terms["unsupervised"] = config.unsupervised_weight, loss
            if config.consistency_weight or config.contrastive_weight:
                masks = self._phrase_masks(encoded, indices)
                weights = encoded.batch.phrase_weights().to(self.device)
                loss = consistency_loss(
                    masks, weights, encoded.magnitude, encoded.targets, config.weighting
                )
                terms["consistency"] = config.consistency_weight, loss
                if config.contrastive_weight and self._contrasts(indices):
                    loss = self._contrastive(encoded.batch, masks)
                    terms["contrastive"] = config.contrastive_weight, loss
        if self.singles is not None:
            encoded = _EncodedBatch(self.net, self.singles.batch(indices, self.device))
            loss = self._mix_and_separate(encoded, indices)
            terms["supervised"] = config.supervised_weight, loss
        total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
        parts = {name: float(loss.detach()) for name, (_, loss) in terms.items()}
        return total, {"loss": float(total.detach()), **parts}

    def _mix_and_separate(self, encoded: "_EncodedBatch", indices: Sequence[int]) -> Tensor:
        captions = encoded.batch.joined()
        masks = [
            encoded.mask(self._vectors(indices, n, [row[n] for row in captions]))
            for n in range(len(captions[0]))
        ]
        return mix_and_separate_loss(torch.stack(masks, dim=1), encoded.magnitude, encoded.targets)

    def _phrase_masks(self, encoded: "_EncodedBatch", indices: Sequence[int]) -> Tensor:
        """Masks of all single-source phrases `(batch, n, P, channels, frames, freq)`.

        Where a mixture has fewer than P phrases the last one stands in again.
        """
        phrases = encoded.batch.phrases
        longest = max(len(part) for row in phrases for part in row)
        rows = []
        for n in range(len(phrases[0])):
            masks = []
            for k in range(longest):
                chosen = [row[n][min(k, len(row[n]) - 1)] for row in phrases]
                masks.append(encoded.mask(self._vectors(indices, 10 + 10 * n + k, chosen)))
            rows.append(torch.stack(masks, dim=1))
        return torch.stack(rows, dim=1)

    def _contrasts(self, indices: Sequence[int]) -> bool:
        """Return whether the contrastive loss is active; all processes must decide alike."""
        late = indices[0] >= self.config.contrastive_after
        return bool(agreed([late], self.device)[0])

    def _contrastive(self, batch: Mixtures, masks: Tensor) -> Tensor:
        """Resynthesise every single-source estimate and compare it with all phrases."""
        assert self.scorer is not None
        own = [
            (i, n, k, phrase)
            for i, row in enumerate(batch.phrases)
            for n, part in enumerate(row)
            for k, phrase in enumerate(part)
        ]
        at = [torch.tensor(column) for column in list(zip(*own, strict=True))[:3]]
        # With the mixture's phase.
        sounds = _mono(masks[at[0], at[1], at[2]] * batch.whole[at[0]])
        every = gathered([phrase for *_, phrase in own])
        distinct = sorted(set(every))
        row_of = {phrase: row for row, phrase in enumerate(distinct)}
        labels = torch.tensor([row_of[phrase] for *_, phrase in own], device=self.device)
        texts = torch.tensor([row_of[phrase] for phrase in every], device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            logits = self.scorer.similarity(sounds.float(), SAMPLE_RATE, distinct)
        return mean_over_all(contrastive_loss(logits[:, texts], labels, texts))

    def _vectors(self, indices: Sequence[int], place: int, labels: Sequence[str]) -> Tensor:
        rows = [
            draw_wording(self.phrases[label], (number, place), self.config.query_noise)
            for number, label in zip(indices, labels, strict=True)
        ]
        return torch.stack(rows).to(self.device)


def _mono(spectra: Tensor) -> Tensor:
    """Return the waveforms `(n, samples)` of complex spectra `(n, channels, frames, freq)`."""
    samples = StftConfig().samples(spectra.shape[-2])
    return istft(spectra.mean(1).transpose(-1, -2), samples, StftConfig())


def _level(magnitude: Tensor) -> Tensor:
    """Return the root mean square of the sounds behind magnitudes, `(batch, 1, 1, 1)`."""
    energy = magnitude.square().mean((1, 2, 3), keepdim=True)
    return (energy / (_WINDOW_ENERGY * StftConfig().n_fft)).sqrt() + 1e-6


class _EncodedBatch:
    """A batch with its features, scaled magnitudes and targets, computed once."""

    def __init__(self, net: TrainableNet[Any], batch: Mixtures) -> None:
        self.batch = batch
        self._net = net
        whole = compute_magnitude(batch.whole)
        scale = _PAPER_N_FFT / StftConfig().n_fft * _LEVEL / _level(whole)
        self.magnitude = scale * whole
        self.targets = scale.unsqueeze(1) * compute_magnitude(batch.parts)
        self._features = net.encode(whole)

    def mask(self, queries: Tensor) -> Tensor:
        """Masks of all bins for queries `(batch, dim)`."""
        return from_bands(self._net.decode(self._features, queries).float().sigmoid())
