"""The state of a model's training, for all that have a part in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import deepxde as dde

from .._deepxde.test_points import TestPoints
from ..gradients.choose import EngineName
from .step import TrainStep

_ATTRIBUTE = "_training_run"


class Pending(Protocol):
    """A restored state that waits for training to begin."""

    state: dict[str, Any]

    def begin(self, model: dde.Model) -> None:
        """Called when training begins, after the callbacks' `on_train_begin`."""


@dataclasses.dataclass
class TrainingRun:
    """Where the training of a model stands, beside what DeepXDE's model holds itself.

    Args:
        step: Our step that trains it; ``None`` where DeepXDE's own does.
        engine_asked: The gradient engine that `compile` was given.
        pending: What a checkpoint has brought and training is yet to take up.
        in_training: Whether it is in the middle of a `train`.
        last_step: The iteration at which this `train` ends; ``None`` if that is not known.
        lbfgs_start: Iterations that L-BFGS had made when this `train` began.
        test_points: What lets the test points follow the conditions' points.
    """

    step: TrainStep | None = None
    engine_asked: EngineName | None = None
    pending: Pending | None = None
    in_training: bool = False
    last_step: int | None = None
    lbfgs_start: int = 0
    test_points: TestPoints | None = None


def run_of(model: dde.Model) -> TrainingRun:
    """The run of a model, which the model owns; a stock model gets one when it is first asked."""
    return vars(model).setdefault(_ATTRIBUTE, TrainingRun())


@contextmanager
def unchanged_on_error(model: dde.Model) -> Iterator[None]:
    """Puts a model's attributes and its run back if the context ends in an error.

    Attributes that came in the meantime are removed.
    """
    run = run_of(model)
    of_model, of_run = dict(vars(model)), dict(vars(run))
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(of_model)
        vars(run).update(of_run)
        raise
