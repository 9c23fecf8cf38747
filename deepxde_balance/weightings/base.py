"""What every weighting is, and the kinds of them by what they read in an update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from .group_gradients import GroupGradients

Scale = Mapping[str, float] | Sequence[float]


class Weighting(nn.Module, ABC):
    """Base class of the weightings: weights, and when they are due for an update.

    What an update reads is up to the kind: :class:`FromGradients`, :class:`FromLosses`,
    :class:`FromKernel`; fixed weights read nothing.

    A weighting knows no model, no data and no network. Groups come in one order: the reference
    first, then the conditions. Its state (weights, averages, the count of iterations) is saved
    and loaded with `state_dict` and `load_state_dict`.

    Args:
        update_every: Iterations from one update of the weights to the next; the first update
            comes at the first iteration. Under L-BFGS and NNCG an iteration is one outer step.
        scale: Static factors on the losses, applied before anything else: one number per loss
            term in DeepXDE's order, or a mapping from names of terms or groups to factors
            (1 for those not named).

    Raises:
        ValueError: If `update_every` is not an integer of at least 1, or a factor is negative
            or not finite.
        TypeError: If `scale` is neither a sequence nor a mapping.
    """

    #: Whether the weights ever change, so that `update` is called at all.
    dynamic: bool = True

    weights: Tensor

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__()
        self.update_every = _checks.positive_int("update_every", update_every)
        self.scale = _checked_scale(scale)
        self.iteration = 0
        self.reset(0, torch.empty(0))

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Starts afresh with weight 1 for each group, on the device and in the type of `like`."""
        self.iteration = 0
        self.register_buffer("weights", like.new_ones(num_groups))

    def check(self, group_names: Sequence[str]) -> None:
        """Refuses, or warns about, groups that this weighting can't balance.

        Args:
            group_names: The groups' names, the reference first.

        Raises:
            ValueError: If the groups are of no use to this weighting.
        """

    @property
    def strategy(self) -> str:
        """What tells this strategy from others, whatever its hyperparameters."""
        return type(self).__name__

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The plain values that the weighting was made with, by name."""
        values = {}
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if name.startswith("_") or name in ("training", "iteration"):
                    continue
                if value is None or isinstance(value, (bool, int, float, str)):
                    values[f"{path}.{name}" if path else name] = value
        return values

    @property
    def adapted(self) -> bool:
        """Whether the weights have come from training, and are not just where they start."""
        return self.dynamic and self.iteration > 0

    def due(self) -> bool:
        """Whether the weights are to be updated in the coming iteration."""
        return self.dynamic and self.iteration % self.update_every == 0

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Told, after every compile, which optimizer trains the network.

        Raises:
            ValueError: If this weighting can't work beside that optimizer.
        """

    def skipped(self) -> Tensor:
        """Groups that ever kept their weight in an update for want of a usable statistic.

        Returns:
            Boolean tensor of shape (K,), on the weights' device.
        """
        return torch.zeros_like(self.weights, dtype=torch.bool)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Takes over a saved state, with its number of groups."""
        weights = state_dict["weights"]
        if len(weights) != len(self.weights):
            self.reset(len(weights), like=weights)
        return super().load_state_dict(state_dict, *args, **kwargs)

    def get_extra_state(self) -> dict[str, Any]:
        return {"iteration": self.iteration}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.iteration = state["iteration"]


class FromGradients(Weighting):
    """Weights from the losses and gradients of an iteration."""

    @abstractmethod
    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        """Takes in one iteration's losses and gradients and sets `weights`.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first.
            gradients: Gradients of the same losses, K rows.
        """


class FromLosses(Weighting):
    """Weights from the losses alone: no gradient of a single group is computed for them."""

    @abstractmethod
    def update(self, losses: Tensor) -> None:
        """Takes in one iteration's losses and sets `weights`.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first; detached.
        """


class FromKernel(Weighting):
    """Weights from the traces of the neural tangent kernel's diagonal blocks."""

    #: Whether traces are exact, or estimated with random signs.
    exact: bool
    #: How many estimates the mean is taken of.
    probes: int

    @abstractmethod
    def update(self, traces: Tensor) -> None:
        """Takes in one iteration's traces and sets `weights`.

        Args:
            traces: tr K_ii for each group, shape (K,): the sum over its points of
                ||d e_p / d theta||^2, the reference first.
        """


def _checked_scale(scale: Scale | None) -> Scale | None:
    if scale is None:
        return None
    if isinstance(scale, Mapping):
        return {name: _checks.factor(f"scale[{name!r}]", c) for name, c in scale.items()}
    if isinstance(scale, str) or not isinstance(scale, Iterable):
        raise TypeError(
            f"scale={scale!r} is not allowed: give one number per loss term, or a mapping from "
            "names of terms or groups to numbers."
        )
    return [_checks.factor(f"scale[{i}]", c) for i, c in enumerate(scale)]
