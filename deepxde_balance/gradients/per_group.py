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
        if measure is None:
            return deepxde_losses(self.model, batch).losses
        functions = _LossFunctions(measure, len(self.groups.terms))
        return deepxde_losses(self.model, batch, functions).losses

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses = self.losses(batch, measure)
        rows = self.row_losses(losses)
        per_row = [
            grad([loss], parameters.all, retain_graph=i < len(rows) - 1)
            for i, loss in enumerate(rows)
        ]
        return lay_out(losses, per_row, parameters)


class _LossFunctions(list[Callable[[Tensor, Tensor], Tensor]]):
    """A measure as DeepXDE's loss functions of targets and outputs, one per term.

    A target is 0, and an output is a term's errors. Integro-differential and fractional problems
    know one loss function only: they call the list itself, for one term after the other.
    """

    def __init__(self, measure: Measure, num_terms: int):
        super().__init__(partial(_of_errors, measure, i) for i in range(num_terms))
        self._next = iter(self)

    def __call__(self, targets: Tensor, errors: Tensor) -> Tensor:
        return next(self._next)(targets, errors)


def _of_errors(measure: Measure, term: int, _: Tensor, errors: Tensor) -> Tensor:
    return measure(term, errors)
