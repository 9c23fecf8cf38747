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
    """Restores random states and the network's mode and buffers when the context ends.

    Buffers are, for example, the running means of batch normalization.
    """
    training = net.training
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        with unchanged_random_states(net.parameters()):
            yield
    finally:
        net.train(mode=training)
        for buffer, before in buffers:
            buffer.copy_(before)
