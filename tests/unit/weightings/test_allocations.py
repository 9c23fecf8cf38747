"""Each allocation on hand-worked numbers."""

import pytest
import torch

from deepxde_balance.weightings import allocations

RATIOS = torch.tensor([10.0, 20.0, 60.0])


def test_pairwise_is_the_ratio():
    weights = allocations.get("pairwise")(RATIOS, torch.ones(3))
    torch.testing.assert_close(weights, RATIOS)


def test_average_is_the_mean_ratio():
    weights = allocations.get("average")(RATIOS, torch.ones(3))
    torch.testing.assert_close(weights, torch.full((3,), 30.0))


def test_difficulty_by_hand():
    allocation = allocations.get("difficulty")
    allocation.reset(2, torch.ones(2))
    ratios = torch.tensor([4.0, 8.0])
    # t = 1: mu = L, so both indices are 1 and each gets half of G = 12.
    first = allocation(ratios, torch.tensor([3.0, 0.5]))
    torch.testing.assert_close(first, torch.tensor([6.0, 6.0]))
    # t = 2: mu = (2, 0.5), L = (1, 0.5): indices 0.5 and 1, shares 1/3 and 2/3.
    second = allocation(ratios, torch.tensor([1.0, 0.5]))
    torch.testing.assert_close(second, torch.tensor([4.0, 8.0]))
    # t = 3: mu = (8/3, 1/2), L = (4, 1/2): indices 3/2 and 1, shares 3/5 and 2/5.
    third = allocation(ratios, torch.tensor([4.0, 0.5]))
    torch.testing.assert_close(third, torch.tensor([7.2, 4.8]))


@pytest.mark.parametrize("name", ["pairwise", "average", "difficulty"])
def test_a_left_out_group_counts_nowhere(name):
    """With group 1 left out, the others get what they get without it."""
    whole, rest = allocations.get(name), allocations.get(name)
    whole.reset(3, torch.ones(3))
    rest.reset(2, torch.ones(2))
    losses = torch.tensor([[1.0, 5.0, 2.0], [0.5, 3.0, 1.8]])
    for row in losses:
        weights = whole(torch.tensor([10.0, 0.0, 60.0]), row)
        expected = rest(torch.tensor([10.0, 60.0]), row[[0, 2]])
        torch.testing.assert_close(weights[[0, 2]], expected)
        assert weights[1] == 0


def test_difficulty_of_one_group_is_its_ratio():
    allocation = allocations.get("difficulty")
    allocation.reset(1, torch.ones(1))
    for loss in (3.0, 0.1, 7.0):
        weights = allocation(torch.tensor([5.0]), torch.tensor([loss]))
        torch.testing.assert_close(weights, torch.tensor([5.0]))


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
def test_a_loss_that_is_not_finite_is_no_part_of_the_mean(bad):
    """Group 0's losses are 2, bad, 4: mu = 3 at the third update, so its index is 4/3."""
    allocation = allocations.get("difficulty")
    allocation.reset(2, torch.ones(2))
    ratios = torch.tensor([3.0, 4.0])
    for losses in ([2.0, 1.0], [bad, 1.0]):
        allocation(ratios, torch.tensor(losses))
    weights = allocation(ratios, torch.tensor([4.0, 1.0]))
    torch.testing.assert_close(weights, torch.tensor([4.0, 3.0]))  # shares 4/7 and 3/7 of 7
