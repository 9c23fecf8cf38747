"""Evaluations that leave a network and the random states as they were."""

import random

import numpy as np
import pytest
import torch

from deepxde_balance._deepxde.no_trace import no_trace


def drawn():
    return random.random(), np.random.rand(), torch.rand(1).item()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [True, False])
def test_random_states_mode_and_buffers_are_put_back(training, fails):
    net = torch.nn.BatchNorm1d(2)
    net.train(training)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = drawn()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    try:
        with no_trace(net):
            drawn()
            net.train(not training)
            net.running_mean.fill_(7.0)
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert drawn() == expected
    assert net.training == training
    assert net.running_mean.tolist() == [0.0, 0.0]


class Assigns(torch.nn.Module):
    """Gives its buffers' names new tensors, as PyTorch's documentation has it."""

    mean: torch.Tensor
    last: torch.Tensor | None

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(2))
        self.register_buffer("last", None)

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0)
        self.last = x[-1]
        return x - self.mean


def test_buffers_that_are_assigned_are_put_back():
    inner = Assigns()
    net = torch.nn.Sequential(inner, torch.nn.Linear(2, 1))
    mean = inner.mean
    with no_trace(net):
        mean += 1
        net(torch.full((3, 2), 5.0))
    assert inner.mean is mean
    assert mean.tolist() == [1.0, 1.0]
    assert inner.last is None
