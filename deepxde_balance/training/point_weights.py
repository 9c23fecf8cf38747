"""Point weights in training: they enter the losses, and follow their points to new batches."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch, BatchSnapshot, condition_spans
from .._deepxde.no_trace import no_trace
from .._deepxde.stock_losses import deepxde_losses
from ..gradients.base import GradientEngine
from ..weightings import Weighting
from ..weightings.base import Reads
from ..weightings.kinds import FromPointErrors


class PointWeights:
    """Applies the point weights of a weighting, and matches them with the points of each batch.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` with the loss "MSE".
        weighting: The weighting, which holds the point weights.
        engine: The engine that computes the losses.
    """

    def __init__(self, model: dde.Model, weighting: FromPointErrors, engine: GradientEngine):
        self._model = model
        self._weighting = weighting
        self._groups, self._scale = engine.groups, engine.scale
        #: For each term the points that its weights belong to.
        self._points: dict[int, np.ndarray] = {}
        self._seen: BatchSnapshot | None = None
        #: The errors in the first evaluation of an iteration, by term.
        self._errors: dict[int, Tensor] = {}

    @classmethod
    def of(
        cls, model: dde.Model, weighting: Weighting, engine: GradientEngine
    ) -> PointWeights | None:
        """The point weights of a weighting; ``None`` if it has none."""
        if not isinstance(weighting, FromPointErrors):
            return None
        return cls(model, weighting, engine)

    def begin(self, batch: Batch) -> None:
        """Called before each iteration with its points."""
        self._follow_points(batch)
        self._errors = {}

    def loss(self, term: int, errors: Tensor) -> Tensor:
        """A term's loss with its point weights, shape (); an engine's `measure`.

        Args:
            term: The term's position.
            errors: The term's errors, one per point.
        """
        if term in self._groups.unweighted:
            return errors.square().mean()
        if self._weighting.number(term) != len(errors):
            self._start(term, len(errors))
        self._errors.setdefault(term, errors.detach())
        return self._weighting.loss(term, errors)

    def ascend(self) -> None:
        """Updates the weights by gradient ascent on the losses of the iteration."""
        self._weighting.ascend(self._errors, self._scale, self._groups.members)

    def state_dict(self) -> dict[int, Tensor]:
        """For each term the points that its weights belong to."""
        return {i: torch.from_numpy(points.copy()) for i, points in self._points.items()}

    def load_state_dict(self, state: dict[int, Tensor]) -> None:
        """Restores the points that :meth:`state_dict` returned."""
        self._points = {i: points.cpu().numpy() for i, points in state.items()}
        self._seen = None

    def _start(self, term: int, number: int) -> None:
        """Gives a term fresh weights: at first, or when its number of errors has changed."""
        residual = self._groups.terms[term].condition is None
        if self._weighting.number(term) is None:
            self._weighting.start(term, number, residual)
        else:
            self._weighting.carry_over(term, torch.full((number,), -1), residual)

    def _follow_points(self, batch: Batch) -> None:
        """Matches the weights with the points of a new batch."""
        if self._seen is not None and self._seen.is_(batch):
            return
        self._seen = BatchSnapshot(batch)
        inputs = self._seen.batch.inputs  # a copy, which no script changes
        spans = iter(condition_spans(self._model.data))
        first_residual = sum(self._model.data.num_bcs)
        for i, term in enumerate(self._groups.terms):
            if term.condition is None:
                points = inputs[first_residual:]
            else:
                points = inputs[slice(*next(spans))]
            number, before = self._weighting.number(i), self._points.get(i)
            self._points[i] = points
            if number is None or before is None or np.array_equal(before, points):
                continue
            points_per_error = len(before) // number  # a PeriodicBC has one error for two points
            old = positions(before[:number], points[: len(points) // max(points_per_error, 1)])
            self._weighting.carry_over(i, torch.from_numpy(old), term.condition is None)


def positions(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """For each row of `now` its position among the rows of `before`, -1 if it is not among them."""
    known = {row.tobytes(): k for k, row in enumerate(np.ascontiguousarray(before))}
    return np.array([known.get(row.tobytes(), -1) for row in np.ascontiguousarray(now)], dtype=int)


def _losses_are_of_errors(data: dde.data.Data) -> bool:
    """Whether each loss is that of one term's errors at its points, as far as DeepXDE's code is."""
    if not isinstance(data, dde.data.PDE) or {"losses", "losses_train"} & set(vars(data)):
        return False
    known = (dde.data.PDE, dde.data.IDE, dde.data.FPDE)
    return type(data).losses is dde.data.PDE.losses and type(data).losses_train in [
        kind.losses_train for kind in known
    ]


def check_reads(model: dde.Model, weighting: Weighting) -> None:
    """Refuses a model that does not provide what a weighting reads.

    Args:
        model: A compiled model.
        weighting: The weighting.

    Raises:
        ValueError: If the weighting reads errors at points, but the losses are not made of such
            errors; or if it has point weights, but a loss is not "MSE".
    """
    data, name = model.data, type(weighting).__name__
    if weighting.reads.needs_errors and not _losses_are_of_errors(data):
        raise ValueError(
            f"{name} needs the errors at the points, which only dde.data.PDE, TimePDE, IDE, FPDE "
            f"and TimeFPDE tell, not {type(data).__name__} with losses of its own. Use "
            'loss_weights="equal"; with several terms, a strategy that reads losses alone ("capu").'
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
