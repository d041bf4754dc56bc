"""A step of a training run is taken only when loss and gradients are finite.

One NaN would spoil all weights, their average and the checkpoint. A step that is refused changes
nothing; several in a row end the run while what was saved before is still good.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from separate.errors import DataError
from separate.train import distributed

MOST_REFUSED = 10  # steps in a row


class StepGuard:
    """Counts refused steps; one a training loop."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        log: Callable[[str], None],
        buffers: Iterable[Tensor] = (),
    ) -> None:
        """Begin a loop.

        Args:
            parameters: All that the loop changes.
            log: Called with a line for each step that is refused.
            buffers: Running statistics, which a forward pass changes: a refused one's are undone.
        """
        self._buffers = list(buffers)
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._parameters = list(parameters)
        self._log = log
        self._refused = 0

    def allows(self, loss: Tensor) -> bool:
        """Whether the step may be taken; call it after `backward` and before any clipping.

        Under `torchrun` all processes get one answer, since they must take the same steps.

        Args:
            loss: Of this step, a scalar.

        Raises:
            DataError: So many steps in a row had no finite loss or gradient that training has
                failed.
        """
        if self._is_finite(loss):
            self._refused = 0
            for kept, buffer in zip(self._kept, self._buffers, strict=True):
                kept.copy_(buffer)
            return True
        with torch.no_grad():
            for kept, buffer in zip(self._kept, self._buffers, strict=True):
                buffer.copy_(kept)
        self._refused += 1
        self._log(f"a step is left out: loss {float(loss.detach()):g} or its gradient isn't finite")
        if self._refused >= MOST_REFUSED:
            raise DataError(
                f"{self._refused} steps in a row gave no finite loss or gradient; the last"
                " checkpoint is good: go on with a lower --learning-rate, or look at the data"
            )
        return False

    def _is_finite(self, loss: Tensor) -> bool:
        grads = [p.grad for p in self._parameters if p.grad is not None]
        values = [grad.coalesce().values() if grad.is_sparse else grad for grad in grads]
        finite = torch.stack([torch.isfinite(value).all() for value in (loss.detach(), *values)])
        return not distributed.agreed([float(not finite.all())], loss.device)[0]
