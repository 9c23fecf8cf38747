"""The first weights that are not allowed, however many updates there are."""

import math

import pytest
import torch

from deepxde_balance.weightings.weight_check import WeightCheck

ONES = torch.ones(3)


def weights_at(iteration, wrong):
    """Weights of 1, but for `wrong`: from a group to its first wrong iteration and the value."""
    values = [1.0] * 3
    for group, (first, value) in wrong.items():
        if iteration >= first:
            values[group] = value
    return torch.tensor(values)


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("number", [1, 2, 99, 100, 101, 350])
def test_the_first_iteration_of_each_group(every, number):
    wrong = {0: (every * 60, math.nan), 2: (every * 230, -1.0)}
    check = WeightCheck(may_be_negative=False)
    for iteration in range(0, every * number, every):
        check.note(iteration, weights_at(iteration, wrong), ONES)
    last = every * (number - 1)
    expected = [wrong[i][0] if i in wrong and wrong[i][0] <= last else None for i in range(3)]
    assert check.first_invalid() == expected
    assert check.first_invalid() == expected


def test_uneven_iterations():
    check = WeightCheck(may_be_negative=False)
    for iteration in (0, 3, 6, 20, 21, 21, 40):
        check.note(iteration, weights_at(iteration, {1: (21, math.inf)}), ONES)
    assert check.first_invalid() == [None, 21, None]


def test_negative_weights_where_the_method_allows_them():
    check = WeightCheck(may_be_negative=True)
    check.note(0, -ONES, ONES)
    check.note(1, ONES * math.nan, ONES)
    assert check.first_invalid() == [1, 1, 1]


def test_nothing_is_wrong_where_a_loss_is_not_finite():
    check = WeightCheck(may_be_negative=False)
    check.note(0, ONES * math.nan, torch.tensor([1.0, math.nan, 1.0]))
    assert check.first_invalid() == [None, None, None]


def test_weights_that_are_changed_in_place_are_still_noticed():
    check = WeightCheck(may_be_negative=False)
    weights = torch.tensor([math.nan, 1.0, 1.0])
    check.note(5, weights, ONES)
    weights.fill_(1.0)
    assert check.first_invalid() == [5, None, None]
