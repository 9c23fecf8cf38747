"""A device without values in place of a GPU: what has to wait for a GPU fails on it, or is listed.

Tensors on PyTorch's meta device have a shape and a type, but no values. So ``.item()``, ``float``,
``bool``, ``.cpu()``, ``.numpy()``, ``nonzero`` and everything that depends on a value raise an
error, as do operations on tensors of two devices. Copies from the host to the device raise none,
and a GPU is waited for there too: :func:`host_copies` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"

_MAKE_TENSORS = (torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor)
_INDEX = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)


@contextmanager
def host_copies() -> Iterator[list[str]]:
    """Yields a list, to which each copy from the host to the device in the context is added."""
    copies: list[str] = []
    with _Calls(copies), _Operations(copies):
        yield copies


class _Calls(TorchFunctionMode):
    """Lists calls that make a tensor on the device from numbers or arrays of the host."""

    def __init__(self, copies: list[str]):
        super().__init__()
        self._copies = copies

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result: Any = func(*args, **(kwargs or {}))
        if func in _MAKE_TENSORS and _on_device(result) and not _on_device(args[-1]):
            self._copies.append(f"{func.__name__} of shape {tuple(result.shape)}")
        if func in _INDEX:
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            self._copies += [f"index {i}" for i in indices if isinstance(i, (list, np.ndarray))]
        return result


class _Operations(TorchDispatchMode):
    """Lists operations that read tensors of the host and read or make some on the device."""

    def __init__(self, copies: list[str]):
        super().__init__()
        self._copies = copies

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result: Any = func(*args, **(kwargs or {}))
        read, made = (_tensors(of) for of in ((args, kwargs), result))
        of_host = [t for t in read if not _on_device(t)]
        if of_host and any(map(_on_device, read + made)):
            self._copies.append(f"{func} of shape {tuple(of_host[0].shape)}")
        return result


def _tensors(of: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(of) if isinstance(leaf, Tensor)]


def _on_device(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == DEVICE
