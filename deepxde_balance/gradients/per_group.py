"""The per-group engine: one backward per group of terms."""

from __future__ import annotations

from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.stock_losses import deepxde_losses
from ..terms.same_terms import check_same_number
from .base import GradientEngine, IterationGradients, Measure, grad, lay_out


class PerGroupEngine(GradientEngine):
    """Differentiates each group's loss, as DeepXDE computes it, in a backward of its own.

    It is right for any data class and network.
    """

    name = "per-group"

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        if measure is None:
            stock = deepxde_losses(self.model, batch).losses
            check_same_number(len(stock), self.groups.terms)
            return stock
        losses = measure(self._errors(batch))
        return [losses[i] for i in range(len(losses))]

    def _errors(self, batch: Batch) -> dict[int, Tensor]:
        """The errors of every term, by its position.

        They are what DeepXDE's one loss function is called with, for one term after the other,
        residuals first. Its targets are 0.
        """
        errors: dict[int, Tensor] = {}

        def take(_: Tensor, of_term: Tensor) -> Tensor:
            errors[len(errors)] = of_term
            return of_term.new_zeros(())

        deepxde_losses(self.model, batch, take)
        check_same_number(len(errors), self.groups.terms)
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
