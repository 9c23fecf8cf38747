"""Assigned buffers: what PyTorch's modules do with them, and nothing else."""

import copy

import pytest
import torch
from torch import nn

from deepxde_balance.weightings.stateful import Stateful


def with_buffer(kind):
    module = kind()
    module.register_buffer("state", torch.zeros(2))
    module.register_buffer("passing", torch.zeros(2), persistent=False)
    return module


@pytest.mark.parametrize("kind", [nn.Module, Stateful])
def test_an_assigned_buffer_is_the_modules_state(kind):
    module = with_buffer(kind)
    module.state, module.passing, module.plain = torch.ones(2), torch.ones(2), torch.ones(2)
    assert list(module.state_dict()) == ["state"]
    assert module.state_dict()["state"].tolist() == [1, 1]
    assert [name for name, _ in module.named_buffers()] == ["state", "passing"]
    assert copy.deepcopy(module).double().state.dtype == torch.float64
    assert "state" not in vars(module) and "plain" in vars(module)


@pytest.mark.parametrize("kind", [nn.Module, Stateful])
def test_what_is_no_tensor_is_refused_for_a_buffer(kind):
    module = with_buffer(kind)
    with pytest.raises(TypeError, match="state"):
        module.state = [1.0, 2.0]
    with pytest.raises(AttributeError, match="before Module"):
        kind.__new__(kind).state = nn.Parameter(torch.zeros(2))
