"""What every benchmark problem has: its paper's settings, its data and network, its errors."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import deepxde as dde
import numpy as np
import torch

from .. import weightings
from ..model import Model
from ..weightings import GW, GradientWeighting, Weighting

Groups = Mapping[str, list[int]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a problem's paper.

    Args:
        width: Neurons in each hidden layer.
        depth: Number of hidden layers.
        num_points: Number of points for each kind of term.
        iterations: Iterations of Adam.
        decay_every: Iterations after which the learning rate is multiplied with `decay_rate`;
            ``None`` for a constant rate.
        decay_rate: That factor.
        update_every: Iterations between updates of the weights.
        gw_alpha: The GW strategies' alpha.
        lr: Adam's learning rate.
    """

    width: int
    depth: int
    num_points: Mapping[str, int]
    iterations: int
    update_every: int
    gw_alpha: float
    decay_every: int | None = None
    decay_rate: float = 1.0
    lr: float = 1e-3


class Problem(ABC):
    """A benchmark problem, declared with DeepXDE's objects.

    Args:
        points: Factor on every number of points.
        iterations: Iterations of Adam; ``None`` for the paper's. The learning rate still decays
            when it does in the paper.
        **overrides: Other :class:`Settings`, e.g. ``update_every=1``.

    Raises:
        ValueError: If `points` or `iterations` is not positive.
        TypeError: If there is no such setting.
    """

    name: ClassVar[str]
    #: The settings in the problem's paper.
    paper: ClassVar[Settings]
    #: Groups of terms, by position among the conditions: for the GW and for all other strategies.
    gw_groups: ClassVar[Groups]
    groups: ClassVar[Groups]
    #: Lower and upper corner of the domain.
    domain: ClassVar[tuple[tuple[float, float], tuple[float, float]]]

    def __init__(self, points: float = 1.0, iterations: int | None = None, **overrides: Any):
        if not points > 0:
            raise ValueError(f"points={points!r} is not allowed: it must be positive.")
        if iterations is not None and iterations < 1:
            raise ValueError(f"iterations={iterations!r} is not allowed: it must be at least 1.")
        if iterations is not None:
            overrides["iterations"] = iterations
        scaled = {k: max(round(n * points), 2) for k, n in self.paper.num_points.items()}
        self.settings = dataclasses.replace(self.paper, **({"num_points": scaled} | overrides))

    @property
    def iterations(self) -> int:
        """Iterations of Adam."""
        return self.settings.iterations

    @abstractmethod
    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        """The DeepXDE data object, with its random points drawn from `rng`."""

    @abstractmethod
    def solution(self, x: np.ndarray) -> np.ndarray:
        """The reference solution at points x of shape (N, 2), shape (N, compared outputs)."""

    def outputs(self, model: dde.Model, x: np.ndarray) -> np.ndarray:
        """What is compared with the solution, shape (N, compared outputs)."""
        return model.predict(x)

    def net(self, data: dde.data.PDE) -> dde.nn.FNN:
        """The paper's network, its inputs normalised by the residual points' mean and deviation."""
        s = self.settings
        net = dde.nn.FNN([2, *[s.width] * s.depth, 1], "tanh", _xavier_normal)
        mean = torch.as_tensor(data.train_x_all.mean(axis=0))
        std = torch.as_tensor(data.train_x_all.std(axis=0))
        net.apply_feature_transform(lambda x: (x - mean) / std)
        return net

    def model(self, weights: Any = "db-kurtosis", seed: int = 0, **compile_args: Any) -> Model:
        """A compiled model.

        Args:
            weights: What `loss_weights` of :meth:`deepxde_balance.Model.compile` takes. A
                strategy's name takes the paper's `update_every` and alpha.
            seed: Of the points and of the network's initial parameters.
            **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`.
        """
        dde.config.set_random_seed(seed)
        data = self.data(np.random.default_rng(seed))
        model = Model(data, self.net(data))
        s = self.settings
        weighting = self.weighting(weights) if isinstance(weights, str) else weights
        compile_args.setdefault("lr", s.lr)
        if s.decay_every is not None:
            compile_args.setdefault("decay", ("step", s.decay_every, s.decay_rate))
        if isinstance(weighting, Weighting):
            gw = isinstance(weighting, GW)
            compile_args.setdefault("loss_groups", self.gw_groups if gw else self.groups)
        model.compile("adam", loss_weights=weighting, **compile_args)
        return model

    def weighting(self, name: str) -> Weighting:
        """The strategy of that name, with the paper's `update_every` and alpha."""
        weighting = weightings.get(name)
        if not isinstance(weighting, GradientWeighting):
            return weighting
        parameters: dict[str, Any] = {"update_every": self.settings.update_every}
        if isinstance(weighting, GW):
            parameters["alpha"] = self.settings.gw_alpha
        return weightings.get(name, **parameters)

    @cached_property
    def evaluation_points(self) -> np.ndarray:
        """201 x 201 points, equispaced over the domain, shape (40401, 2)."""
        return grid(*self.domain, 201)

    @cached_property
    def _solution_there(self) -> np.ndarray:
        return self.solution(self.evaluation_points)

    def errors(self, model: dde.Model) -> dict[str, float]:
        """The errors on the evaluation points.

        Returns:
            ``"L2RE"``: relative L2 error; ``"MAE"``: mean absolute error. Fractions, not %.
        """
        difference = self.outputs(model, self.evaluation_points) - self._solution_there
        l2 = np.linalg.norm(difference) / np.linalg.norm(self._solution_there)
        return {"L2RE": float(l2), "MAE": float(np.abs(difference).mean())}


def grid(low: tuple[float, float], high: tuple[float, float], n: int) -> np.ndarray:
    """n x n equispaced points of a rectangle, its edges included, shape (n * n, 2)."""
    axes = [np.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


def draw_from_grid(
    rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float], number: int
) -> np.ndarray:
    """`number` different points of the 1001 x 1001 grid, as the DB experiments draw theirs."""
    chosen = rng.choice(1001 * 1001, size=number, replace=False)
    return grid(low, high, 1001)[chosen]


def edge(axis: int, at: float, low: float, high: float, number: int) -> np.ndarray:
    """`number` equispaced points on the edge x[axis] = at, the other coordinate in [low, high]."""
    points = np.full((number, 2), float(at))
    points[:, 1 - axis] = np.linspace(low, high, number)
    return points


def _xavier_normal(weight: torch.Tensor) -> None:
    torch.nn.init.xavier_normal_(weight, gain=5 / 3)
