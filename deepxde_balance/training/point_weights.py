"""Weights of points: inside the losses of an iteration, and with their points through a run."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch, BatchSnapshot
from .._deepxde.no_trace import no_trace
from .._deepxde.stock_losses import deepxde_losses
from ..gradients.base import GradientEngine
from ..weightings import SA, Weighting
from ..weightings.base import Reads


class PointWeights:
    """Puts a weighting's weights of points into the losses, and lets them follow their points.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` with the loss "MSE".
        weighting: The weights of the points.
        engine: Gives the errors.
    """

    def __init__(self, model: dde.Model, weighting: SA, engine: GradientEngine):
        self._model = model
        self._weighting = weighting
        self._groups, self._scale = engine.groups, engine.scale
        #: The points of each term's weights.
        self._points: dict[int, np.ndarray] = {}
        self._seen: BatchSnapshot | None = None
        #: The errors at the iteration's first evaluation, by term.
        self._errors: dict[int, Tensor] = {}

    @classmethod
    def of(
        cls, model: dde.Model, weighting: Weighting, engine: GradientEngine
    ) -> PointWeights | None:
        """Those of a weighting; ``None`` if it has no weights of points."""
        if weighting.reads is not Reads.POINT_ERRORS:
            return None
        assert isinstance(weighting, SA)
        return cls(model, weighting, engine)

    def begin(self, batch: Batch) -> None:
        """Called before an iteration, with its points."""
        self._follow(batch)
        self._errors = {}

    def loss(self, term: int, errors: Tensor) -> Tensor:
        """A term's loss from its errors: what an engine takes as `measure`."""
        if term in self._groups.unweighted:
            return errors.square().mean()
        if self._weighting.number(term) != len(errors):
            self._settle(term, len(errors))
        self._errors.setdefault(term, errors.detach())
        return self._weighting.loss(term, errors)

    def ascend(self) -> None:
        """Lets the weights climb the losses of the iteration."""
        self._weighting.ascend(self._errors, self._scale, self._groups.members)

    def state_dict(self) -> dict[int, Tensor]:
        """The points of each term's weights."""
        return {i: torch.from_numpy(points.copy()) for i, points in self._points.items()}

    def load_state_dict(self, state: dict[int, Tensor]) -> None:
        """Takes over saved points."""
        self._points = {i: points.cpu().numpy() for i, points in state.items()}
        self._seen = None

    def _settle(self, term: int, number: int) -> None:
        """Starts a term's weights, or the weights of points that can't be told from others."""
        residual = self._groups.terms[term].condition is None
        if self._weighting.number(term) is None:
            self._weighting.start(term, number, residual)
        else:
            self._weighting.carry_over(term, torch.full((number,), -1), residual)

    def _follow(self, batch: Batch) -> None:
        """Lets the weights follow their points, if the batch is a new one."""
        if self._seen is not None and self._seen.is_(batch):
            return
        self._seen = BatchSnapshot(batch)
        inputs = self._seen.batch.inputs  # which stay as they are
        starts = np.cumsum([0, *self._model.data.num_bcs]).tolist()
        conditions = 0
        for i, term in enumerate(self._groups.terms):
            if term.condition is None:
                points = inputs[starts[-1] :]
            else:
                points = inputs[starts[conditions] : starts[conditions + 1]]
                conditions += 1
            number, before = self._weighting.number(i), self._points.get(i)
            self._points[i] = points
            if number is None or before is None or np.array_equal(before, points):
                continue
            points_per_error = len(before) // number  # PeriodicBC has one error for two points
            old = positions(before[:number], points[: len(points) // max(points_per_error, 1)])
            self._weighting.carry_over(i, torch.from_numpy(old), term.condition is None)


def positions(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """For each row of `now` its position among the rows of `before`, -1 if it is not there."""
    known = {row.tobytes(): k for k, row in enumerate(np.ascontiguousarray(before))}
    return np.array([known.get(row.tobytes(), -1) for row in np.ascontiguousarray(now)], dtype=int)


def check_reads(model: dde.Model, weighting: Weighting) -> None:
    """Refuses a model that does not have what a weighting reads.

    Args:
        model: A compiled model.
        weighting: The weighting.

    Raises:
        ValueError: If it reads errors at points and the losses are not made of any, or has
            weights of points and a loss is another than "MSE".
    """
    data, name = model.data, type(weighting).__name__
    own = not isinstance(data, dde.data.PDE) or type(data).losses is not dde.data.PDE.losses
    if weighting.reads.needs_errors and (own or "losses" in vars(data)):
        raise ValueError(
            f"{name} needs the errors at the points, which only dde.data.PDE and TimePDE tell, not "
            f"{type(data).__name__} with losses of its own."
        )
    if weighting.reads is not Reads.POINT_ERRORS:
        return
    with no_trace(model.net):
        loss_fn = deepxde_losses(model, Batch(*data.train_next_batch())).loss_fn
    functions = [loss_fn] if callable(loss_fn) else list(loss_fn)
    if any(function is not dde.losses.mean_squared_error for function in functions):
        raise ValueError(
            'Weights per point ("sa") weigh squared errors: compile with loss="MSE", or use '
            '"sa-term".'
        )
