"""Whether training on a device gives the weights and parameters that the CPU gives."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance.checkpoints.last import checkpoints
from deepxde_balance.experiments.training import on_device
from deepxde_balance.gradients.choose import EngineName
from deepxde_balance.problems import Problem

#: Strategies that draw random numbers, which are others on another device.
RANDOM = ("auto", "ntk", "relobralo", "sa")

#: A larger difference, relative, is more than rounding makes in float64 in some dozens of
#: iterations.
ALLOWED = 1e-6


@dataclasses.dataclass(frozen=True)
class Case:
    """A training to compare.

    Args:
        strategy: The name of the strategy.
        point_weights: The name of the point weighting, if there is one.
        second_half: What follows on the first half of the iterations: ``"adam"``, ``"lbfgs"`` or
            ``"restored"``, which is Adam from a checkpoint that was written on the CPU.
    """

    strategy: str
    point_weights: str | None = None
    second_half: str = "adam"

    @property
    def label(self) -> str:
        parts = [self.strategy, self.point_weights, self.second_half]
        return ", ".join(part for part in parts if part is not None)


def strategies() -> list[Case]:
    """Every strategy that draws no random numbers, by Adam."""
    names = [name for name in ddb.weightings.names() if name not in (*RANDOM, "keep")]
    return [Case(name) for name in names]


#: Beside the strategies, once for each engine.
OTHERS = (
    Case("db-kurtosis", "rba"),
    Case("db-kurtosis", "brdr", "lbfgs"),
    Case("db-kurtosis", "rba", "restored"),
)


def differences(
    cases: Sequence[Case],
    device: str,
    engine: EngineName,
    iterations: int = 50,
    points: float = 0.1,
) -> dict[str, dict[str, float]]:
    """How far the weights and the parameters are from those of the CPU, in float64.

    On the CPU, the per-group engine trains.

    Args:
        cases: The trainings.
        device: The device.
        engine: The engine on the device.
        iterations: The number of iterations.
        points: Factor on Klein-Gordon's number of points.

    Returns:
        For each case by its label the largest difference of ``"weights"`` and ``"parameters"``,
        each divided by the largest number of the CPU's.
    """
    problem = ddb.problems.get("klein-gordon", points, iterations=iterations)
    found = {}
    with _float64(), tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases):
            prefix = Path(folder) / str(number)
            expected = _trained(problem, case, "cpu", "per-group", prefix)
            got = _trained(problem, case, device, engine, prefix)
            found[case.label] = {
                name: float(np.abs(got[name] - value).max() / np.abs(value).max())
                for name, value in expected.items()
            }
    return found


def _trained(
    problem: Problem, case: Case, device: str, engine: EngineName, prefix: Path
) -> dict[str, np.ndarray]:
    """Trains, and returns the weights and the parameters.

    Args:
        problem: The problem.
        case: The training.
        device: The device.
        engine: The gradient engine.
        prefix: The path of the checkpoint that the first of two calls writes and the second reads.
    """
    half = problem.iterations // 2
    with on_device("cpu"):  # another device draws other initial parameters
        initial = [p.detach().clone() for p in _model(problem, case, "per-group").net.parameters()]
    with on_device(device):
        model = _model(problem, case, engine)
        with torch.no_grad():
            for p, value in zip(model.net.parameters(), initial, strict=True):
                p.copy_(value)
        saved = checkpoints(prefix)
        if saved:
            model.restore(str(saved[-1]))
        else:
            model.train(iterations=half, verbose=0)
        if case.second_half == "restored" and not saved:
            model.save(str(prefix))
        if case.second_half == "lbfgs":
            problem.compile_lbfgs(model, half, gradient_engine=engine, verbose=0)
            model.train(verbose=0)
        else:
            model.train(iterations=problem.iterations - half, verbose=0)
    parameters = [p.detach().reshape(-1).cpu().numpy() for p in model.net.parameters()]
    return {
        "weights": np.array(list(model.weights.values())),
        "parameters": np.concatenate(parameters),
    }


def _model(problem: Problem, case: Case, engine: EngineName) -> ddb.Model:
    often = {"update_every": 5} if ddb.weightings.get(case.strategy).dynamic else {}
    return problem.model(
        problem.weighting(case.strategy, **often),
        gradient_engine=engine,
        point_weights=case.point_weights,
        loss_groups=problem.groups,
        verbose=0,
    )


@contextmanager
def _float64() -> Iterator[None]:
    before = dde.config.default_float()
    dde.config.set_default_float("float64")
    try:
        yield
    finally:
        dde.config.set_default_float(before)


def too_large(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The labels of the cases whose differences are more than rounding."""
    return [label for label, of in found.items() if not max(of.values()) <= ALLOWED]
