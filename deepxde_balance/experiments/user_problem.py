"""A user's own problem: what `build` gives, checked."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch

from .._checks import is_number, unknown_name
from ..model import Model
from ..point_weightings import PointWeighting
from .optimizers import optimizer_for
from .own_numbers import OwnNumbers

#: What a problem may have beside `data` and `net`.
OPTIONS = ("compile", "solution", "points", "metric", "callbacks")

#: The arguments of `Model.compile` that a problem may give.
COMPILE = (
    "loss",
    "metrics",
    "decay",
    "external_trainable_variables",
    "loss_groups",
    "point_weights",
    "points_per_pass",
    "term_names",
)

_OF_COMPARE = ("optimizer", "lr", "loss_weights", "gradient_engine")


@dataclasses.dataclass(frozen=True)
class UserProblem:
    """What `build` gave.

    Args:
        data: The data object.
        net: The network, untrained.
        compile: More arguments of :meth:`deepxde_balance.Model.compile`.
        solution: From points (N, d) to the solution's values (N, k).
        points: Where the error is measured, shape (N, d); ``None`` stands for the test points, or
            the residual points where there are no others.
        metric: From the model to a number, the smaller the better.
        callbacks: For :meth:`deepxde_balance.Model.train`.
    """

    data: dde.data.Data
    net: torch.nn.Module
    compile: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    solution: Callable[[np.ndarray], np.ndarray] | None = None
    points: np.ndarray | None = None
    metric: Callable[[dde.Model], float] | None = None
    callbacks: Sequence[dde.callbacks.Callback] = ()

    @property
    def fingerprint(self) -> str:
        """A checksum of the network's parameters, the unknowns and the training points.

        The point weights that `build` gave, if any, are part of it.
        """
        digest = hashlib.sha256()
        tensors = [*self.net.state_dict().values(), *self.variables]
        arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
        points = getattr(self.data, "train_x", None)
        parts = points if isinstance(points, (tuple, list)) else [points]
        for array in [*arrays, *parts]:
            if isinstance(array, np.ndarray):
                digest.update(repr((array.shape, array.dtype.str)).encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        if self.compile.get("point_weights") is not None:
            digest.update(_in_words(self.compile["point_weights"]).encode())
        return digest.hexdigest()[:16]

    @property
    def variables(self) -> list[torch.Tensor]:
        """The unknowns that are trained beside the network."""
        given = self.compile.get("external_trainable_variables") or []
        return list(given) if isinstance(given, (list, tuple)) else [given]

    def errors(self, model: dde.Model) -> dict[str, float]:
        """The error of a model by its name: ``"metric"``, ``"L2RE"``, or none.

        Raises:
            TypeError: If the metric gives no number.
            ValueError: If the solution can't be compared with the network's outputs.
        """
        if self.metric is not None:
            return {"metric": _number(self.metric(model))}
        if self.solution is None:
            return {}
        return {"L2RE": self._l2re(model, self.solution)}

    @property
    def _default_points(self) -> Any:
        """The test points; the residual points where the test points are the training points."""
        if isinstance(self.data, dde.data.PDE) and self.data.num_test is None:
            return self.data.train_x_all
        test_points = getattr(self.data, "test_x", None)
        return self.data.test()[0] if test_points is None else test_points

    def _l2re(self, model: dde.Model, solution: Callable[[np.ndarray], np.ndarray]) -> float:
        points = self._default_points if self.points is None else self.points
        predicted = np.asarray(model.predict(points))
        true = np.asarray(solution(points))
        if true.shape != predicted.shape:
            raise ValueError(
                f"build: its solution gives shape {true.shape} at {len(points)} points, the "
                f"network {predicted.shape}: they must be the same. With fewer values than "
                "outputs, give a metric."
            )
        size = np.linalg.norm(true)
        if not 0 < size < np.inf:
            raise ValueError(
                f"build: the norm of its solution at the points is {size}, and a relative error "
                "needs a number above 0: give other points or a metric."
            )
        return float(np.linalg.norm(predicted - true) / size)


def check_build(build: Any) -> None:
    """Raises a TypeError unless `build` can be called without arguments."""
    if not callable(build):
        raise TypeError(
            f"build={build!r} is not allowed: give a function without arguments that returns "
            "data, net."
        )
    try:
        taken = inspect.signature(build).parameters.values()
    except ValueError:  # something built in tells nothing
        return
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in taken if p.default is p.empty and p.kind not in fixed]
    if needed:
        raise TypeError(
            f"build takes arguments ({', '.join(needed)}): give a function without any, e.g. "
            "lambda: my_problem(100)."
        )


def name_of(build: Callable[[], Any]) -> str:
    """The name of the function, or of the class of another callable."""
    return str(getattr(build, "__name__", type(build).__name__))


def make(build: Callable[[], Any], seed: int) -> UserProblem:
    """Calls `build` after setting the seed, and checks what it gives.

    Raises:
        TypeError, ValueError: If that is not ``data, net``, ``data, net, options`` or an object
            with these as attributes.
    """
    dde.config.set_random_seed(seed)
    data, net, options = _parts(build())
    if not isinstance(data, dde.data.Data):
        raise TypeError(f"build: data is of class {type(data).__name__}: give DeepXDE's data.")
    if not isinstance(net, torch.nn.Module):
        raise TypeError(f"build: net is of class {type(net).__name__}: give a network.")
    for name in options:
        if name not in OPTIONS:
            raise unknown_name("option of build", str(name), OPTIONS)
    given = {name: value for name, value in options.items() if value is not None}
    _check_compile(given.get("compile", {}))
    for name in ("solution", "metric"):
        if name in given and not callable(given[name]):
            raise TypeError(f"build: {name}={given[name]!r} is not allowed: give a function.")
    if "points" in given:
        given["points"] = _checked_points(given["points"], data)
    callbacks = given.get("callbacks", ())
    if not isinstance(callbacks, Sequence) or not all(
        isinstance(one, dde.callbacks.Callback) for one in callbacks
    ):
        raise TypeError(f"build: callbacks={callbacks!r} is not allowed: give a list of callbacks.")
    return UserProblem(data, net, **given)


def model_of(
    problem: UserProblem,
    weighting: Any,
    point_weighting: PointWeighting | None = None,
    *,
    optimizer: str,
    lr: float,
    **compile_args: Any,
) -> Model:
    """A new model of the problem, compiled.

    Args:
        problem: The problem.
        weighting: The weighting.
        point_weighting: The strategy's point weighting; ``None`` leaves the problem's own, if any.
        optimizer: The optimizer, one of :data:`~.optimizers.OPTIMIZERS`.
        lr: Its learning rate.
        **compile_args: More arguments of :meth:`deepxde_balance.Model.compile`.

    Raises:
        ValueError: If the problem has point weights and the strategy, too.
        ValueError, TypeError: As :meth:`deepxde_balance.Model.compile`.
    """
    given = dict(problem.compile)
    if point_weighting is not None:
        if given.get("point_weights") is not None:
            raise ValueError(
                "build: compile has point_weights, and a strategy has the point weighting "
                f"{type(point_weighting).__name__}, too: leave one of them out."
            )
        given["point_weights"] = point_weighting
    if isinstance(weighting, OwnNumbers):  # they are by loss term
        given.pop("loss_groups", None)
        weighting = weighting.loss_weights
    model = Model(problem.data, problem.net)
    model.compile(
        optimizer_for(optimizer, lr, problem.net, problem.variables),
        lr=lr,
        loss_weights=weighting,
        verbose=0,
        **given,
        **compile_args,
    )
    return model


def _in_words(point_weights: Any) -> str:
    """The same text for the same point weights; functions are told apart by their names."""
    if isinstance(point_weights, Mapping):
        return repr({str(name): _in_words(one) for name, one in point_weights.items()})
    if isinstance(point_weights, PointWeighting):
        named = {name: _in_words(one) for name, one in vars(point_weights).items()}
        return f"{type(point_weights).__name__} {named}"
    if callable(point_weights):
        return name_of(point_weights)
    if isinstance(point_weights, torch.Tensor):
        point_weights = point_weights.detach().cpu().numpy()
    if isinstance(point_weights, np.ndarray):
        return repr(point_weights.tolist())
    return "" if " at 0x" in repr(point_weights) else repr(point_weights)


def _parts(built: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """Data, network and options."""
    if isinstance(built, (tuple, list)):
        if len(built) not in (2, 3):
            raise TypeError(f"build returned {len(built)} values: {_WHAT}.")
        options = built[2] if len(built) == 3 else {}
        if not isinstance(options, Mapping):
            raise TypeError(
                f"build: its options are {options!r}: give a dict, e.g. {{'points': x}}."
            )
        return built[0], built[1], options
    if hasattr(built, "data") and hasattr(built, "net"):
        options = {name: getattr(built, name, None) for name in OPTIONS}
        if options["metric"] is None:
            options["metric"] = getattr(built, "error", None)
        return built.data, built.net, options
    hint = " (a return is missing)" if built is None else ""
    raise TypeError(f"build returned {_short(built)}{hint}: {_WHAT}.")


_WHAT = "it must return data, net, or data, net, options, or an object with these attributes"


def _short(value: Any) -> str:
    return "None" if value is None else f"an object of class {type(value).__name__}"


def _check_compile(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"build: compile={given!r} is not allowed: give a dict of arguments.")
    for name in given:
        if name in _OF_COMPARE:
            where = "strategies" if name == "loss_weights" else name
            raise ValueError(f"build: compile has {name}: give it to compare, as {where}.")
        if name not in COMPILE:
            raise unknown_name("argument of compile", str(name), COMPILE)


def _checked_points(given: Any, data: dde.data.Data) -> np.ndarray:
    points, own = np.asarray(given), getattr(data, "train_x", None)
    if points.ndim != 2 or not len(points) or not np.issubdtype(points.dtype, np.number):
        raise ValueError(
            f"build: points of shape {points.shape} and type {points.dtype} are not allowed: give "
            "numbers in an array of shape (N, d)."
        )
    if isinstance(own, np.ndarray) and own.ndim == 2 and points.shape[1] != own.shape[1]:
        raise ValueError(
            f"build: points of shape {points.shape} are not allowed: the data's have "
            f"{own.shape[1]} coordinates."
        )
    return points.astype(dde.config.real(np))


def _number(value: Any) -> float:
    if isinstance(value, (np.ndarray, torch.Tensor)) and np.prod(value.shape) == 1:
        value = value.item()
    if not is_number(value):
        raise TypeError(f"build: its metric gave {value!r}: it must give a number.")
    return float(value)
