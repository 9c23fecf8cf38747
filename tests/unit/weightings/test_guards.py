"""The guards against their rules in plain Python, and on losses made for the purpose."""

import math

import pytest
import torch
from _support.weighting_properties import assert_is_a_good_weighting, losses_at, rows_at, started

import deepxde_balance as ddb
from deepxde_balance.weightings import guards
from deepxde_balance.weightings.group_gradients import GroupGradients


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def guarded(guard, sequence, weights=(1.0, 1.0)):
    """The guarded weights after each of a sequence of losses."""
    guard.reset(len(weights), tensor(weights))
    return [guard(tensor(weights), tensor(losses)).tolist() for losses in sequence]


def growth_by_hand(sequence, weights, rate=1.05, met=0.01, falling=0.95):
    """The rule with its smoothed losses, but without giving up."""
    factors, largest, found = [1.0] * len(weights), [0.0] * len(weights), []
    recent, recent_residual = list(sequence[0][1:]), sequence[0][0]
    for k, (residual, *conditions) in enumerate(sequence):
        recent_residual = recent_residual**0.9 * residual**0.1
        for i, loss in enumerate(conditions):
            stuck = k > 0 and loss > falling * recent[i]
            recent[i] = recent[i] ** 0.9 * loss**0.1
            largest[i] = max(largest[i], recent[i])
            share = weights[i] * factors[i] * recent[i] / recent_residual
            if share > 1 and stuck and recent[i] > met * largest[i]:
                factors[i] *= rate
        found.append([w * f for w, f in zip(weights, factors, strict=True)])
    return found


def wandering(number=60):
    """Losses of a reference and two conditions that stay, fall and rise again."""
    return [
        [0.5, 2.0 * 0.8 ** max(0, k - 20), 1.0 if k < 30 else 0.5 * 0.9 ** (k % 15)]
        for k in range(number)
    ]


def test_growth_by_hand():
    found = guarded(ddb.Growth(), wandering(), (1.0, 0.7))
    expected = growth_by_hand(wandering(), [1.0, 0.7])
    assert found == [pytest.approx(weights, rel=1e-12) for weights in expected]
    assert found[-1][0] > 2 and found[-1][1] > 2  # the rule was at work


@pytest.mark.parametrize(
    "residual, condition, grows",
    [
        (1.0, [2.0] * 5, True),  # stays, and outweighs the residual
        (3.0, [2.0] * 5, False),  # the residual outweighs it
        (1e-3, [2.0] + [0.019] * 40, False),  # met: below a hundredth of the largest so far
        (1e-3, [2.0] + [0.03] * 80, True),  # not met, once its fall is over
        (1e-9, [0.9**k for k in range(40)], False),  # it falls by itself
    ],
)
def test_a_weight_grows_only_where_a_condition_is_let_go(residual, condition, grows):
    weights = guarded(ddb.Growth(), [[residual, loss] for loss in condition], (1.0,))
    after_the_first = [weight / weights[0][0] for (weight,) in weights]
    assert (after_the_first[-1] > 1) == grows


def test_growth_ends_when_the_weighted_loss_is_that_of_the_reference():
    """The residual's loss rises by a fifth an update, the factor by a tenth: it is overtaken."""
    sequence = [[1.2**k, 4.0] for k in range(40)]
    weights = guarded(ddb.Growth(rate=1.1), sequence, (1.0,))
    # Smoothed, the residual's loss is 1.2^(k - 9 + 9 x 0.9^k). At update k, from 1 on, the weight
    # is 1.1^(k - 1); 4 x 1.1^(k - 1) is larger than that up to k = 33.
    assert weights[-1] == pytest.approx([1.1**33])


@pytest.mark.parametrize("floor", [1e-6, 0.05])
def test_a_jump_of_the_losses_is_not_a_condition_that_is_let_go(floor):
    """A condition that stays at its floor, met or not, and jumps for 5 updates of each 50.

    In a jump it is not met, does not fall and outweighs the residual.
    """
    jump, quiet = [0.2, 0.3], [0.1, floor]
    sequence = [[1.0, 0.9**k] for k in range(20)] + ([quiet] * 45 + [jump] * 5) * 20
    assert {w for (w,) in guarded(ddb.Growth(), sequence, (1.0,))} == {1.0}


def test_growth_is_given_up_where_it_does_not_help():
    """Noise: 1000 updates at a tenth of the first loss, whatever the weight is."""
    sequence = [[1e-9, 1.0]] + [[1e-9, 0.1]] * 1000
    weights = [w for (w,) in guarded(ddb.Growth(rate=1.1), sequence, (1.0,))]
    assert 3000 < max(weights) < 3000 * 1.1**60  # from where the smoothed loss has come down
    assert weights[-1] < 1.1**60 and len(set(weights[-500:])) == 1
    assert weights[-1] * 3000 <= max(weights) * 1.1


def test_growth_that_helps_goes_on():
    """The loss falls with the weight, to a third for every thousandfold: past 3000."""
    guard = ddb.Growth(rate=1.02)
    guard.reset(1, tensor([1.0]))
    weight = 1.0
    for _ in range(700):
        loss = weight ** (math.log(1 / 3) / math.log(1000))
        (weight,) = guard(tensor([1.0]), tensor([1e-9, loss])).tolist()
    assert weight > 1e5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_factors_stay_in_bounds(dtype):
    """Thousands of updates that all call for growth with progress, or all for release."""
    growth, release = ddb.Growth(rate=1.5), ddb.Release(rate=1.5)
    one = torch.ones(1, dtype=dtype)
    for guard in (growth, release):
        guard.reset(1, one)
    for k in range(3000):
        growth(one, torch.tensor([1e-30, 0.4 + 0.5 * (k % 40 < 20)], dtype=dtype))
        release(one, torch.tensor([1.0, 1.0 if k == 0 else 1e-9], dtype=dtype))
    assert 1 <= growth.factors.item() <= 1e6
    assert release.factors.item() == pytest.approx(1e-12)
    for _ in range(100):
        release(one, torch.tensor([1.0, 1.0], dtype=dtype))
    assert release.factors.item() == 1


@pytest.mark.parametrize("guard", [ddb.Growth(met=0.5), ddb.Release(met=0.5)])
def test_one_jump_is_not_the_largest_loss_for_ever(guard):
    """A jump to 200 times the loss and back. At 2 a condition is not met, before and after it."""
    weights = guarded(guard, [[1e-3, 2.0]] * 5 + [[1e-3, 400.0]] + [[1e-3, 2.0]] * 60, (1.0,))
    after = weights[40:]
    if isinstance(guard, ddb.Growth):
        assert after[-1] > after[0]
    else:
        assert after[-1] == [1.0]


def test_release_by_hand():
    """Twenty updates met and negligible, then missed until the factor is 1 again."""
    met, missed = [1.0, 1e-6], [1.0, 0.5]
    weights = guarded(ddb.Release(), [[1.0, 1.0]] + [met] * 20 + [missed] * 25, (1.0,))
    expected = [1.2**-k for k in range(21)] + [1.2 ** (k - 20) for k in range(1, 20)] + [1.0] * 6
    assert [w for (w,) in weights] == pytest.approx(expected, rel=1e-12)


def test_a_condition_that_is_met_and_counts_gets_its_weight_back():
    """A loss of 1e-5, met, whose share is 0.1 with factor 1, and above 0.03 with 0.4."""
    sequence = [[1.0, 1.0]] + [[1.0, 1e-9]] * 5 + [[1e-4, 1e-5]] * 9
    weights = [w for (w,) in guarded(ddb.Release(), sequence, (1.0,))]
    assert weights[5] == pytest.approx(1.2**-5)
    assert weights[6:] == pytest.approx([1.2**-k for k in range(4, 0, -1)] + [1.0] * 5)


def test_a_condition_of_small_loss_that_counts_is_not_released():
    """A thousandth of its largest loss, but a weighted loss of a tenth of the reference's."""
    weights = guarded(ddb.Release(), [[1.0, 1.0]] + [[1e-4, 1e-5]] * 20, (1.0,))
    assert weights[-1] == [1.0]


@pytest.mark.parametrize("make", [ddb.Growth, ddb.Release])
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_do_not_matter(make, unit):
    """The residual's loss in other units, the weights the other way round."""
    sequence = [
        [loss * (1e-3 if k % 2 else 1.0) for loss in row] for k, row in enumerate(wandering())
    ]
    usual = guarded(make(), sequence, (1.0, 0.7))
    other = guarded(make(), [[r * unit, *c] for r, *c in sequence], (unit, 0.7 * unit))
    assert len({w for row in usual for w in row}) > 4  # the rule was at work
    for found, expected in zip(other, usual, strict=True):
        assert [w / unit for w in found] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("make", [ddb.Growth, ddb.Release])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_nothing_is_taken_in_from_losses_that_are_not_finite(make, bad, which):
    clean, spoilt = make(), make()
    weights = tensor([1.0, 0.7])
    for guard in (clean, spoilt):
        guard.reset(2, weights)
    for losses in wandering(40):
        wrong = tensor(losses)
        wrong[which] = bad
        expected = clean(weights, tensor(losses))
        spoilt(weights, tensor(losses))
        assert torch.equal(spoilt(weights, wrong), expected)


@pytest.mark.parametrize("name", ["growth", "release"])
@pytest.mark.parametrize("preset", ["gw-mean", "dn"])
def test_guarded_strategies_are_good_weightings(preset, name):
    assert_is_a_good_weighting(lambda: ddb.weightings.get(preset, guard=name))


@pytest.mark.parametrize("preset", ["db-std", "gw-mean", "dn", "db-kurtosis"])
def test_the_averages_go_on_without_the_factors(preset):
    """A guarded weight is the plain strategy's times the guard's factor, at every update."""
    plain = started(ddb.weightings.get(preset, update_every=1))
    guard = ddb.Growth(rate=1.5)
    weighting = started(ddb.weightings.get(preset, update_every=1, guard=guard))
    grew = False
    for seed in range(20):
        losses = losses_at(seed)
        gradients = GroupGradients(rows_at(seed))
        plain.update(losses, gradients)
        weighting.update(losses, gradients)
        expected = plain.weights[1:] * weighting.guard.factors
        torch.testing.assert_close(weighting.weights[1:], expected)
        grew |= bool((weighting.guard.factors > 1).any())
    assert grew


@pytest.mark.parametrize("bound, guard", [("max_weight", "growth"), ("min_weight", "release")])
def test_a_guard_keeps_within_the_bounds(bound, guard):
    """Losses that call for the guard at every update, in a strategy with bounds at 1 and 10."""
    limit = {"max_weight": 10.0, "min_weight": 1.0}[bound]
    condition = {"growth": 1.0, "release": 1e-9}[guard]
    word = f"db-std:guard={guard},{bound}={limit}"
    weighting = started(ddb.weightings.get(word), num_groups=2)
    gradients = GroupGradients(rows_at(0)[:2])
    weighting.update(tensor([1e-3, 1.0]), gradients)
    reached = set()
    for _ in range(100):
        weighting.update(tensor([1e-3 if guard == "growth" else 1.0, condition]), gradients)
        reached.add((weighting.weights[1] == limit).item())
        assert weighting.guard.factors.item() != 1
    plain = weighting.unguarded * weighting.guard.factors
    assert True in reached and (plain > 10 or plain < 1)


def test_words_and_objects():
    word = ddb.weightings.get("db-kurtosis:guard=release")
    assert repr(word.guard) == "Release(rate=1.2, met=0.001, share=0.01)"
    guard = ddb.Growth(rate=2)
    assert ddb.DN(guard=guard).guard is guard
    assert ddb.GW("std").guard is None


def test_a_word_gives_a_guard_its_parameter():
    guard = ddb.weightings.get("auto:guard=growth:rate=1.1,power=0.5").guard
    assert isinstance(guard, ddb.Growth)
    assert (guard.rate, guard.met) == (1.1, ddb.Growth().met)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: ddb.Growth(rate=0.9), ValueError, "rate=0.9"),
        (lambda: ddb.Growth(met=1), ValueError, "met=1"),
        (lambda: ddb.Growth(falling=0), ValueError, "falling=0"),
        (lambda: ddb.Release(rate=0.9), ValueError, "rate=0.9"),
        (lambda: ddb.Release(met=0), ValueError, "met=0"),
        (lambda: ddb.Release(share=0), ValueError, "share=0"),
        (
            lambda: guards.get("grow"),
            ValueError,
            "Unknown guard 'grow'. Did you mean 'growth'",
        ),
        (lambda: guards.get("growth:rate=0.5"), ValueError, "rate=0.5"),
        (lambda: guards.get("growth:rat=2"), TypeError, "guard 'growth' has no parameter 'rat'"),
        (
            lambda: ddb.DB("mean", guard=1),  # type: ignore[arg-type]  # refused
            TypeError,
            "guard=1",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_growth_in_half_precision():
    guard = ddb.Growth(rate=10)
    guard.reset(1, torch.ones(1, dtype=torch.float16))
    losses = torch.tensor([1.0, 2.0], dtype=torch.float16)
    for _ in range(4):
        weights = guard(torch.ones(1, dtype=torch.float16), losses)
    assert weights.dtype == torch.float16
    assert weights.item() == 1000
