"""Modules whose buffers are cheap to assign."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Stateful(nn.Module):
    """A module that assigns a new tensor to a registered buffer without PyTorch's other checks.

    An update of the weights assigns its whole state. On a tiny problem, what PyTorch looks at for
    each assignment takes longer than the operation that made the tensor.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        buffers = self.__dict__.get("_buffers", ())
        if name in buffers and type(value) is Tensor:
            self.__dict__["_buffers"][name] = value
        else:
            super().__setattr__(name, value)
