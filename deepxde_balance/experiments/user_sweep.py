"""Runs of a user's own problem that have the start, the training and the folder in common."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import in_interval, positive_int
from ..gradients.choose import EngineName
from ..terms.find_terms import find_terms
from ..terms.groups import TermGroups, group_terms
from ..terms.term import rename
from .optimizers import check_optimizer_name
from .run import OtherRunError, check_same
from .strategies import Strategy
from .sweep import train_each
from .training import check_device, on_device, threads_of_a_run
from .user_problem import UserProblem, check_build, make, model_of
from .user_record import UserRecord
from .user_run import FINGERPRINT, Training, UserRun, check_fingerprint, label, train

#: Up to this relative difference, two initial losses of the same problem are the same: other
#: hardware and other numbers of threads round differently.
_SAME_LOSS = 1e-3


class AllRunsFailedError(RuntimeError):
    """Every run of a comparison or of a search failed. The message is that of the first."""


@dataclasses.dataclass(frozen=True)
class UserSweep:
    """How the runs of a problem are trained, whatever their strategies.

    Args:
        build: Gives the problem.
        training: How each run is trained.
        jobs: Runs at a time; -1 for one per core.
        out: The folder of the records.
        engine: The gradient engine.
        device: The device; ``None`` for PyTorch's.
        threads: CPU threads of each run; ``None`` takes ``OMP_NUM_THREADS`` or, if that is not
            set, divides the cores among the jobs.
        checkpoint_every: Seconds from one checkpoint of a run to the next.
        fingerprints: For each seed the :attr:`UserProblem.fingerprint`.
        start: The problem of seed 0, untrained, to check strategies on.
    """

    build: Callable[[], Any]
    training: Training
    jobs: int
    out: str | os.PathLike[str]
    engine: EngineName | None
    device: str | None
    threads: int | None
    checkpoint_every: float
    fingerprints: Sequence[str]
    start: UserProblem

    @classmethod
    def checked(
        cls,
        build: Callable[[], Any],
        iterations: int,
        seeds: int,
        jobs: int,
        out: str | os.PathLike[str],
        *,
        optimizer: str,
        lr: float,
        lbfgs_iterations: int,
        gradient_engine: EngineName | None,
        device: str | None,
        threads: int | None,
        checkpoint_every: float,
    ) -> UserSweep:
        """Checks arguments of :func:`deepxde_balance.compare`, and calls `build` for each seed.

        Raises:
            TypeError, ValueError, ImportError: As :func:`deepxde_balance.compare`.
        """
        check_build(build)
        check_optimizer_name(optimizer)
        iterations = positive_int("iterations", iterations)
        lr = in_interval("lr", lr, 0, math.inf, "()")
        lbfgs_iterations = from_zero("lbfgs_iterations", lbfgs_iterations)
        seeds = positive_int("seeds", seeds)
        if jobs != -1:
            jobs = positive_int("jobs", jobs)
        if threads is not None:
            threads = positive_int("threads", threads)
        in_interval("checkpoint_every", checkpoint_every, 0, math.inf, "[]")
        _check_out(out)
        if device is not None:
            check_device(device)
        with on_device(device):
            fingerprints = [make(build, seed).fingerprint for seed in range(seeds)]
            start = make(build, 0)
            check_fingerprint(start.fingerprint, fingerprints[0], build, 0)
        # `build` may have set DeepXDE's float type.
        training = Training.of_this_process(
            iterations=iterations, optimizer=optimizer, lr=lr, lbfgs_iterations=lbfgs_iterations
        )
        return cls(
            build=build,
            training=training,
            jobs=jobs,
            out=out,
            engine=gradient_engine,
            device=device,
            threads=threads,
            checkpoint_every=checkpoint_every,
            fingerprints=fingerprints,
            start=start,
        )

    @property
    def at_a_time(self) -> int:
        """The number of runs at a time."""
        return os.cpu_count() or 1 if self.jobs < 0 else self.jobs

    def runs(self, strategies: Sequence[Strategy]) -> list[UserRun]:
        """A run of each strategy for each seed."""
        return [
            UserRun(self.build, strategy, seed, self.training, fingerprint)
            for seed, fingerprint in enumerate(self.fingerprints)
            for strategy in strategies
        ]

    def check(self, strategies: Sequence[Strategy]) -> None:
        """Checks before any training that the strategies fit the problem, and the folder's records.

        Raises:
            ValueError, TypeError: If a strategy or the options of `build` don't fit.
            OtherRunError: If a record in the folder is of another problem, or trained otherwise.
            RecordError: If one is damaged, or of a benchmark problem.
        """
        for strategy in strategies:
            if self.training.lbfgs_iterations and not strategy.weighting.can_be_frozen:
                raise ValueError(
                    f"strategies: {strategy.name!r} has no weights that L-BFGS could keep; "
                    f"leave it out, or lbfgs_iterations={self.training.lbfgs_iterations}."
                )
        with on_device(self.device):
            test_losses = self._measured_once(strategies)
        self._check_folder(self.runs(strategies), test_losses)

    def groups(self) -> TermGroups:
        """The groups of the problem's loss terms.

        Raises:
            ValueError, TypeError: If the options of `build` don't fit.
        """
        with on_device(self.device):
            model = model_of(self.start, "equal", **self._compile_args)
            terms = rename(find_terms(model), self.start.compile.get("term_names"))
            return group_terms(terms, self.start.compile.get("loss_groups"))

    def train(self, runs: Sequence[UserRun], title: str | None = None) -> list[tuple[UserRun, str]]:
        """Trains runs to their ends and records them.

        Args:
            runs: The runs.
            title: The text before the progress bar; by default the number of runs.

        Returns:
            The runs that failed, each with the error's message.
        """
        train_one = partial(
            train,
            folder=self.out,
            device=self.device,
            threads=self.threads or threads_of_a_run(self.at_a_time),
            checkpoint_every=self.checkpoint_every,
            engine=self.engine,
        )
        return train_each(runs, train_one, self.out, label, self.jobs, title=title)

    @property
    def _compile_args(self) -> dict[str, Any]:
        return {"optimizer": self.training.optimizer, "lr": self.training.lr}

    def _measured_once(self, strategies: Sequence[Strategy]) -> Mapping[str, float]:
        """Compiles the untrained problem with each strategy and measures it once.

        Returns:
            The test losses of the untrained network by term.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the runs warn, too
            for strategy in strategies:
                model_of(
                    self.start,
                    strategy.weighting,
                    strategy.point_weighting,
                    gradient_engine=self.engine,
                    **self._compile_args,
                )
            model = model_of(self.start, "equal", **self._compile_args)
            self.start.errors(model)
            model.train(iterations=0, verbose=0)
        return dict(zip(model.loss_terms, model.losshistory.loss_test[0], strict=False))

    def _check_folder(self, runs: Sequence[UserRun], test_losses: Mapping[str, float]) -> None:
        """Checks that the folder's records, of whatever strategies, are of the same training."""
        by_seed = {run.seed: run for run in runs}
        for path in sorted(Path(self.out).glob("*/seed*.json")):
            record = UserRecord.load(path)
            identity = by_seed.get(record.seed, runs[0]).identity
            own = ["strategy"] if record.seed in by_seed else ["strategy", FINGERPRINT]
            shared = {k: value for k, value in identity["settings"].items() if k not in own}
            expected = {"problem": identity["problem"], "settings": shared}
            settings = {name: record.settings.get(name) for name in shared}
            check_same(expected, {"problem": record.problem, "settings": settings}, path)
            if record.seed == 0:
                _check_losses(record, test_losses)


def from_zero(name: str, value: int) -> int:
    """Returns `value` as an int; raises ValueError unless it is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{name}={value!r} is not allowed: it must be an integer of at least 0.")
    return int(value)


def _check_out(out: str | os.PathLike[str]) -> None:
    """Raises a TypeError unless `out` is a path, and a ValueError if it is that of a file."""
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f'out={out!r} is not allowed: give the path of a folder, such as "runs".')
    if Path(out).exists() and not Path(out).is_dir():
        raise ValueError(f"out={str(out)!r} is not allowed: there is a file of that name.")


def _check_losses(record: UserRecord, test_losses: Mapping[str, float]) -> None:
    """Raises an OtherRunError if the losses of the untrained network are not those recorded."""
    for name, here in test_losses.items():
        there = float(record.test_losses[name][0]) if name in record.test_losses else math.nan
        if not np.isclose(there, here, rtol=_SAME_LOSS, atol=0, equal_nan=True):
            raise OtherRunError(
                f"{record.path} is of another problem: the untrained network's loss of {name!r} "
                f"is {there:.4g} there, {here:.4g} here. Choose another folder."
            )
