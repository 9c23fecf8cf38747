"""A run of a user's own problem with one strategy: trained, or resumed, and recorded."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import deepxde as dde
import numpy as np

from .._deepxde import lbfgs
from ..gradients.choose import EngineName
from ..model import Model
from ..results.record import FORMAT, Record, write_json
from .callbacks import Checkpoints, IterationsDone
from .optimizers import versions
from .own_numbers import OwnNumbers
from .recorder import ErrorRecorder
from .strategies import Strategy
from .training import by_term, history_entries, train_once, train_phase
from .user_problem import UserProblem, make, model_of, name_of

#: The setting with the checksum of what a run starts from.
FINGERPRINT = "untrained network and points"


@dataclasses.dataclass(frozen=True)
class Training:
    """How each run is trained.

    Args:
        iterations: Iterations of `optimizer`.
        optimizer: The optimizer, one of :data:`~.optimizers.OPTIMIZERS`.
        lr: Its learning rate.
        lbfgs_iterations: Iterations of L-BFGS after that.
        float_type: DeepXDE's float type.
        autodiff: DeepXDE's kind of differentiation.
    """

    iterations: int
    optimizer: str
    lr: float
    lbfgs_iterations: int
    float_type: str
    autodiff: str

    @classmethod
    def of_this_process(cls, **settings: Any) -> Training:
        """The settings given, and DeepXDE's settings in this process."""
        return cls(**settings, float_type=_float_type(), autodiff=dde.config.autodiff)

    def take_deepxde_settings(self) -> None:
        """Sets DeepXDE as it was set where the runs were made; a worker process starts afresh."""
        if _float_type() != self.float_type:
            dde.config.set_default_float(self.float_type)
        if dde.config.autodiff != self.autodiff:
            dde.config.set_default_autodiff(self.autodiff)


@dataclasses.dataclass(frozen=True)
class UserRun:
    """The inputs that decide the result of a run.

    Args:
        build: Gives the problem.
        strategy: The strategy.
        seed: The seed that is set before `build` is called.
        training: How it is trained.
        fingerprint: The :attr:`UserProblem.fingerprint` that `build` must give again.
    """

    build: Callable[[], Any]
    strategy: Strategy
    seed: int
    training: Training
    fingerprint: str

    @property
    def iterations(self) -> int:
        """The number of iterations of both phases together."""
        return self.training.iterations + self.training.lbfgs_iterations

    def record(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's JSON file in a folder of records."""
        return Path(folder) / self.strategy.folder / f"seed{self.seed}.json"

    def unfinished(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's folder of checkpoints, deleted when the run is finished."""
        return self.record(folder).with_suffix(".unfinished")

    @property
    def identity(self) -> dict[str, Any]:
        """The entries by which a record is the record of this run, in the types of JSON."""
        settings = {
            **dataclasses.asdict(self.training),
            "strategy": self.strategy.parameters,
            FINGERPRINT: self.fingerprint,
        }
        identity: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "problem": name_of(self.build),
                    "weights": self.strategy.name,
                    "seed": self.seed,
                    "settings": settings,
                }
            )
        )
        return identity


def label(run: UserRun) -> str:
    """A run in a few words."""
    return f"{run.strategy.name}, seed {run.seed}"


def train(
    run: UserRun,
    folder: str | os.PathLike[str],
    device: str | None = None,
    threads: int | None = None,
    checkpoint_every: float = 60.0,
    engine: EngineName | None = None,
    callbacks: Sequence[dde.callbacks.Callback] = (),
) -> Record:
    """Trains a run to its end and writes its record, or reads the record if it exists already.

    A run that was killed goes on from its last checkpoint, and its record is the same.

    Args:
        run: The run.
        folder: The folder of the records.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...; ``None`` leaves PyTorch's as it is.
        threads: The number of PyTorch's CPU threads; ``None`` leaves it as it is.
        checkpoint_every: Seconds from one checkpoint to the next.
        engine: The gradient engine, see :meth:`deepxde_balance.Model.compile`.
        callbacks: More callbacks.

    Returns:
        The record.

    Raises:
        RecordError, OtherRunError, CheckpointError, BlockingIOError: As for a run of a benchmark
            problem.
        ValueError: If `build` gave another network or other points than before.
    """
    run.training.take_deepxde_settings()
    work = partial(_train, run, folder, checkpoint_every, engine, callbacks)
    return train_once(run, folder, work, device, threads)


def check_fingerprint(found: str, expected: str, build: Callable[[], Any], seed: int) -> None:
    """Raises a ValueError if `build` gave another network or other points for the same seed."""
    if found != expected:
        raise ValueError(
            f"{name_of(build)}() gave another network or other points for the same seed ({seed}): "
            "strategies are compared from the same start. Make both inside of it, with the random "
            "numbers of DeepXDE, NumPy and PyTorch, whose seeds are set before it is called."
        )


def _train(
    run: UserRun,
    folder: str | os.PathLike[str],
    checkpoint_every: float,
    engine: EngineName | None,
    callbacks: Sequence[dde.callbacks.Callback],
) -> Record:
    problem = make(run.build, run.seed)
    check_fingerprint(problem.fingerprint, run.fingerprint, run.build, run.seed)
    training = run.training
    model = model_of(
        problem,
        run.strategy.weighting,
        run.strategy.point_weighting,
        optimizer=training.optimizer,
        lr=training.lr,
        gradient_engine=engine,
    )
    recorder = ErrorRecorder(problem.errors)
    part = run.unfinished(folder)
    write_json(part / "run.json", run.identity)
    common = [*problem.callbacks, recorder, IterationsDone(part / "iterations"), *callbacks]
    with _lbfgs_options_put_back():
        for phase, iterations in _phases(model, problem, training, engine):
            # L-BFGS starts from the last checkpoint of Adam when the run is resumed.
            end = iterations if phase == "adam" and training.lbfgs_iterations else None
            saving = Checkpoints(part / phase, checkpoint_every, last_step=end)
            train_phase(model, saving, common, iterations)
    path = run.record(folder)
    write_json(path, _content(run, model, recorder))
    return Record.load(path)


def _phases(
    model: Model, problem: UserProblem, training: Training, engine: EngineName | None
) -> Iterator[tuple[str, int]]:
    """The phases, named as the checkpoints are, and their iterations.

    The model is compiled for a phase when the iterator yields it. L-BFGS is left out where the
    first phase diverged.
    """
    yield "adam", training.iterations
    iterations = training.lbfgs_iterations
    if iterations and np.isfinite(model.train_state.loss_train).all():
        lbfgs.limit_iterations(iterations)
        both = ("loss", "metrics", "external_trainable_variables", "points_per_pass")
        given = {name: problem.compile[name] for name in both if name in problem.compile}
        model.compile("L-BFGS", loss_weights="keep", gradient_engine=engine, verbose=0, **given)
        yield "lbfgs", iterations


@contextmanager
def _lbfgs_options_put_back() -> Iterator[None]:
    """A context after which DeepXDE's options of L-BFGS, which are global, are as before."""
    before = dict(dde.optimizers.LBFGS_options)
    try:
        yield
    finally:
        dde.optimizers.LBFGS_options.update(before)


def _content(run: UserRun, model: Model, recorder: ErrorRecorder) -> dict[str, Any]:
    """The entries of the record."""
    point_weights = {
        term: {"mean": weights.mean(), "largest": weights.max()}
        for term, weights in model.point_weights.items()
    }
    entries = history_entries(model)
    entries["versions"] |= versions(run.training.optimizer)
    test_losses = by_term(model.loss_terms, model.losshistory.loss_test)
    if isinstance(run.strategy.weighting, OwnNumbers):  # DeepXDE multiplies the losses with them
        for losses in (entries["losses"], test_losses):
            _divide(losses, model.weights)
    return {
        "format": FORMAT,
        **run.identity,
        "paper": {},
        **entries,
        "test_losses": test_losses,
        "errors": recorder.errors,
        "coefficients": {},
        "true_coefficients": {},
        "final": {name: values[-1] for name, values in recorder.errors.items()},
        "weights_now": model.weights,
        **({"point_weights_now": point_weights} if point_weights else {}),
        "seconds": recorder.seconds,
        "seconds_per_iteration": recorder.training_seconds / max(model.train_state.step, 1),
    }


def _divide(losses: dict[str, np.ndarray], weights: Mapping[str, float]) -> None:
    """Divides losses by their weights; those of weight 0 stay 0, as they are not known."""
    for name, weight in weights.items():
        losses[name] = losses[name] / (weight or 1)


def _float_type() -> str:
    return "mixed" if dde.config.mixed else str(dde.config.default_float())
