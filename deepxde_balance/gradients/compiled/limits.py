"""When an iteration is traced and compiled, and when that would happen too often to pay."""

from __future__ import annotations

import deepxde as dde

from ..._deepxde.batch import Batch, BatchSnapshot

#: A trace takes as long as about 50 uncompiled evaluations: points have to stay for more than that.
FEWEST_EVALUATIONS = 100

#: At most this many traces may be replaced before they served so many evaluations.
MOST_SHORT_TRACES = 10

#: A compilation takes up to a minute: at most this many are made.
MOST_COMPILATIONS = 10


class TraceLimits:
    """Counts an engine's traces and compilations, and refuses those that would not pay.

    Points are traced in the second iteration that has them, so that mini-batches are refused
    before anything is traced. Once an iteration is traced, new points are traced at once.
    """

    def __init__(self) -> None:
        self._points: BatchSnapshot | None = None
        #: The evaluation in which the points became new; ``None`` if that was before training.
        self._new_at: int | None = None
        self._traced_at: int | None = None
        self._short_traces = 0
        self._compilations = 0

    def begin(self, model: dde.Model) -> None:
        """Called when training begins, after which points are not to change often.

        Args:
            model: The model, with the points that the iteration before had, if there was one.

        Raises:
            ValueError: If a callback will resample the points too often.
        """
        self._points = self._new_at = None
        data = model.data
        if model.train_state.step > 0:
            self._points = BatchSnapshot(Batch(data.train_x, data.train_y, data.train_aux_vars))
        if model.callbacks is None or dde.optimizers.is_external_optimizer(model.opt_name):
            return  # an external optimizer makes many evaluations between two calls of a callback
        for callback in model.callbacks.callbacks:
            if (
                isinstance(callback, dde.callbacks.PDEPointResampler)
                and callback.period < FEWEST_EVALUATIONS
            ):
                raise ValueError(
                    f"PDEPointResampler(period={callback.period}) resamples the points too often, "
                    f"they have to stay for {FEWEST_EVALUATIONS} iterations"
                )

    def allow_trace(self, batch: Batch, evaluation: int, first: bool) -> bool:
        """Whether to trace now, or to evaluate uncompiled and ask again in the next iteration.

        Args:
            batch: The points.
            evaluation: How many evaluations were made before.
            first: Whether there is no trace yet that a new one would replace.

        Raises:
            ValueError: If points, or what else a trace depends on, change too often.
        """
        if self._points is None or not self._points.is_(batch):
            if self._new_at is not None and evaluation - self._new_at < FEWEST_EVALUATIONS:
                raise ValueError(
                    f"points were new after {evaluation - self._new_at} evaluation(s), they have "
                    f"to stay for {FEWEST_EVALUATIONS}"
                )
            self._points, self._new_at = BatchSnapshot(batch), evaluation
            if first:
                return False
        if self._traced_at is not None and evaluation - self._traced_at < FEWEST_EVALUATIONS:
            self._short_traces += 1
            if self._short_traces > MOST_SHORT_TRACES:
                raise ValueError(
                    "points, trainable parameters or what a loss reads were new "
                    f"{self._short_traces} times within {FEWEST_EVALUATIONS} evaluations"
                )
        self._traced_at = evaluation
        return True

    def count_compilation(self) -> None:
        """Counts a compilation that is about to be made.

        Raises:
            ValueError: If there were too many.
        """
        self._compilations += 1
        if self._compilations > MOST_COMPILATIONS:
            raise ValueError(
                "the number of points, the trainable parameters or the operations of a loss were "
                f"new {self._compilations} times, and each takes a compilation"
            )
