"""The best step of a training whose weights change.

DeepXDE keeps the step with the lowest sum of losses, and its callbacks judge by this sum, too.
Under weights that change, an early network may have the lowest one, as it meets a term that counts
little later. Here two records are compared by their weighted sums, both with the weights of the
later record. ``benchmarks/suite/best_step.py`` compares this rule with others.
"""

from __future__ import annotations

from collections.abc import Iterable

import deepxde as dde
import numpy as np

_JUDGING = (dde.callbacks.ModelCheckpoint, dde.callbacks.EarlyStopping)


def weighted(
    losses: np.ndarray, losses_at_best: np.ndarray | None, weights: np.ndarray | None
) -> tuple[float, float] | None:
    """The weighted losses of a record and of the best one, with the same weights.

    Args:
        losses: The losses of a record.
        losses_at_best: Those of the best record so far; ``None`` if they are unknown.
        weights: Their weights at the present record; ``None`` where all count the same.

    Returns:
        The two sums; ``None`` if the sums of the losses decide, as in DeepXDE.
    """
    if weights is None or losses_at_best is None:
        return None
    if not len(losses) == len(losses_at_best) == len(weights):
        return None
    return float(np.dot(weights, losses)), float(np.dot(weights, losses_at_best))


class TrainState(dde.model.TrainState):
    """DeepXDE's state of a training, with a best step by weighted losses.

    `best_loss_train` is the sum of the losses at the best step, as in DeepXDE.
    """

    #: The weights of the losses in `loss_train` at the present record, which are set before the
    #: record is made; ``None`` where all count the same.
    record_weights: np.ndarray | None = None

    #: The losses at the best step.
    losses_at_best: np.ndarray | None = None

    @classmethod
    def take_over(cls, model: dde.Model) -> None:
        """Gives the state of a stock model this class."""
        state, history = model.train_state, model.losshistory
        state.__class__ = cls
        if state.losses_at_best is None and state.best_step in history.steps:
            state.losses_at_best = history.loss_train[history.steps.index(state.best_step)]

    def update_best(self) -> None:
        sums = weighted(self.loss_train, self.losses_at_best, self.record_weights)
        if sums is None or not np.isfinite(self.best_loss_train):
            sums = np.sum(self.loss_train), self.best_loss_train
        if sums[0] < sums[1]:
            self.disregard_best()
            super().update_best()
            self.losses_at_best = self.loss_train


class LowerAtPresentWeights:
    """In the place of a callback's `monitor_op`: whether the losses are lower than the best ones.

    Args:
        callback: The ``ModelCheckpoint`` or ``EarlyStopping``. It gets an attribute
            `losses_at_best`, beside its `best`.
    """

    def __init__(self, callback: dde.callbacks.Callback):
        self.callback = callback

    def __eq__(self, other: object) -> bool:
        """``EarlyStopping`` begins at infinity if its `monitor_op` equals ``np.less``."""
        return other is np.less or self is other

    __hash__ = object.__hash__

    def __call__(self, value: float, best: float) -> bool:
        """Whether the record is better. If it is, the callback takes its `value` as `best`.

        Args:
            value: The sum of the record's losses, and perhaps a `min_delta`.
            best: The callback's `best`.
        """
        lowest = self._best_now(best)
        if not self._is_better(value, best):
            return False
        self.callback.best = lowest  # the callback's message compares with it
        self.callback.losses_at_best = self._losses
        return True

    def state_after(self) -> dict[str, float | np.ndarray | None]:
        """What the callback's attributes are after it has compared this record."""
        best, at_best = self.callback.best, self.callback.losses_at_best
        value = self.callback.get_monitor_value()
        if at_best is self._losses or self._is_better(value, best):
            best, at_best = value, self._losses
        return {"best": best, "losses_at_best": at_best}

    def _is_better(self, value: float, best: float) -> bool:
        compared = self._compared(best)
        if compared is None:
            return bool(value < best)
        now, at_best = compared
        total = self.callback.get_monitor_value()
        # A `min_delta` is a part of the sum of the losses, and the same part of the weighted one.
        return bool(now < at_best if value == total else now * (value / total) < at_best)

    def _best_now(self, best: float) -> float:
        """The best loss in the units of the present sum of losses."""
        compared = self._compared(best)
        if compared is None or not compared[0]:
            return best
        return float(self.callback.get_monitor_value() * compared[1] / compared[0])

    def _compared(self, best: float) -> tuple[float, float] | None:
        """The weighted losses of this record and of the best; ``None`` if the sums decide."""
        if not np.isfinite(best):
            return None
        weights = getattr(self.callback.model.train_state, "record_weights", None)
        return weighted(self._losses, self.callback.losses_at_best, weights)

    @property
    def _losses(self) -> np.ndarray:
        state = self.callback.model.train_state
        losses: np.ndarray = (
            state.loss_test if "test" in self.callback.monitor else state.loss_train
        )
        return losses


def judge_by_weights(callbacks: Iterable[dde.callbacks.Callback]) -> None:
    """Lets ``ModelCheckpoint(save_better_only=True)`` and ``EarlyStopping`` judge by the weights.

    It is called when a training has begun. Callbacks that compare otherwise, or compare something
    else than DeepXDE's, are left as they are.
    """
    for callback in callbacks:
        if not isinstance(callback, _JUDGING) or not getattr(callback, "save_better_only", True):
            continue
        if type(callback).get_monitor_value not in [kind.get_monitor_value for kind in _JUDGING]:
            continue
        new = getattr(callback, "monitor_op", None) is np.less
        if new:
            callback.monitor_op = LowerAtPresentWeights(callback)
        if new or isinstance(callback, dde.callbacks.EarlyStopping):  # which starts afresh
            callback.losses_at_best = None
