"""Values that a weighting learns by gradient steps, with an optimizer of their own."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn


class Learned(nn.Module):
    """A vector, one entry per group, that an optimizer of its own moves.

    The gradient is given, not differentiated for. The optimizer's state (moments, counts of
    steps) is part of `state_dict`; its hyperparameters are not: those given now are used.

    Args:
        start: What every entry starts from.
    """

    values: nn.Parameter

    def __init__(self, start: float):
        super().__init__()
        self._start = start
        self._kind: type[torch.optim.Optimizer] | None = None
        self._options: dict[str, Any] = {}
        self._optimizer: torch.optim.Optimizer | None = None
        self._pending: dict[str, Any] | None = None
        self.values = nn.Parameter(torch.empty(0), requires_grad=False)

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Starts afresh, optimizer included, on the device and in the type of `like`."""
        start = like.new_full((num_groups,), self._start)
        self.values = nn.Parameter(start, requires_grad=False)
        self._pending = None
        self._start_optimizer()

    def learn_with(self, kind: type[torch.optim.Optimizer], **options: Any) -> None:
        """Chooses the optimizer; it starts with no steps behind it.

        Args:
            kind: Class of the optimizer.
            **options: Its arguments; those that its constructor does not take are left out.
        """
        self._kind, self._options = kind, options
        self._start_optimizer()

    @torch.no_grad()
    def step(self, gradient: Tensor, taken: Tensor, lr: float | Tensor | None = None) -> None:
        """Moves the values by one step of the optimizer.

        Args:
            gradient: Shape (K,).
            taken: Boolean, shape (K,) or (): False where value and moments stay as they are.
            lr: The step's learning rate; ``None`` leaves it as it is.

        Raises:
            RuntimeError: If no optimizer was chosen.
        """
        if self._optimizer is None:
            raise RuntimeError("There is no optimizer to learn with.")
        if lr is not None:
            self._optimizer.param_groups[0]["lr"] = lr
        before = {key: tensor.clone() for key, tensor in self._movable().items()}
        self.values.grad = torch.where(taken, gradient, 0.0)
        self._optimizer.step()
        self.values.grad = None
        for key, tensor in self._movable().items():
            if key in before:
                moved = taken if tensor.dim() else taken.any()
                tensor.copy_(torch.where(moved, tensor, before[key]))

    def _movable(self) -> dict[str, Tensor]:
        """What a step changes on the values' device: moments, and counts of steps if there."""
        assert self._optimizer is not None
        state = self._optimizer.state[self.values]
        tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
        tensors["values"] = self.values
        shapes = (self.values.shape, torch.Size())
        return {
            key: tensor
            for key, tensor in tensors.items()
            if tensor.shape in shapes and tensor.device == self.values.device
        }

    def _start_optimizer(self) -> None:
        if self._kind is None:
            return
        allowed = inspect.signature(self._kind).parameters
        # Capturable: counts of steps on the device, where reading them is no wait for it.
        options = {**self._options, "capturable": self.values.is_cuda}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in allowed.values()):
            options = {name: value for name, value in options.items() if name in allowed}
        self._optimizer = self._kind([self.values], **options)
        self._load_pending()

    def _load_pending(self) -> None:
        if self._optimizer is None or self._pending is None:
            return
        if self._pending["optimizer"] == type(self._optimizer).__name__:
            state = self._optimizer.state_dict()
            state["state"] = self._pending["state"]
            self._optimizer.load_state_dict(state)
        self._pending = None

    def get_extra_state(self) -> dict[str, Any] | None:
        if self._optimizer is None:
            return self._pending
        return {
            "optimizer": type(self._optimizer).__name__,
            "state": self._optimizer.state_dict()["state"],
        }

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        # A copy, since an optimizer takes the tensors that it loads as its own.
        self._pending = copy.deepcopy(state)
        self._load_pending()
