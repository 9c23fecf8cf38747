"""The state of a model's training that the model, `compile` and checkpoints share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import deepxde as dde
import numpy as np

from .._deepxde.test_points import TestPoints
from ..gradients.choose import ANY_ENGINE, EngineAsked
from ..terms.term import TermNames
from .step import TrainStep

_ATTRIBUTE = "_training_run"


class Pending(Protocol):
    """A restored state that is applied when training begins."""

    #: The state, as in a checkpoint.
    state: dict[str, Any]

    def begin(self, model: dde.Model) -> None:
        """Called when training begins, after the callbacks' `on_train_begin`."""


@dataclasses.dataclass
class TrainingRun:
    """The state of a model's training that DeepXDE's model has no place for.

    Args:
        step: The training step; ``None`` while DeepXDE's own step trains.
        engine_asked: What `compile` was asked of the gradient engine.
        term_names: The names of residuals that `compile` was given.
        numbers_given: The numbers that `compile` was given as weights; ``None`` for a strategy.
        list_given: The list that it was given, which a script may change.
        pending: A restored state that is to be applied when training begins.
        in_training: Whether a `train` is in progress.
        calls_at_begin: The number of iterations that `step` had made when this `train` began.
        last_step: The iteration at which this `train` ends; ``None`` if unknown.
        lbfgs_start: The number of L-BFGS iterations before this `train`.
        counts: What each ``ModelCheckpoint`` had counted when this iteration's callbacks began.
        test_points: Updates the test points when the conditions' points change.
    """

    step: TrainStep | None = None
    engine_asked: EngineAsked = ANY_ENGINE
    term_names: TermNames | None = None
    numbers_given: list[float] | None = None
    list_given: Any = None
    pending: Pending | None = None
    in_training: bool = False
    calls_at_begin: int = 0
    last_step: int | None = None
    lbfgs_start: int = 0
    counts: dict[Any, int] = dataclasses.field(default_factory=dict)
    test_points: TestPoints | None = None


def run_of(model: dde.Model) -> TrainingRun:
    """The training run of a model. It is an attribute of the model, made in the first call."""
    if _ATTRIBUTE not in vars(model):
        setattr(model, _ATTRIBUTE, TrainingRun())
    run: TrainingRun = getattr(model, _ATTRIBUTE)
    return run


def present_point_weights(model: dde.Model) -> dict[str, np.ndarray]:
    """The present weights of the points by term; empty where none are weighed."""
    step = run_of(model).step
    if step is None or step.points is None:
        return {}
    return {name: weights for name, (_, weights) in step.points.present().items()}


@contextmanager
def unchanged_on_error(model: dde.Model) -> Iterator[None]:
    """Restores a model's attributes and its run if the context ends in an error.

    Attributes that were added in the context are removed.
    """
    run = run_of(model)
    model_before, run_before = dict(vars(model)), dict(vars(run))
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(model_before)
        vars(run).update(run_before)
        raise
