"""The base class of the benchmark problems: settings, data, network, training and errors."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import deepxde as dde
import numpy as np
import torch

from .. import weightings
from .._deepxde import lbfgs
from ..model import Model
from ..weightings import GW, Weighting, words
from .networks import DB_SETUP, NetworkSetup
from .sampling import GRID_SIZE, Corner, grid
from .settings import Settings
from .strategy_parameters import from_settings, is_papers

Groups = Mapping[str, list[int]]

#: The arguments of the compile with Adam that the compile with L-BFGS gets too.
_BOTH_PHASES = ("loss", "metrics", "gradient_engine", "points_per_pass")


class Problem(ABC):
    """A benchmark problem, declared with DeepXDE's objects.

    Args:
        points: Factor on every number of points.
        iterations: Iterations of Adam; ``None`` for the paper's number. With fewer iterations
            L-BFGS has proportionally fewer too. The learning rate decays at the same iterations as
            in the paper.
        **overrides: Other :class:`Settings`, e.g. ``update_every=1``.

    Raises:
        ValueError: If a setting is out of its range, or would have no effect with the others.
        TypeError: If there is no such setting.

    Example:
        >>> import deepxde_balance as ddb
        >>> problem = ddb.problems.get("klein-gordon", points=0.01, iterations=20)
        >>> model = problem.model("db-kurtosis", verbose=0)
        >>> problem.train(model, verbose=0)
        >>> list(problem.errors(model))
        ['L2RE', 'MAE']
    """

    name: ClassVar[str]
    #: The settings in the problem's paper.
    paper: ClassVar[Settings]
    #: The groups of the GW strategies: positions among the conditions, by name.
    gw_groups: ClassVar[Groups]
    #: The groups of all other strategies.
    groups: ClassVar[Groups]
    #: Lower and upper corner of the domain.
    domain: ClassVar[tuple[Corner, Corner]]
    #: The number of evaluation points in each direction.
    evaluation_size: ClassVar[int] = 201
    #: The kinds of points that :func:`~deepxde_balance.problems.sampling.draw_from_grid` draws.
    drawn_from_grid: ClassVar[Sequence[str]] = ()
    network: ClassVar[NetworkSetup] = DB_SETUP
    num_outputs: ClassVar[int] = 1
    #: The true values of the coefficients that :meth:`coefficients` identifies.
    true_coefficients: ClassVar[Mapping[str, float]] = {}

    def __init__(self, points: float = 1.0, iterations: int | None = None, **overrides: Any):
        self.settings = self.paper.changed(points, iterations, overrides)
        self._given = overrides
        for kind in self.drawn_from_grid:
            if self.settings.num_points[kind] > GRID_SIZE**2:
                raise ValueError(
                    f"num_points[{kind!r}]={self.settings.num_points[kind]} is not allowed: they "
                    f"are drawn from a {GRID_SIZE} x {GRID_SIZE} grid, so at most {GRID_SIZE**2}."
                )

    @property
    def iterations(self) -> int:
        """Iterations of Adam."""
        return self.settings.iterations

    @abstractmethod
    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        """A new DeepXDE data object, with random points from `rng`."""

    @abstractmethod
    def solution(self, x: np.ndarray) -> np.ndarray:
        """The reference solution at points x of shape (N, d), shape (N, k)."""

    def outputs(self, model: dde.Model, x: np.ndarray) -> np.ndarray:
        """The model's values to compare with the solution at points x, shape (N, k)."""
        outputs: np.ndarray = model.predict(x)
        return outputs

    def variables(self, data: dde.data.PDE) -> list[torch.Tensor]:
        """The external trainable variables of a data object."""
        return []

    def coefficients(self, model: dde.Model) -> dict[str, float]:
        """The coefficients that the model has identified, by the names in `true_coefficients`."""
        values = (variable.item() for variable in self.variables(model.data))
        return dict(zip(self.true_coefficients, values, strict=True))

    def callbacks(self) -> list[dde.callbacks.Callback]:
        """The callbacks that ``model.train`` needs for this problem."""
        return []

    def net(self, data: dde.data.PDE) -> dde.nn.FNN:
        """The paper's network."""
        s = self.settings
        layers = [len(self.domain[0]), *[s.width] * s.depth, self.num_outputs]
        return self.network(data, self.domain, layers)

    def model(self, weights: Any = "db-kurtosis", seed: int = 0, **compile_args: Any) -> Model:
        """A new model, compiled with Adam.

        Args:
            weights: The `loss_weights` of :meth:`deepxde_balance.Model.compile`. A strategy that
                is given by its name gets the problem's parameters, see :meth:`weighting`; an
                object does not.
            seed: The seed of the points and of the network's initial parameters.
            **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`. `loss`,
                `metrics`, `gradient_engine` and `points_per_pass` are also used for L-BFGS in
                :meth:`train`.

        Raises:
            ValueError, TypeError: As :meth:`deepxde_balance.Model.compile`.
        """
        dde.config.set_random_seed(seed)
        data = self.data(np.random.default_rng(seed))
        model = Model(data, self.net(data))
        s = self.settings
        weighting = self.weighting(weights) if isinstance(weights, str) else weights
        model.second_phase = {k: compile_args[k] for k in _BOTH_PHASES if k in compile_args}
        if s.decay_every is not None:
            compile_args.setdefault("decay", ("step", s.decay_every, s.decay_rate))
        if isinstance(weighting, Weighting):
            gw = isinstance(weighting, GW)
            compile_args.setdefault("loss_groups", self.gw_groups if gw else self.groups)
        variables = self.variables(data)
        model.compile(
            torch.optim.Adam(
                [*model.net.parameters(), *variables],
                lr=compile_args.pop("lr", s.lr),
                betas=s.betas,
            ),
            loss_weights=weighting,
            external_trainable_variables=variables,
            **compile_args,
        )
        return model

    def compile_lbfgs(self, model: Model, iterations: int, **compile_args: Any) -> None:
        """Compiles the second phase: L-BFGS (strong Wolfe, history 100) with frozen weights.

        This sets DeepXDE's options of L-BFGS, which are global. A step of DeepXDE then makes at
        most 100 iterations, so that callbacks are called often enough to save the model.

        Args:
            model: A trained model of this problem.
            iterations: The largest number of iterations, at least 1.
            **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`.

        Raises:
            ValueError: If `iterations` is below 1.
        """
        if iterations < 1:
            raise ValueError(f"iterations={iterations!r} is not allowed: it must be at least 1.")
        lbfgs.limit_iterations(iterations)
        model.compile(
            "L-BFGS",
            loss_weights="keep",
            external_trainable_variables=self.variables(model.data),
            **compile_args,
        )

    def phases(self, model: Model, verbose: int = 1) -> Iterator[tuple[str, int]]:
        """The paper's phases of training: Adam, then L-BFGS.

        The second phase is left out if `lbfgs_iterations` is 0 or Adam diverged. The model is
        compiled for a phase when the iterator yields it, and must be trained before the iterator
        goes on.

        Args:
            model: A model of this problem, compiled with Adam.
            verbose: The `verbose` of the compile with L-BFGS.

        Yields:
            The phase, ``"adam"`` or ``"lbfgs"``, and its number of iterations.
        """
        yield "adam", self.iterations
        iterations = self.settings.lbfgs_iterations
        if iterations and np.isfinite(model.train_state.loss_train).all():
            compile_args = {"verbose": verbose} | getattr(model, "second_phase", {})
            self.compile_lbfgs(model, iterations, **compile_args)
            yield "lbfgs", iterations

    def train(self, model: Model, **train_arguments: Any) -> None:
        """Trains a model in all phases of the paper, see :meth:`phases`.

        Args:
            model: A model of this problem, compiled with Adam.
            **train_arguments: Arguments of :meth:`deepxde_balance.Model.train`. `iterations` is
                the number for Adam. `callbacks` are called after the problem's own callbacks.
        """
        arguments = dict(train_arguments)
        arguments["callbacks"] = [*self.callbacks(), *(arguments.get("callbacks") or [])]
        given = arguments.pop("iterations", None)
        for phase, iterations in self.phases(model, arguments.get("verbose", 1)):
            if phase == "adam" and given is not None:
                iterations = given
            model.train(iterations=iterations, **arguments)

    def full_word(self, word: str) -> str:
        """The word with all parameters that can't be told from the problem's settings.

        GW, DN and DB always use the `update_every` of the settings. Other strategies have a
        default of their own, and use that of the settings only if it was given as an override. In
        that case their word gets the parameter `update_every`.

        Args:
            word: The name or word of a strategy, see :func:`deepxde_balance.weightings.get`.

        Returns:
            The word in its one normal form, see
            :func:`deepxde_balance.weightings.words.normalized`.

        Raises:
            ValueError: If the word can't be read.
        """
        words.check_alone(word)
        name, parameters = words.parse(word)
        return words.written(name, self._beside_settings(name, parameters) | parameters)

    def weighting(self, name: str, **parameters: Any) -> Weighting:
        """A new weighting of a strategy, with the problem's parameters where none are given.

        These are the settings' `update_every` for GW, DN and DB, the settings' `gw_alpha` for GW,
        and the running mean for DB. Other strategies get an `update_every` only if it was given
        as an override, and the weights can change.

        Args:
            name: The name or word of a strategy, see :func:`deepxde_balance.weightings.get`.
            **parameters: More of the strategy's parameters.

        Raises:
            ValueError, TypeError: As :func:`deepxde_balance.weightings.get`.
        """
        name, given = words.parse(name, **parameters)
        own = from_settings(name, dataclasses.asdict(self.settings))
        own |= self._beside_settings(name, given)
        return weightings.get(name, **(own | given))

    def _beside_settings(self, name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that a strategy has from what the problem was given."""
        if "update_every" not in self._given or is_papers(name):
            return {}
        dynamic = weightings.get(name, **parameters).dynamic
        return {"update_every": self.settings.update_every} if dynamic else {}

    @cached_property
    def evaluation_points(self) -> np.ndarray:
        """Equispaced points over the domain and its edges, shape (N, d), ij-indexed."""
        return grid(*self.domain, self.evaluation_size)

    @cached_property
    def _evaluation_solution(self) -> np.ndarray:
        return self.solution(self.evaluation_points)

    def errors(self, model: dde.Model) -> dict[str, float]:
        """The errors of a model on the evaluation points.

        Returns:
            ``"L2RE"``, the relative L2 error, and ``"MAE"``, the mean absolute error; both are
            fractions, not %.
        """
        difference = self.outputs(model, self.evaluation_points) - self._evaluation_solution
        l2 = np.linalg.norm(difference) / np.linalg.norm(self._evaluation_solution)
        return {"L2RE": float(l2), "MAE": float(np.abs(difference).mean())}
