"""Values that a weighting learns by gradient steps, with an optimizer of their own."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn


class Learned(nn.Module):
    """A vector with one entry per group, which an optimizer of its own changes.

    The caller gives each step its gradient; nothing is differentiated. `state_dict` includes the
    optimizer's state (moments, counts of steps), but not its hyperparameters.

    Args:
        start: Initial value of every entry.
    """

    #: The entries, shape (K,).
    values: nn.Parameter

    def __init__(self, start: float):
        super().__init__()
        self._start = start
        self._kind: type[torch.optim.Optimizer] | None = None
        self._options: dict[str, Any] = {}
        self._optimizer: torch.optim.Optimizer | None = None
        #: A state that was loaded before there was an optimizer.
        self._pending: dict[str, Any] | None = None
        self.values = nn.Parameter(torch.empty(0), requires_grad=False)

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Sets all values and the optimizer to their start.

        Args:
            num_groups: The number of groups K.
            like: A tensor with the device and the float type that the values shall have.
        """
        start = like.new_full((num_groups,), self._start)
        self.values = nn.Parameter(start, requires_grad=False)
        self._pending = None
        self._start_optimizer()

    def learn_with(self, kind: type[torch.optim.Optimizer], **options: Any) -> None:
        """Chooses the optimizer, and starts it.

        Args:
            kind: Class of the optimizer.
            **options: Arguments of the optimizer; those that its class does not have are ignored.
        """
        self._kind, self._options = kind, options
        self._start_optimizer()

    @torch.no_grad()
    def step(self, gradient: Tensor, included: Tensor, lr: float | Tensor | None = None) -> None:
        """Changes the values by one step of the optimizer.

        Args:
            gradient: The gradient with respect to the values, shape (K,).
            included: Boolean tensor, shape (K,) or (); False where a value and its moments stay
                as they are.
            lr: The learning rate of this and later steps; ``None`` leaves it as it is.

        Raises:
            RuntimeError: If no optimizer was chosen.
        """
        if self._optimizer is None:
            raise RuntimeError("There is no optimizer to learn with.")
        if lr is not None:
            self._optimizer.param_groups[0]["lr"] = lr
        before = {key: tensor.clone() for key, tensor in self._changing().items()}
        self.values.grad = torch.where(included, gradient, 0.0)
        self._optimizer.step()
        self.values.grad = None
        for key, tensor in self._changing().items():
            if key in before:
                changed = included if tensor.dim() else included.any()
                tensor.copy_(torch.where(changed, tensor, before[key]))

    def _changing(self) -> dict[str, Tensor]:
        """The tensors that a step changes: values, moments, and counts of steps.

        Counts of steps that are on the host, and not on the values' device, are left out: to undo
        them would mean to wait for the device.
        """
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
        # A capturable optimizer counts its steps on the device, so no step waits for the device.
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
            state["param_groups"][0].update(self._pending.get("counts", {}))
            self._optimizer.load_state_dict(state)
        self._pending = None

    def get_extra_state(self) -> dict[str, Any] | None:
        if self._optimizer is None:
            return self._pending
        state = self._optimizer.state_dict()
        arguments = inspect.signature(type(self._optimizer)).parameters
        counts = {  # some optimizers count their steps here
            name: value
            for name, value in state["param_groups"][0].items()
            if name not in arguments and name != "params"
        }
        return {
            "optimizer": type(self._optimizer).__name__,
            "state": state["state"],
            **({"counts": counts} if counts else {}),
        }

    def set_extra_state(self, state: dict[str, Any] | None) -> None:
        # A copy, since an optimizer takes the tensors that it loads as its own.
        self._pending = copy.deepcopy(state)
        self._load_pending()
