"""The per-group engine: one backward per group of terms."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.stock_losses import deepxde_losses
from .base import GradientEngine, IterationGradients, Measure, grad, lay_out


class PerGroupEngine(GradientEngine):
    """Differentiates each group's loss, as DeepXDE computes it, in a backward of its own.

    It is right for any data class and network.
    """

    name = "per-group"

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        loss_fn = None if measure is None else _one_after_the_other(measure)
        return deepxde_losses(self.model, batch, loss_fn).losses

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses = self.losses(batch, measure)
        rows = self.row_losses(losses)
        per_row = [
            grad([loss], parameters.all, retain_graph=i < len(rows) - 1)
            for i, loss in enumerate(rows)
        ]
        return lay_out(losses, per_row, parameters)


def _one_after_the_other(measure: Measure) -> Callable[[Tensor, Tensor], Tensor]:
    """A measure as DeepXDE's one loss function of targets, which are 0, and outputs, the errors.

    DeepXDE calls it for one term after the other, residuals first.
    """
    terms = itertools.count()
    return lambda _, errors: measure(next(terms), errors)
