"""Evaluations that leave the random states as they were."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


@contextmanager
def kept_random_states(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Puts Python's, NumPy's and PyTorch's random states back.

    Args:
        tensors: Those of the evaluation, on whose GPUs random numbers may be drawn.
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
    """Puts back the random states, the network's mode and its buffers (batch normalization)."""
    training = net.training
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    try:
        with kept_random_states(net.parameters()):
            yield
    finally:
        net.train(mode=training)
        for buffer, before in buffers:
            buffer.copy_(before)
