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
