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
        losses = measure(self._errors(batch))
        return [losses[i] for i in range(len(losses))]

    def _errors(self, batch: Batch) -> dict[int, Tensor]:
        """The errors of every term, by its position."""
        errors: dict[int, Tensor] = {}
        deepxde_losses(self.model, batch, _ErrorTakers(errors, len(self.groups.terms)))
        return errors

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses = self.losses(batch, measure)
        rows = self.row_losses(losses)
        per_row = [
            grad([loss], parameters.all, retain_graph=i < len(rows) - 1)
            for i, loss in enumerate(rows)
        ]
        return lay_out(losses, per_row, parameters)


class _ErrorTakers(list[Callable[[Tensor, Tensor], Tensor]]):
    """Stand in for DeepXDE's loss functions of targets and outputs, one per term, to take errors.

    A target is 0, and an output is a term's errors. Integro-differential and fractional problems
    know one loss function only: they call the list itself, for one term after the other.

    Args:
        errors: Gets the errors by the position of the term.
        num_terms: The number of terms.
    """

    def __init__(self, errors: dict[int, Tensor], num_terms: int):
        super().__init__(partial(_take, errors, i) for i in range(num_terms))
        self._next = iter(self)

    def __call__(self, targets: Tensor, errors: Tensor) -> Tensor:
        return next(self._next)(targets, errors)


def _take(into: dict[int, Tensor], term: int, _: Tensor, errors: Tensor) -> Tensor:
    into[term] = errors
    return errors.new_zeros(())
