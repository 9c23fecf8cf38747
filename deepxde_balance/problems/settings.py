"""The settings of a problem in its paper, and how to change them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _checks


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a problem.

    Args:
        width: Number of neurons in each hidden layer.
        depth: Number of hidden layers.
        num_points: Number of points of each kind: ``"residual"``, ``"boundary"``, ...
        iterations: Iterations of Adam.
        update_every: Iterations from one update of the weights to the next, for GW, DN and DB,
            the papers' strategies. Other strategies have a default of their own; they use this
            setting only if it is given as an override.
        gw_alpha: The alpha of the GW strategies.
        decay_every: Iterations after which the learning rate is multiplied by `decay_rate`;
            ``None`` for a constant learning rate.
        decay_rate: The factor of `decay_every`.
        lr: Learning rate of Adam.
        betas: Decay rates of Adam's two moments.
        lbfgs_iterations: Iterations of L-BFGS after Adam, with frozen weights.

    Raises:
        ValueError: If a setting is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.problems.get("poisson").settings.iterations
        30000
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
    betas: tuple[float, float] = (0.9, 0.999)
    lbfgs_iterations: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "iterations", "update_every"):
            _checks.positive_int(name, getattr(self, name))
        if self.decay_every is not None:
            _checks.positive_int("decay_every", self.decay_every)
        if self.lbfgs_iterations != 0:
            _checks.positive_int("lbfgs_iterations", self.lbfgs_iterations)
        for kind, number in self.num_points.items():
            _checks.positive_int(f"num_points[{kind!r}]", number)
        for name in ("lr", "decay_rate"):
            _checks.in_interval(name, getattr(self, name), 0, math.inf, "()")
        _checks.in_interval("gw_alpha", self.gw_alpha, 0, 1, "(]")
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise ValueError(f"betas={self.betas!r} is not allowed: give two numbers.")
        for beta in self.betas:
            _checks.in_interval("betas", beta, 0, 1, "[)")

    @classmethod
    def check_names(cls, names: Iterable[str]) -> None:
        """Raises a TypeError if a name is not that of a setting."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in names:
            if name not in known:
                raise TypeError(str(_checks.unknown_name("setting", name, known)))

    def changed(
        self, points: float, iterations: int | None, overrides: Mapping[str, Any]
    ) -> Settings:
        """These settings with changes; :class:`Problem` has the same arguments.

        Args:
            points: Factor on every number of points; each is at least 2.
            iterations: Iterations of Adam; ``None`` for no change.
            overrides: Other settings by name.

        Raises:
            ValueError: If a value is not allowed, or would have no effect.
            TypeError: If there is no such setting.
        """
        self.check_names(overrides)
        _checks.in_interval("points", points, 0, math.inf, "()")
        if iterations is not None:
            share = _checks.positive_int("iterations", iterations) / self.iterations
            lbfgs = round(self.lbfgs_iterations * min(share, 1.0))
            overrides = {"lbfgs_iterations": lbfgs} | dict(overrides) | {"iterations": iterations}
        if "num_points" in overrides:
            self._check_kinds(overrides["num_points"])
            if points != 1:
                raise ValueError(f"points={points!r} has no effect beside num_points: give one.")
        scaled = {k: max(round(n * points), 2) for k, n in self.num_points.items()}
        settings = dataclasses.replace(self, **({"num_points": scaled} | dict(overrides)))
        if settings.decay_every is None and overrides.get("decay_rate", 1) != 1:
            raise ValueError(
                f"decay_rate={settings.decay_rate!r} has no effect without decay_every: give both."
            )
        if settings.decay_rate == 1 and overrides.get("decay_every") is not None:
            raise ValueError(
                f"decay_every={settings.decay_every!r} has no effect with decay_rate=1: give "
                "another decay_rate too."
            )
        return settings

    def _check_kinds(self, num_points: Any) -> None:
        if not isinstance(num_points, Mapping) or set(num_points) != set(self.num_points):
            raise ValueError(
                f"num_points={num_points!r} is not allowed: it must be a mapping with a number for "
                f"each of {', '.join(map(repr, self.num_points))}, and no other."
            )
