"""ConFIG's weights against its direction, from the whole matrix of gradients."""

import math

import pytest
import torch
from _support.weighting_properties import (
    assert_is_a_good_weighting,
    feed,
    losses_at,
    rows_at,
    started,
)
from deepxde.optimizers.pytorch import nncg

from deepxde_balance import weightings
from deepxde_balance.weightings import ConFIG


def test_it_is_a_good_weighting():
    assert_is_a_good_weighting(ConFIG)


def direction(rows):
    """Eq. 2 with the pseudo-inverse of the unit gradients themselves."""
    units = rows / rows.norm(dim=1, keepdim=True)
    v = torch.linalg.pinv(units).sum(dim=1)
    v = v / v.norm()
    return sum(torch.dot(row, v) for row in rows) * v


def updated(rows):
    weighting = started(ConFIG(), num_groups=len(rows))
    feed(weighting, losses_at(0, len(rows)), rows)
    return weighting


@pytest.mark.parametrize("num_groups", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_weighted_gradients_sum_to_the_conflict_free_direction(num_groups, seed):
    rows = rows_at(seed, num_groups, num_parameters=7)
    weights = updated(rows).weights
    torch.testing.assert_close(weights @ rows, direction(rows))


@pytest.mark.parametrize("seed", range(3))
def test_all_losses_fall_at_the_same_rate(seed):
    rows = rows_at(seed, num_parameters=4)
    update = updated(rows).weights @ rows
    cosines = rows @ update / (rows.norm(dim=1) * update.norm())
    assert cosines.min() > 0
    torch.testing.assert_close(cosines, cosines[:1].expand(3))


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, nncg.NNCG])
def test_optimizers_that_freeze_the_weights_are_refused(optimizer):
    with pytest.raises(ValueError, match=rf"may be negative, and {optimizer.__name__} minimises"):
        ConFIG().attach(optimizer([torch.nn.Parameter(torch.zeros(2))]))
    ConFIG().attach(torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]))


@pytest.mark.parametrize("seed", range(3))
def test_against_torchjd(seed):
    aggregation = pytest.importorskip("torchjd.aggregation")
    rows = rows_at(seed, 4)
    torch.testing.assert_close(updated(rows).weights @ rows, aggregation.ConFIG()(rows))


def test_by_hand_in_the_plane():
    # Unit gradients (1, 0) and (0, 1): v = (1, 1) / sqrt 2, length (3 + 4) / sqrt 2.
    rows = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(updated(rows).weights.tolist(), [3.5 / 3, 3.5 / 4])


def test_a_weight_can_be_negative():
    """The third gradient is nearly the sum of the others: their sum would favour it."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.1]], dtype=torch.float64)
    assert (updated(rows).weights < 0).tolist() == [False, False, True]


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_gradient_out_of_range_leaves_its_group_alone(bad):
    weighting = updated(rows_at(0))
    before = weighting.weights.clone()
    rows = rows_at(1)
    rows[1] = bad
    feed(weighting, losses_at(1), rows)
    assert weighting.weights[1] == before[1]
    others = [0, 2]
    torch.testing.assert_close(weighting.weights[others] @ rows[others], direction(rows[others]))
    assert weighting.ever_skipped().tolist() == [False, True, False]


def test_opposite_gradients_leave_no_direction():
    row = torch.tensor([3.0, 4.0], dtype=torch.float64)
    weighting = updated(torch.stack([row, -row]))
    assert weighting.weights.tolist() == [1.0, 1.0]
    assert weighting.ever_skipped().tolist() == [True, True]


def test_name_and_bad_values():
    assert type(weightings.get("ConFIG")) is ConFIG
    with pytest.raises(ValueError, match="update_every=0"):
        ConFIG(update_every=0)
