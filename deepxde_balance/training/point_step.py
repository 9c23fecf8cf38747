"""One training iteration with a weight per point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch, BatchSnapshot
from .._deepxde.no_trace import no_trace
from .._deepxde.stock_losses import deepxde_losses
from ..gradients.base import GradientEngine
from ..weightings import SA
from .step import TrainStep, autocast


class PointwiseStep(TrainStep):
    """A :class:`TrainStep` whose weights are inside the losses.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` with the loss "MSE".
        weighting: The weights of the points.
        engine: Gives errors and losses.
    """

    weighting: SA

    def __init__(self, model: dde.Model, weighting: SA, engine: GradientEngine):
        super().__init__(model, weighting, engine)
        self._points: dict[int, np.ndarray] = {}
        self._seen: BatchSnapshot | None = None
        self._errors: dict[int, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "points": {i: torch.from_numpy(p.copy()) for i, p in self._points.items()}
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._points = {i: points.cpu().numpy() for i, points in state["points"].items()}
        self._seen = None

    def _iterate(self, batch: Batch) -> None:
        due = self.weighting.due()
        self._follow(batch)
        self._errors = {}
        super()._iterate(batch)
        if due:
            self.weighting.ascend(self._errors, self.engine.scale, self.engine.groups.members)

    def _closure(self, batch: Batch) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            self.model.opt.zero_grad()
            with autocast():
                loss = self._loss(batch)
                loss.backward(inputs=self.engine.parameters().all)
            return loss

        return closure

    def _graph_closure(self, batch: Batch) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            self.model.opt.zero_grad()
            return self._loss(batch)

        return closure

    def _loss(self, batch: Batch) -> Tensor:
        first = not self._errors

        def measure(term: int, errors: Tensor) -> Tensor:
            if term in self.engine.groups.unweighted:
                return errors.square().mean()
            if self.weighting.number(term) != len(errors):
                self._settle(term, len(errors))
            if first:
                self._errors[term] = errors.detach()
            return self.weighting.loss(term, errors)

        losses = self.engine.losses(batch, measure)
        return self.engine.scaled_sum(losses, range(len(losses))) + self._penalty()

    def _settle(self, term: int, number: int) -> None:
        """Starts a term's weights, or the weights of points that can't be told from others."""
        residual = self.engine.groups.terms[term].condition is None
        if self.weighting.number(term) is None:
            self.weighting.start(term, number, residual)
        else:
            self.weighting.carry_over(term, torch.full((number,), -1), residual)

    def _follow(self, batch: Batch) -> None:
        """Lets the weights follow their points, if the batch is a new one."""
        if self._seen is not None and self._seen.is_(batch):
            return
        self._seen = BatchSnapshot(batch)
        inputs = self._seen.batch.inputs  # which stay as they are
        starts = np.cumsum([0, *self.model.data.num_bcs]).tolist()
        conditions = 0
        for i, term in enumerate(self.engine.groups.terms):
            if term.condition is None:
                points = inputs[starts[-1] :]
            else:
                points = inputs[starts[conditions] : starts[conditions + 1]]
                conditions += 1
            number, before = self.weighting.number(i), self._points.get(i)
            self._points[i] = points
            if number is None or before is None or np.array_equal(before, points):
                continue
            errors_per_point = len(before) // number  # PeriodicBC has one for two points
            old = positions(before[:number], points[: len(points) // max(errors_per_point, 1)])
            self.weighting.carry_over(i, torch.from_numpy(old), term.condition is None)


def positions(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """For each row of `now` its position among the rows of `before`, -1 if it is not there."""
    known = {row.tobytes(): k for k, row in enumerate(np.ascontiguousarray(before))}
    return np.array([known.get(row.tobytes(), -1) for row in np.ascontiguousarray(now)], dtype=int)


def check_squares(model: dde.Model) -> None:
    """Refuses a model whose losses are no mean squares.

    Args:
        model: A compiled model.

    Raises:
        ValueError: If a loss is another than "MSE".
    """
    with no_trace(model.net):
        loss_fn = deepxde_losses(model, Batch(*model.data.train_next_batch())).loss_fn
    functions = [loss_fn] if callable(loss_fn) else list(loss_fn)
    if any(function is not dde.losses.mean_squared_error for function in functions):
        raise ValueError(
            'Weights per point ("sa") weigh squared errors: compile with loss="MSE", or use '
            '"sa-term".'
        )
