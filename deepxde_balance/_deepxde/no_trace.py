"""Evaluations that leave random states and the network as they were."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


@contextmanager
def unchanged_random_states(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Restores the random states of Python, NumPy and PyTorch when the context ends.

    Args:
        tensors: The tensors of the evaluation. The random states of their GPUs are restored too.
    """
    devices = list({t.device for t in tensors if t.device.type == "cuda"})
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextmanager
def no_trace(net: torch.nn.Module) -> Iterator[None]:
    """Restores random states and the network's mode and buffers when the context ends."""
    training = net.training
    try:
        with unchanged_random_states(net.parameters()), unchanged_buffers(net):
            yield
    finally:
        net.train(mode=training)


@contextmanager
def unchanged_buffers(net: torch.nn.Module) -> Iterator[None]:
    """Restores the network's buffers when the context ends.

    They are, for example, the running means of batch normalization. A network may also assign
    other tensors to their names.
    """
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in net.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        yield
    finally:
        for module, name, buffer, before in buffers:
            if buffer is not None and before is not None:
                buffer.copy_(before)
            setattr(module, name, buffer)
