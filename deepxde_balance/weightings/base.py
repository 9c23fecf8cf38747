"""What every weighting is, and the kinds of them by what they read in an update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import _checks
from .group_gradients import GroupGradients

Scale = Mapping[str, float] | Sequence[float]


class Reads(Enum):
    """What an update of the weights reads of an iteration."""

    NOTHING = "nothing"
    #: The group losses.
    LOSSES = "losses"
    #: The group losses and their gradients.
    GRADIENTS = "gradients"
    #: The traces of the neural tangent kernel's diagonal blocks.
    KERNEL_TRACES = "kernel traces"
    #: Each term's errors at its points; the weights are then inside the losses.
    POINT_ERRORS = "point errors"

    @property
    def needs_errors(self) -> bool:
        """Whether the losses must be made of errors at points."""
        return self in (Reads.KERNEL_TRACES, Reads.POINT_ERRORS)


class Weighting(nn.Module, ABC):
    """Base class of the weightings: weights, and when they are due for an update.

    A weighting declares in `reads` what an update is made from. To write one of your own, derive
    from :class:`FromLosses` or :class:`FromGradients`.

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

    #: What an update reads.
    reads: ClassVar[Reads] = Reads.NOTHING

    #: Whether weights below 0 are what the method means, and no mistake.
    may_be_negative: ClassVar[bool] = False

    #: Whether the weights feed on themselves, so that a condition can be let go.
    can_let_go: ClassVar[bool] = False

    #: Whether the weights ever change, so that `update` is called at all.
    dynamic: bool = True

    #: One weight per group, the reference first, shape (K,).
    weights: Tensor

    #: Takes in what `reads` names and sets `weights`; see the kinds below.
    update: Callable[..., None]

    #: The iteration of the first update that gave a group a weight that is not allowed, or -1.
    _first_invalid: Tensor

    #: Whether a group kept its weight in any update.
    _ever_skipped: Tensor

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__()
        self.update_every = _checks.positive_int("update_every", update_every)
        self.scale = _checked_scale(scale)
        self.iteration = 0
        self.register_buffer("weights", torch.empty(0))

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Starts afresh with weight 1 for each group, on the device and in the type of `like`.

        Called before training with the number of groups; a class with state of its own starts it
        here, after ``super().reset(num_groups, like)``.
        """
        self.iteration = 0
        self.register_buffer("weights", like.new_ones(num_groups))
        no = torch.zeros(num_groups, dtype=torch.bool, device=like.device)
        self.register_buffer("_ever_skipped", no)
        never = torch.full((num_groups,), -1, device=like.device)
        self.register_buffer("_first_invalid", never, persistent=False)

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

    @property
    def factors(self) -> Tensor:
        """What the groups' losses are multiplied with, shape (K,): the weights, as a rule.

        Weights of points are inside the losses already.
        """
        return self.weights

    def frozen(self) -> Weighting:
        """The weights as they are now, as a weighting that keeps them."""
        kept = Keep()
        kept.reset(len(self.weights), like=self.weights)
        kept.weights = self.weights.clone()
        return kept

    def due(self) -> bool:
        """Whether the weights are to be updated in the coming iteration."""
        return self.dynamic and self.iteration % self.update_every == 0

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Told, after every compile, which optimizer trains the network.

        Raises:
            ValueError: If this weighting can't work beside that optimizer.
        """

    def take(self, *read: Any) -> None:
        """Updates the weights, and notes which of them are not allowed.

        Args:
            *read: What `reads` names, as `update` takes it.

        Raises:
            ValueError: If the update set another number of weights than there are groups.
        """
        number = len(self.weights)
        self.update(*read)
        if self.weights.shape != (number,):
            raise ValueError(
                f"{self.strategy} set weights of shape {tuple(self.weights.shape)} for "
                f"{number} groups at iteration {self.iteration}."
            )
        valid = self.weights.abs() < torch.inf
        if not self.may_be_negative:
            valid = valid & (self.weights >= 0)
        known = valid | (self._first_invalid >= 0)
        self._first_invalid = torch.where(known, self._first_invalid, self.iteration)

    def check_weights(self, group_names: Sequence[str]) -> None:
        """Looks whether every update set allowed weights. Copies to the host.

        Args:
            group_names: The groups' names.

        Raises:
            RuntimeError: If one set a weight that is negative or not finite; it names the
                strategy, the group and the iteration.
        """
        for name, iteration in zip(group_names, self._first_invalid.tolist(), strict=True):
            if iteration >= 0:
                allowed = "finite" if self.may_be_negative else "finite and not negative"
                raise RuntimeError(
                    f"The strategy {self.strategy} gave the group {name!r} a weight at iteration "
                    f"{iteration} that is not allowed: weights must be {allowed}."
                )

    def skipped(self) -> Tensor:
        """Groups that ever kept their weight in an update for want of a usable statistic.

        Returns:
            Boolean tensor of shape (K,), on the weights' device.
        """
        return self._ever_skipped

    def note_updated(self, updated: Tensor) -> None:
        """Remembers which groups kept their weight in an update.

        Args:
            updated: Boolean, False where a group kept its weight: shape (K,), or shorter for the
                last groups alone.
        """
        self._ever_skipped[-len(updated) :] |= ~updated

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


class Static(Weighting):
    """Base class of weights that no update changes."""

    dynamic = False

    def __init__(self) -> None:
        super().__init__()


class Keep(Static):
    """The weights that the model has now, frozen (`"keep"`).

    Adam with a dynamic strategy, then L-BFGS with the weights that it ended with, is what Zhou et
    al. 2025 do for the inverse Burgers problem (supplement).
    """

    adapted = True


class FromGradients(Weighting):
    """Weights from the losses and gradients of an iteration.

    Derive from it to write a strategy of your own; see :class:`FromLosses` for what is checked.

    Example::

        class LevelNorms(ddb.FromGradients):
            def update(self, losses, gradients):
                norms = gradients.norm(2)
                self.weights = norms[0] / norms

        model.compile("adam", lr=1e-3, loss_weights=LevelNorms(update_every=10))
    """

    reads = Reads.GRADIENTS

    @abstractmethod
    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        """Takes in one iteration's losses and gradients and sets `weights`.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first.
            gradients: Gradients of the same losses, K rows.
        """


class FromLosses(Weighting):
    """Weights from the losses alone: no gradient of a single group is computed for them.

    Derive from it to write a strategy of your own. `update` sets `self.weights` to a tensor of one
    weight per group, finite and not negative. A weight that is not allowed is a RuntimeError at
    DeepXDE's next record, so that training need not wait for the device; the error names
    strategy, group and iteration.

    Example::

        class InverseLosses(ddb.FromLosses):
            def update(self, losses):
                self.weights = losses.mean() / losses

        model.compile("adam", lr=1e-3, loss_weights=InverseLosses(update_every=100))
    """

    reads = Reads.LOSSES

    @abstractmethod
    def update(self, losses: Tensor) -> None:
        """Takes in one iteration's losses and sets `weights`.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first; detached.
        """


class FromKernel(Weighting):
    """Weights from the traces of the neural tangent kernel's diagonal blocks."""

    reads = Reads.KERNEL_TRACES

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
