"""The per-group engine: one backward per group of terms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
        return deepxde_losses(self.model, batch, self._loss_functions(measure)).losses

    def _loss_functions(
        self, measure: Measure | None
    ) -> list[Callable[[Tensor, Tensor], Tensor]] | None:
        """The measure as DeepXDE's loss functions: one per term, of targets and outputs."""
        if measure is None:
            return None
        return [partial(_of_errors, measure, i) for i in range(len(self.groups.terms))]

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses = self.losses(batch, measure)
        rows = self.row_losses(losses)
        per_row = [
            grad([loss], parameters.all, retain_graph=i < len(rows) - 1)
            for i, loss in enumerate(rows)
        ]
        return lay_out(losses, per_row, parameters)


def _of_errors(measure: Measure, term: int, _: Tensor, errors: Tensor) -> Tensor:
    """A loss function of DeepXDE, whose target is 0 for ``dde.data.PDE``."""
    return measure(term, errors)
