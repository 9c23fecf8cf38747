"""Equal norms (Wang et al. 2023) against the algorithm written out."""

import math

import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_is_a_good_weighting,
    feed,
    losses_at,
    rows_at,
    started,
)

from deepxde_balance import weightings
from deepxde_balance.weightings import EqualNorms


def test_it_is_a_good_weighting():
    assert_is_a_good_weighting(EqualNorms)
    assert_has_memory(EqualNorms)


def euclidean(row):
    return math.sqrt(sum(value * value for value in row))


@pytest.mark.parametrize("share_of_the_old", [0.9, 0.5, 0.0])
def test_algorithm_1(share_of_the_old):
    weighting = started(EqualNorms(alpha=1 - share_of_the_old))
    expected = [1.0, 1.0, 1.0]
    for seed in range(6):
        rows = rows_at(seed)
        feed(weighting, losses_at(seed), rows)
        norms = [euclidean(row) for row in rows.tolist()]
        mean = sum(norms) / 3
        expected = [
            share_of_the_old * old + (1 - share_of_the_old) * mean / norm
            for old, norm in zip(expected, norms, strict=True)
        ]
        torch.testing.assert_close(weighting.weights.tolist(), expected)


def test_without_an_average_all_weighted_norms_are_equal():
    weighting = started(EqualNorms(alpha=1.0))
    rows = rows_at(0)
    feed(weighting, losses_at(0), rows)
    norms = (weighting.weights[:, None] * rows).norm(dim=1)
    torch.testing.assert_close(norms, rows.norm(dim=1).mean().expand(3))


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("group", [0, 1])
def test_a_gradient_out_of_range_leaves_its_group_alone(bad, group):
    weighting = started(EqualNorms(alpha=0.5))
    feed(weighting, losses_at(0), rows_at(0))
    before = weighting.weights.clone()
    rows = rows_at(1)
    rows[group] = bad
    feed(weighting, losses_at(1), rows)
    others = [i for i in range(3) if i != group]
    norms = rows[others].norm(dim=1)
    expected = before.clone()
    expected[others] = before[others] / 2 + norms.mean() / norms / 2
    torch.testing.assert_close(weighting.weights, expected)
    assert weighting.ever_skipped().tolist() == [i == group for i in range(3)]


@pytest.mark.parametrize("alpha", [0, 1.1, math.nan])
def test_alpha_is_checked(alpha):
    with pytest.raises(ValueError, match=r"alpha=.*must be a number in \(0, 1\]"):
        EqualNorms(alpha=alpha)


def test_name():
    made = weightings.get("grad-norm")
    assert type(made) is EqualNorms
    assert made.update_every == 100
    assert made.hyperparameters["average.alpha"] == 0.1
