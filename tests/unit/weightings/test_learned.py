"""Learned values against plain optimizers, and the entries that a step leaves alone."""

import math

import pytest
import torch
from _support.weighting_properties import through_a_file

from deepxde_balance.weightings.learned import Learned

KINDS = [
    (torch.optim.Adam, {"lr": 0.1}),
    (torch.optim.AdamW, {"lr": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.5}),
    (torch.optim.Adagrad, {"lr": 0.1}),
]
LIKE = torch.zeros(1, dtype=torch.float64)


def learned(kind, options, num_groups=3):
    made = Learned(start=2.0)
    made.learn_with(kind, **options)
    made.reset(num_groups, LIKE)
    return made


def gradient_at(step, num_groups=3):
    rng = torch.Generator().manual_seed(step)
    return torch.randn(num_groups, generator=rng, dtype=torch.float64)


ALL = torch.tensor(True)


@pytest.mark.parametrize("kind, options", KINDS)
def test_steps_are_those_of_the_optimizer(kind, options):
    ours = learned(kind, options)
    plain = torch.full((3,), 2.0, dtype=torch.float64)
    optimizer = kind([plain], **options)
    for step in range(5):
        ours.step(gradient_at(step), ALL)
        plain.grad = gradient_at(step)
        optimizer.step()
        torch.testing.assert_close(ours.values.data, plain)
    assert not torch.equal(plain, torch.full_like(plain, 2.0))


@pytest.mark.parametrize("kind, options", KINDS)
def test_a_step_that_is_not_taken_leaves_no_trace(kind, options):
    with_gap, without = learned(kind, options), learned(kind, options)
    for step in range(3):
        with_gap.step(gradient_at(step), ALL)
        without.step(gradient_at(step), ALL)
    with_gap.step(gradient_at(9) * math.nan, ~ALL)
    with_gap.step(gradient_at(9), torch.zeros(3, dtype=torch.bool))
    for step in range(3, 6):
        assert torch.equal(with_gap.values, without.values)
        with_gap.step(gradient_at(step), ALL)
        without.step(gradient_at(step), ALL)
    assert torch.equal(with_gap.values, without.values)


@pytest.mark.parametrize("kind, options", [KINDS[2], KINDS[3]])
def test_a_single_entry_can_be_left_alone(kind, options):
    """Each entry moves as if it were by itself (no count of steps is shared in these two)."""
    ours, first, others = (learned(kind, options, n) for n in (3, 1, 2))
    for step in range(6):
        gradient = gradient_at(step)
        taken = torch.tensor([step not in (2, 3), True, True])
        if not taken[0]:
            gradient[0] = math.inf
        ours.step(gradient, taken)
        others.step(gradient[1:], ALL)
        if taken[0]:
            first.step(gradient[:1], ALL)
    torch.testing.assert_close(ours.values.data, torch.cat([first.values, others.values]))


def test_the_learning_rate_can_change():
    ours = learned(torch.optim.SGD, {"lr": 0.1})
    ours.step(torch.ones(3, dtype=torch.float64), ALL)
    ours.step(torch.ones(3, dtype=torch.float64), ALL, lr=0.5)
    torch.testing.assert_close(ours.values.data, torch.full((3,), 1.4, dtype=torch.float64))


@pytest.mark.parametrize("attach_first", [True, False])
def test_a_loaded_state_is_not_shared(attach_first):
    source = learned(torch.optim.Adam, {"lr": 0.1})
    source.step(gradient_at(0), ALL)
    state = source.state_dict()
    twins = []
    for _ in range(2):
        twin = Learned(start=2.0)
        twin.reset(3, LIKE)
        if attach_first:
            twin.learn_with(torch.optim.Adam, lr=0.1)
        twin.load_state_dict(state)
        if not attach_first:
            assert through_a_file(twin.state_dict())["_extra_state"]["optimizer"] == "Adam"
            twin.learn_with(torch.optim.Adam, lr=0.1)
        twin.step(gradient_at(1), ALL)
        twins.append(twin.values.clone())
    source.step(gradient_at(1), ALL)
    assert torch.equal(twins[0], twins[1])
    assert torch.equal(twins[0], source.values)


def test_the_state_of_another_optimizer_is_not_taken():
    source = learned(torch.optim.Adam, {"lr": 0.1})
    source.step(gradient_at(0), ALL)
    other, fresh = (learned(torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}) for _ in range(2))
    other.load_state_dict(source.state_dict())
    fresh.values.copy_(source.values)
    for one in (other, fresh):
        one.step(gradient_at(1), ALL)
    assert torch.equal(other.values, fresh.values)


def test_hyperparameters_are_not_restored():
    source = learned(torch.optim.SGD, {"lr": 0.1})
    target = learned(torch.optim.SGD, {"lr": 1.0})
    target.load_state_dict(source.state_dict())
    target.step(torch.ones(3, dtype=torch.float64), ALL)
    torch.testing.assert_close(target.values.data, torch.ones(3, dtype=torch.float64))


def test_reset_forgets_the_moments():
    ours = learned(torch.optim.Adam, {"lr": 0.1})
    ours.step(gradient_at(0), ALL)
    ours.reset(3, LIKE)
    fresh = learned(torch.optim.Adam, {"lr": 0.1})
    for one in (ours, fresh):
        one.step(gradient_at(1), ALL)
    assert torch.equal(ours.values, fresh.values)


def test_without_an_optimizer_there_is_no_step():
    nothing = Learned(start=0.0)
    nothing.reset(3, LIKE)
    with pytest.raises(RuntimeError, match="no optimizer"):
        nothing.step(gradient_at(0), ALL)
