"""The best step of a training whose weights change.

DeepXDE keeps the step with the lowest sum of losses, and its callbacks judge by this sum, too.
Under weights that change, an early network may have the lowest one, as it meets a term that counts
little later. Here two records are compared by their weighted sums, both with the weights of the
later record. ``benchmarks/suite/best_step.py`` compares this rule with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import deepxde as dde
import numpy as np

_JUDGING = (dde.callbacks.ModelCheckpoint, dde.callbacks.EarlyStopping)


def to_beat(
    best: float,
    losses_at_best: np.ndarray | None,
    losses: np.ndarray,
    weights: np.ndarray | None,
) -> float:
    """The value that the sum of a record's losses must be below to be better than the best record.

    Args:
        best: The sum of the losses of the best record so far; infinite if there is none.
        losses_at_best: These losses; ``None`` if they are unknown.
        losses: The record's losses.
        weights: The weights of the losses at this record; ``None`` where all count the same.

    Returns:
        `best` without weights. With weights, the value is below the sum of `losses` if and only if
        the weighted sum of `losses_at_best` is below that of `losses`.
    """
    if weights is None or losses_at_best is None or not np.isfinite(best):
        return best
    if not len(losses_at_best) == len(losses) == len(weights):
        return best
    with np.errstate(all="ignore"):
        ratio = np.dot(weights, losses_at_best) / np.dot(weights, losses)
        return float(np.sum(losses) * ratio)


class TrainState(dde.model.TrainState):
    """DeepXDE's state of a training, with a best step by weighted losses.

    `best_loss_train` is the sum of the losses at the best step, as in DeepXDE.

    Args:
        present_weights: Gives the weights of the columns of `loss_train` at a record; ``None``
            where all count the same.
    """

    def __init__(self, present_weights: Callable[[], np.ndarray | None]):
        super().__init__()
        self.present_weights = present_weights
        #: The weights at the last record.
        self.record_weights: np.ndarray | None = None
        self.losses_at_best: np.ndarray | None = None

    @classmethod
    def of(
        cls, state: dde.model.TrainState, present_weights: Callable[[], np.ndarray | None]
    ) -> TrainState:
        """A state with the attributes of another one."""
        made = cls(present_weights)
        made.__dict__.update(vars(state), present_weights=present_weights)
        return made

    def update_best(self) -> None:
        self.record_weights = self.present_weights()
        lowest = to_beat(
            self.best_loss_train, self.losses_at_best, self.loss_train, self.record_weights
        )
        if np.sum(self.loss_train) < lowest:
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
        """Whether `value` is lower than `best`. If it is, the callback takes it as its `best`."""
        lowest = self._to_beat(best)
        if not value < lowest:
            return False
        self.callback.best = lowest  # the callback's message compares with it
        self.callback.losses_at_best = self._losses
        return True

    def state_after(self) -> dict[str, float | np.ndarray | None]:
        """What the callback's attributes are after it has compared this record."""
        best, at_best = self.callback.best, self.callback.losses_at_best
        value = self.callback.get_monitor_value()
        if at_best is self._losses or value < self._to_beat(best):
            best, at_best = value, self._losses
        return {"best": best, "losses_at_best": at_best}

    @property
    def _losses(self) -> np.ndarray:
        state = self.callback.model.train_state
        losses: np.ndarray = (
            state.loss_test if "test" in self.callback.monitor else state.loss_train
        )
        return losses

    def _to_beat(self, best: float) -> float:
        weights = getattr(self.callback.model.train_state, "record_weights", None)
        return to_beat(best, self.callback.losses_at_best, self._losses, weights)


def judge_by_weights(callbacks: Iterable[dde.callbacks.Callback]) -> None:
    """Lets ``ModelCheckpoint(save_better_only=True)`` and ``EarlyStopping`` judge by the weights.

    It is called when a training has begun. Callbacks with a `monitor_op` of their own are left as
    they are.
    """
    for callback in callbacks:
        if not isinstance(callback, _JUDGING) or not getattr(callback, "save_better_only", True):
            continue
        new = getattr(callback, "monitor_op", None) is np.less
        if new:
            callback.monitor_op = LowerAtPresentWeights(callback)
        if new or isinstance(callback, dde.callbacks.EarlyStopping):  # which starts afresh
            callback.losses_at_best = None
