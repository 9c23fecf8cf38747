"""The base class of all weightings, what an update may read, and weights that no update changes."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import _checks
from .stateful import Stateful
from .weight_check import WeightCheck

Scale = Mapping[str, float] | Sequence[float]


class Reads(Enum):
    """What an update of the weights needs from an iteration."""

    NOTHING = "nothing"
    #: The group losses.
    LOSSES = "losses"
    #: The group losses and their gradients.
    GRADIENTS = "gradients"
    #: The traces of the neural tangent kernel's diagonal blocks.
    KERNEL_TRACES = "kernel traces"
    #: The group losses; and, before some of the updates, the traces.
    LOSSES_AND_TRACES = "losses and kernel traces"
    #: Each term's errors at its points. The weights are then one per point, inside the losses.
    POINT_ERRORS = "point errors"

    @property
    def needs_errors(self) -> bool:
        """Whether the losses must be computed from errors at points."""
        return self in (Reads.KERNEL_TRACES, Reads.LOSSES_AND_TRACES, Reads.POINT_ERRORS)

    @property
    def from_losses(self) -> bool:
        """Whether `update` is called with the group losses, and nothing else."""
        return self in (Reads.LOSSES, Reads.LOSSES_AND_TRACES)


class Weighting(Stateful, ABC):
    """Base class of all weightings: it holds the weights and says when to update them.

    A weighting declares in `reads` what its update needs. To write a strategy of your own, derive
    from :class:`FromLosses` or :class:`FromGradients`.

    A weighting does not know the model, the data or the network. The groups have one order
    everywhere: the reference first, then the conditions. There is no reference where there are no
    residuals; a weighting that treats all groups alike says so by ``needs_reference = False``.
    `state_dict` and `load_state_dict` save and load the state: the weights, the averages and the
    count of iterations.

    Args:
        update_every: Iterations from one update of the weights to the next. The first update is
            at the first iteration. Under L-BFGS and NNCG an iteration is one outer step.
        scale: Static factors on the losses, applied before the weighting sees them: one number
            per loss term in DeepXDE's order, or a mapping from names of terms or groups to
            factors (1 for those not named). They put terms of other units into like ones; the
            losses in the loss history are those with the factors.

    Raises:
        ValueError: If `update_every` is not an integer of at least 1, or a factor is negative
            or not finite.
        TypeError: If `scale` is neither a sequence nor a mapping.

    Example:
        >>> import deepxde_balance as ddb
        >>> isinstance(ddb.weightings.get("dn:beta=0.9"), ddb.weightings.Weighting)
        True
    """

    #: What an update reads.
    reads: ClassVar[Reads] = Reads.NOTHING

    #: Whether the weights follow a loss that drifts by orders of magnitude as a whole, as point
    #: weights make it. Where they do not, such point weights are divided by their mean.
    follows_drift: ClassVar[bool] = True

    #: Whether the first group is a reference that the others are compared with.
    needs_reference: ClassVar[bool] = True

    #: Whether the method allows negative weights; where it does not, they are an error.
    may_be_negative: ClassVar[bool] = False

    #: Whether training can go on with the present weights, frozen.
    can_be_frozen: ClassVar[bool] = True

    #: Whether a small weight leads to still smaller ones, until its condition is no longer learned.
    can_let_go: ClassVar[bool] = False

    #: Whether weights may grow without end at conditions that are met.
    can_drive_on: ClassVar[bool] = True

    #: Whether weights may round to exactly 0, which is told then.
    rounds_to_zero: ClassVar[bool] = False

    #: Whether the weights can change; if not, `update` is never called.
    dynamic: bool = True

    #: The word that :func:`deepxde_balance.weightings.get` made it from.
    _word: str | None = None

    #: One weight per group, the reference first, shape (K,).
    weights: Tensor

    #: Sets `weights` from what `reads` names; the classes in `kinds.py` declare its arguments.
    update: Callable[..., None]

    #: For each group whether at least one update left its weight unchanged.
    _ever_skipped: Tensor

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__()
        self.update_every = _checks.positive_int("update_every", update_every)
        self.scale = _checked_scale(scale)
        self.iteration = 0
        self.register_buffer("weights", torch.empty(0))
        self._start_notes(self.weights)

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Sets the weighting to its start, with weight 1 for each group.

        It is called before training. A subclass with state of its own sets that state here, after
        ``super().reset(num_groups, like)``: tensors by ``self.register_buffer(name, tensor)``, so
        that they are in checkpoints. Numbers that change are saved by `get_extra_state` and
        `set_extra_state`.

        Args:
            num_groups: The number of groups K, the reference included.
            like: A tensor with the device and the float type that the state shall have.
        """
        self.iteration = 0
        self.register_buffer("weights", like.new_ones(num_groups))
        self._start_notes(self.weights)

    def _start_notes(self, weights: Tensor) -> None:
        """Forgets which groups were skipped and which weights were not allowed."""
        self._weight_check = WeightCheck(self.may_be_negative, self.rounds_to_zero)
        self.register_buffer("_ever_skipped", torch.zeros_like(weights, dtype=torch.bool))

    def check(self, group_names: Sequence[str]) -> None:
        """Refuses groups that this weighting can't balance, or warns about them.

        Args:
            group_names: The groups' names, the reference first.

        Raises:
            ValueError: If this weighting can't balance these groups.
        """

    def require_condition(self, group_names: Sequence[str]) -> None:
        """Refuses groups without a condition; for the `check` of strategies that weigh conditions.

        Args:
            group_names: The groups' names, the reference first.

        Raises:
            ValueError: If there is only the reference.
        """
        if len(group_names) < 2:
            raise ValueError(
                f"{self.called} has nothing to weigh: there is no condition, only the "
                'reference. Use loss_weights="equal"; with several PDE residuals, '
                'loss_groups={"pde": [0]} makes the first the reference and weighs the others.'
            )

    @property
    def strategy(self) -> str:
        """A name that tells this strategy from others; it does not depend on hyperparameters."""
        return type(self).__name__

    @property
    def called(self) -> str:
        """What messages call it: the word that it was made from, or else the class."""
        return type(self).__name__ if self._word is None else repr(self._word)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings of the weighting by name: numbers, texts, booleans and ``None``."""
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
        """Whether the weights come from training, of this phase or of an earlier one."""
        return self.dynamic and self.iteration > 0

    @property
    def group_multipliers(self) -> Tensor:
        """What multiplies the group losses, shape (K,): the weights.

        It is 1 where the weights are of points, for those are inside the losses.
        """
        return self.weights

    def frozen(self) -> Weighting:
        """A weighting with the present weights, which never change."""
        frozen = Keep()
        frozen.reset(len(self.weights), like=self.weights)
        frozen.weights = self.weights.clone()
        return frozen

    def due(self) -> bool:
        """Whether the coming iteration updates the weights."""
        return self.dynamic and self.iteration % self.update_every == 0

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Called at the end of every compile, after `reset`, with the network's optimizer.

        Raises:
            ValueError: If this weighting can't work with that optimizer.
        """

    def update_and_check(self, *read: Any) -> None:
        """Calls `update`, and notes the iteration if a weight is not allowed.

        Args:
            *read: The arguments of `update`. Where the first of them, the losses as a rule, is not
                finite, nothing is noted: training ends by itself.

        Raises:
            TypeError: If the update returned something.
            ValueError: If the update set weights of another shape, type or device.
        """
        before = self.weights
        if self.update(*read) is not None:  # type: ignore[func-returns-value]
            raise TypeError(
                f"The strategy {self.called} returns a value from update: "
                "set self.weights there instead, and return nothing."
            )
        after = self.weights
        if (after.shape, after.dtype, after.device) != (before.shape, before.dtype, before.device):
            raise ValueError(
                f"The strategy {self.called} set weights of {_kind(after)} at iteration "
                f"{self.iteration} for {len(before)} groups: they must be of {_kind(before)}."
            )
        self._weight_check.note(self.iteration, after, read[0])

    def check_weights(self, group_names: Sequence[str]) -> None:
        """Checks that no update so far has set a weight that is not allowed.

        This copies to the host, which on a GPU waits for the device.

        Args:
            group_names: The groups' names.

        Raises:
            RuntimeError: If a weight was not finite, or negative where the method does not allow
                it. The error names the strategy, the group and the iteration.
        """
        for name, iteration in zip(group_names, self._weight_check.first_invalid(), strict=False):
            if iteration is not None:
                allowed = "finite" if self.may_be_negative else "finite and not negative"
                raise RuntimeError(
                    f"The strategy {self.called} gave the group {name!r} a weight at iteration "
                    f"{iteration} (since compile) that is not allowed: weights must be {allowed}."
                )

    def first_zeros(self) -> list[int | None]:
        """For each group the first iteration with a weight of exactly 0; copies to the host."""
        return self._weight_check.first_zeros()

    def ever_skipped(self) -> Tensor:
        """The groups whose weight at least one update left unchanged, for want of a usable value.

        Returns:
            Boolean tensor of shape (K,), on the weights' device.
        """
        return self._ever_skipped

    def note_skipped(self, skipped: Tensor) -> None:
        """Notes the groups whose weight an update left unchanged; a warning names them once.

        Args:
            skipped: Boolean tensor, True where the weight was left unchanged: shape (K,), or
                (K - 1,) for the conditions alone.
        """
        self._ever_skipped[-len(skipped) :].logical_or_(skipped)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Loads a saved state; the number of groups becomes that of the saved state."""
        weights = state_dict["weights"]
        if len(weights) != len(self.weights):
            self.reset(len(weights), like=weights.to(self.weights.device))
        self._weight_check = WeightCheck(self.may_be_negative, self.rounds_to_zero)
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
    """Weights kept from an earlier phase, which never change (`"keep"`).

    Zhou et al. 2025 (supplement) use frozen weights for the inverse Burgers problem: Adam trains
    with a dynamic strategy, then L-BFGS with the weights at the end of Adam.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("dn", verbose=0)
        >>> losshistory, train_state = model.train(iterations=10, verbose=0)
        >>> found = model.weights
        >>> model.compile("L-BFGS", loss_weights="keep", verbose=0)
        >>> model.weights == found
        True
    """

    adapted = True


def _kind(weights: Tensor) -> str:
    """The shape, the float type and the device of weights, in words."""
    return f"shape {tuple(weights.shape)}, {weights.dtype}, on {weights.device}"


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
