"""Whole weightings on plain tensors: what happens to bad statistics, bounds, schedule, state."""

# mypy: disable-error-code="arg-type"
# The types, too, forbid what is refused here.

import copy
import io
import math
from typing import Any

import pytest
import torch

import deepxde_balance as ddb
from deepxde_balance import weightings
from deepxde_balance.weightings import averages
from deepxde_balance.weightings.group_gradients import GroupGradients

PRESETS = [
    name
    for name in weightings.names()
    if isinstance(weightings.get(name), weightings.GradientWeighting)
]


def started(weighting, num_groups=3):
    weighting.reset(num_groups, torch.zeros(1, dtype=torch.float64))
    return weighting


def random_update(seed, num_groups=3):
    rng = torch.Generator().manual_seed(seed)
    losses = torch.rand(num_groups, generator=rng, dtype=torch.float64) + 0.1
    rows = torch.randn(num_groups, 40, generator=rng, dtype=torch.float64)
    return losses, GroupGradients(rows * torch.tensor([[10.0], [1.0], [0.1]][:num_groups]))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("spoil", ["zero", "inf", "nan"])
def test_a_group_with_a_bad_statistic_keeps_its_weight(name, spoil):
    weighting = started(weightings.get(name))
    for seed in range(3):
        weighting.update(*random_update(seed))
    before = weighting.weights.clone()
    losses, gradients = random_update(3)
    gradients.values[1] = {"zero": 0.0, "inf": math.inf, "nan": math.nan}[spoil]
    weighting.update(losses, gradients)
    assert weighting.weights[0] == 1
    assert weighting.weights[1] == before[1] != 1
    assert weighting.weights[2] != before[2]
    assert weighting.weights.isfinite().all()
    assert weighting.ever_skipped().tolist() == [False, True, False]


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_is_updated_from_a_loss_that_is_not_finite(name):
    weighting = started(weightings.get(name))
    weighting.update(*random_update(0))
    before = weighting.weights.clone()
    for bad in (math.nan, math.inf):
        losses, gradients = random_update(1)
        losses[0] = bad
        weighting.update(losses, gradients)
        assert torch.equal(weighting.weights, before)


@pytest.mark.parametrize("name", PRESETS)
def test_a_vanished_reference_changes_nothing(name):
    weighting = started(weightings.get(name))
    losses, gradients = random_update(0)
    gradients.values[0] = 0.0
    weighting.update(losses, gradients)
    assert torch.equal(weighting.weights, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["gw-kurtosis", "gw-std", "db-std"])
def test_a_network_of_one_parameter_has_no_deviation(name):
    weighting = started(weightings.get(name))
    ones = torch.ones(3, 1, dtype=torch.float64)
    weighting.update(ones[:, 0], GroupGradients(ones))
    assert torch.equal(weighting.weights, torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("name", PRESETS)
def test_the_order_of_the_conditions_does_not_matter(name):
    straight, swapped = started(weightings.get(name)), started(weightings.get(name))
    order = [0, 2, 1]
    for seed in range(4):
        losses, gradients = random_update(seed)
        straight.update(losses, gradients)
        swapped.update(losses[order], GroupGradients(gradients.values[order]))
    torch.testing.assert_close(swapped.weights, straight.weights[order])


def test_max_weight_bounds_the_weights():
    free = started(ddb.DB("mean", update_every=1))
    bound = started(ddb.DB("mean", update_every=1, max_weight=5.0))
    for seed in range(4):
        free.update(*random_update(seed))
        bound.update(*random_update(seed))
        assert bound.weights.max() <= 5.0
    assert free.weights.max() > 5.0


def test_min_weight_lifts_every_instantaneous_weight():
    """Norms 4, 8 and 1: ratios 1/2 and 4; then 4, 2 and 0: 2, and a group that is left out."""
    weighting = started(ddb.GradientWeighting("norm", "pairwise", "running-mean", min_weight=1.0))
    losses = torch.ones(3, dtype=torch.float64)
    for norms, expected in [([4, 8, 1], [1, 1, 4]), ([4, 2, 0], [1, 1.5, 4])]:
        rows = torch.tensor(norms, dtype=torch.float64).unsqueeze(1)
        weighting.update(losses, GroupGradients(rows))
        assert weighting.weights.tolist() == expected
    assert weighting.ever_skipped().tolist() == [False, False, True]


@pytest.mark.parametrize("make", [ddb.GW, lambda s, **given: ddb.DN(**given), ddb.DB])
def test_min_weight_bounds_the_presets(make):
    free = started(make("norm", update_every=1))
    bound = started(make("norm", update_every=1, min_weight=0.7))
    for seed in range(4):
        losses, gradients = random_update(seed)
        few = GroupGradients(gradients.values * torch.tensor([[1e-3], [1.0], [1.0]]))
        free.update(losses, few)
        bound.update(losses, few)
    assert free.weights.min() < 0.7
    assert bound.weights.min() >= 0.7


class Extrapolation(averages.Average):
    """An average of one's own, which goes past what it is given."""

    def reset(self, num_conditions, like):
        pass

    def forward(self, weights, instantaneous):
        return weights + 2 * (instantaneous - weights)


def test_bounds_hold_for_what_any_average_gives():
    """Ratios 8 and 1/4 are bounded to 4 and 3/4, and extrapolated to 7 and 1/2."""
    weighting = started(
        ddb.GradientWeighting("norm", "pairwise", Extrapolation(), max_weight=4.0, min_weight=0.75)
    )
    rows = torch.tensor([[8.0], [1.0], [32.0]], dtype=torch.float64)
    weighting.update(torch.ones(3, dtype=torch.float64), GroupGradients(rows))
    assert weighting.weights.tolist() == [1, 4, 0.75]


@pytest.mark.parametrize("update_every", [1, 3, 10])
def test_the_schedule_starts_with_the_first_iteration(update_every):
    weighting = ddb.DB("std", update_every=update_every)
    due = []
    for iteration in range(25):
        if weighting.due():
            due.append(iteration)
        weighting.iteration += 1
    assert due == list(range(0, 25, update_every))


@pytest.mark.parametrize("name", PRESETS)
def test_state_round_trips(name):
    """Saved, loaded into a fresh object and continued, it gives what the unbroken one gives."""
    unbroken: Any = started(weightings.get(name))
    for seed in range(5):
        unbroken.update(*random_update(seed))
        unbroken.iteration += 1
    file = io.BytesIO()
    torch.save(unbroken.state_dict(), file)
    file.seek(0)
    resumed: Any = weightings.get(name)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.iteration == 5
    for seed in range(5, 9):
        unbroken.update(*random_update(seed))
        resumed.update(*random_update(seed))
    assert torch.equal(resumed.weights, unbroken.weights)
    fresh = started(weightings.get(name))
    fresh.update(*random_update(5))
    assert not torch.equal(fresh.weights, resumed.weights)


def test_float32_state_lives_with_the_network():
    weighting: Any = weightings.get("db-mean")
    weighting.reset(3, torch.zeros(1, dtype=torch.float32))
    losses, gradients = random_update(0)
    weighting.update(losses.float(), GroupGradients(gradients.values.float()))
    floating = [t for t in weighting.buffers() if t.is_floating_point()]
    assert {t.dtype for t in floating} == {torch.float32}


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ddb.GW("mean", alpha=0), "alpha=0"),
        (lambda: ddb.GW("men"), "Did you mean 'mean'"),
        (lambda: ddb.DN(p=0.5), "p=0.5"),
        (lambda: ddb.DN(beta=1.0), "beta=1.0"),
        (lambda: ddb.DN(beta=1.0, bias_correction=False), "beta=1.0"),
        (lambda: ddb.DB("mean", update_every=0), "update_every=0"),
        (lambda: ddb.DB("mean", update_every=2.5), "update_every=2.5"),
        (lambda: ddb.DB("mean", update_every=True), "update_every=True"),
        (lambda: ddb.DB("mean", max_weight=0.5), "max_weight=0.5"),
        (lambda: ddb.DN(min_weight=0.0), "min_weight=0.0"),
        (lambda: ddb.GW("std", min_weight=1.5), "min_weight=1.5"),
        (lambda: ddb.DB("mean", scale=[1.0, -1.0]), r"scale\[1\]=-1.0"),
        (lambda: ddb.DB("mean", scale={"bc": math.inf}), r"scale\['bc'\]=inf"),
        (lambda: ddb.GradientWeighting("mean", "pair", ddb.EMA()), "allocation 'pair'"),
    ],
)
def test_values_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ddb.DB(3), "statistic=3"),
        (lambda: ddb.GradientWeighting("mean", None, ddb.EMA()), "allocation=None"),
        (lambda: ddb.GradientWeighting("mean", "pairwise", ddb.RunningMean), "average="),
        (lambda: ddb.LossWeighting([1, 2]), "is no weighting"),
    ],
)
def test_values_of_the_wrong_type(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_a_weighting_can_be_copied_with_its_state():
    weighting = started(ddb.DB("std"))
    weighting.update(*random_update(0))
    assert torch.equal(copy.deepcopy(weighting).weights, weighting.weights)
