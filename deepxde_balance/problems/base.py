"""What every benchmark problem has: its paper's settings, its data and network, its errors."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import deepxde as dde
import numpy as np
import torch

from .. import weightings
from ..model import Model
from ..weightings import GW, Weighting, words
from .networks import DB_SETUP, NetworkSetup
from .own_parameters import from_settings, is_papers
from .sampling import GRID_SIZE, Corner, grid
from .settings import Settings

Groups = Mapping[str, list[int]]

_LBFGS_ITERATIONS_PER_STEP = 100
#: Arguments of a compile with Adam that hold for L-BFGS, too.
_BOTH_PHASES = ("loss", "metrics", "gradient_engine")


class Problem(ABC):
    """A benchmark problem, declared with DeepXDE's objects.

    Args:
        points: Factor on every number of points.
        iterations: Iterations of Adam; ``None`` for the paper's. Those of L-BFGS are shortened in
            proportion. The learning rate still decays when it does in the paper.
        **overrides: Other :class:`Settings`, e.g. ``update_every=1``.

    Raises:
        ValueError: If a setting is out of its range, or would have no effect beside the others.
        TypeError: If there is no such setting.
    """

    name: ClassVar[str]
    #: The settings in the problem's paper.
    paper: ClassVar[Settings]
    #: Groups of terms, by position among the conditions: for the GW and for all other strategies.
    gw_groups: ClassVar[Groups]
    groups: ClassVar[Groups]
    #: Lower and upper corner of the domain.
    domain: ClassVar[tuple[Corner, Corner]]
    #: Evaluation points in each direction.
    evaluation_size: ClassVar[int] = 201
    #: The kinds of points that ``draw_from_grid`` draws.
    drawn_from_grid: ClassVar[Sequence[str]] = ()
    network: ClassVar[NetworkSetup] = DB_SETUP
    num_outputs: ClassVar[int] = 1
    #: The true values of what :meth:`coefficients` identifies.
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
        """The DeepXDE data object, with its random points drawn from `rng`."""

    @abstractmethod
    def solution(self, x: np.ndarray) -> np.ndarray:
        """The reference solution at points x of shape (N, d), shape (N, compared outputs)."""

    def outputs(self, model: dde.Model, x: np.ndarray) -> np.ndarray:
        """What is compared with the solution, shape (N, compared outputs)."""
        outputs: np.ndarray = model.predict(x)
        return outputs

    def variables(self, data: dde.data.PDE) -> list[torch.Tensor]:
        """The external trainable variables of a data object."""
        return []

    def coefficients(self, model: dde.Model) -> dict[str, float]:
        """What the model has identified so far, by name as in `true_coefficients`."""
        values = (variable.item() for variable in self.variables(model.data))
        return dict(zip(self.true_coefficients, values, strict=True))

    def callbacks(self) -> list[dde.callbacks.Callback]:
        """What must go into ``model.train(callbacks=...)``."""
        return []

    def net(self, data: dde.data.PDE) -> dde.nn.FNN:
        """The paper's network."""
        s = self.settings
        layers = [len(self.domain[0]), *[s.width] * s.depth, self.num_outputs]
        return self.network(data, self.domain, layers)

    def model(self, weights: Any = "db-kurtosis", seed: int = 0, **compile_args: Any) -> Model:
        """A model compiled with Adam.

        Args:
            weights: What `loss_weights` of :meth:`deepxde_balance.Model.compile` takes. A
                strategy's name takes the problem's parameters, see :meth:`weighting`; an object
                keeps its own.
            seed: Of the points and of the network's initial parameters.
            **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`; `loss`,
                `metrics` and `gradient_engine` are those of L-BFGS in :meth:`train`, too.
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
        """Compiles the second phase: L-BFGS (strong Wolfe, history 100) with the weights kept.

        DeepXDE's options of L-BFGS are global, and stay set. DeepXDE's step makes up to 100
        iterations, so that callbacks, e.g. one that saves the model, come in between.

        Args:
            model: A model that this problem made, trained.
            iterations: At most so many iterations.
            **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`.
        """
        if iterations < 1:
            raise ValueError(f"iterations={iterations!r} is not allowed: it must be at least 1.")
        steps = math.ceil(iterations / _LBFGS_ITERATIONS_PER_STEP)
        per_step = iterations // steps
        dde.optimizers.set_LBFGS_options(maxcor=100, maxiter=steps * per_step)
        options = dde.optimizers.config.LBFGS_options  # DeepXDE sets these two on import only
        options["iter_per_step"] = per_step
        options["fun_per_step"] = 25 * per_step  # its line search's limit: iterations end a step
        model.compile(
            "L-BFGS",
            loss_weights="keep",
            external_trainable_variables=self.variables(model.data),
            **compile_args,
        )

    def phases(self, model: Model, verbose: int = 1) -> Iterator[tuple[str, int]]:
        """The paper's phases of training: Adam, then L-BFGS unless Adam diverged.

        L-BFGS comes if `lbfgs_iterations` says so. The model is compiled for a phase when that
        phase comes out of the iterator; whoever iterates trains it before asking for the next.

        Args:
            model: A model that this problem made.
            verbose: Of the second phase's compile.

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
        """Trains in all phases of the paper, see :meth:`phases`.

        Args:
            model: A model that this problem made.
            **train_arguments: Arguments of :meth:`deepxde_balance.Model.train`; `iterations` are
                those of Adam; `callbacks` are called after the problem's own.
        """
        arguments = dict(train_arguments)
        arguments["callbacks"] = [*self.callbacks(), *(arguments.get("callbacks") or [])]
        given = arguments.pop("iterations", None)
        for phase, iterations in self.phases(model, arguments.get("verbose", 1)):
            if phase == "adam" and given is not None:
                iterations = given
            model.train(iterations=iterations, **arguments)

    def full_word(self, word: str) -> str:
        """A strategy's word with what the problem's settings alone don't tell of it.

        That is an `update_every` that the problem was given, for a strategy that is not GW, DN or
        DB: without, it keeps its own. Weights that never change have none.

        Args:
            word: A strategy's name, with parameters if there are any: ``"dn:beta=0.9"``.

        Returns:
            The word as :func:`deepxde_balance.weightings.words.normalized` has it.
        """
        name, parameters = words.parse(word)
        return words.written(name, self._beside_settings(name, parameters) | parameters)

    def weighting(self, name: str, **parameters: Any) -> Weighting:
        """The strategy of that name, with the problem's parameters where none are given.

        GW, DN and DB take the settings' `update_every`, GW their alpha, DB its paper's average.
        Other strategies take an `update_every` that the problem was given, and else keep their
        own; weights that never change have none.

        Args:
            name: A strategy's name, with parameters if there are any: ``"dn:beta=0.9"``.
            **parameters: More of the strategy's parameters.
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
        """Equispaced points over the domain, its edges included, shape (N, d), ij-indexed."""
        return grid(*self.domain, self.evaluation_size)

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
