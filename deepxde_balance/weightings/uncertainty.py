"""Uncertainty weighting: one learned noise level per group."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Scale
from .kinds import FromLosses
from .learned import Learned
from .needs_closure import needs_closure


class UncertaintyWeighting(FromLosses):
    """lambda_i = exp(-s_i) / 2, with s_i learned to minimise sum_i exp(-s_i)/2 L_i + s_i/2.

    s_i = log sigma_i^2 is the log-variance of a Gaussian likelihood, with loss i as the squared
    error: Kendall et al. 2018, eq. 7; for PINNs Xiang et al. 2022 (lbPINN) (`"uw"`).

    s_i starts at 0. An optimizer of the same class and settings as the network's learns it, with
    the same learning rate at every step, but without weight decay. The iteration applies the
    weights from before this step. The reference has such a weight too. If a loss is not finite,
    no s_i changes.

    Args:
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = ddb.UncertaintyWeighting()
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    needs_reference = False

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__(update_every, scale)
        self.log_variances = Learned(start=0.0)
        self._network_optimizer: torch.optim.Optimizer | None = None

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.log_variances.reset(num_groups, like)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes a new optimizer for s_i, of the same class as the network's.

        Raises:
            ValueError: If the network's optimizer evaluates the loss itself (L-BFGS, NNCG), or
                its class can't optimize a vector.
        """
        kind = type(optimizer)
        if needs_closure(optimizer):
            raise ValueError(
                f"{type(self).__name__} learns its weights by steps of the network's optimizer, "
                f"and {kind.__name__} can't take them: it evaluates the network's loss several "
                'times in a step. Train with "adam" first, then go on with loss_weights="keep".'
            )
        options = {**optimizer.defaults, "lr": _learning_rate(optimizer), "weight_decay": 0.0}
        try:
            self.log_variances.learn_with(kind, **options)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{type(self).__name__} can't learn its weights by {kind.__name__}: {error}. Use "
                'another optimizer, or loss_weights="keep" with this one.'
            ) from error
        self._network_optimizer = optimizer

    def update(self, losses: Tensor) -> None:
        if self._network_optimizer is None:
            raise RuntimeError(
                f"{type(self).__name__} learns with the network's optimizer, and none was "
                "attached: call attach(optimizer) before the first update."
            )
        self.weights = torch.exp(-self.log_variances.values) / 2
        self.log_variances.step(
            0.5 - self.weights * losses,
            included=losses.isfinite().all(),
            lr=_learning_rate(self._network_optimizer),
        )


def _learning_rate(optimizer: torch.optim.Optimizer) -> float | Tensor:
    lr: float | Tensor = optimizer.param_groups[0]["lr"]
    return lr
