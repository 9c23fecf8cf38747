"""`auto` against its formula in plain Python, in other units, and in trainings."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from _support.plain import plain_errors
from _support.scripts import klein_gordon, network
from _support.weighting_properties import (
    assert_has_memory,
    assert_keeps_single_precision,
    assert_order_does_not_matter,
    assert_reads_nothing_on_the_host,
    assert_resumes,
    assert_survives_what_is_not_finite,
    losses_at,
    started,
)

import deepxde_balance as ddb
from deepxde_balance import weightings


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def traces_at(seed):
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(3, generator=rng, dtype=torch.float64) * 2).exp() * tensor([50.0, 1.0, 9.0])


class ByHand:
    """The formula of `auto` with the guard `growth`, for three groups, from plain numbers."""

    def __init__(self, power=0.65, alpha=0.1):
        self.power, self.alpha = power, alpha
        self.first: list[float] = []
        self.rise, self.factors = [0.0, 0.0], [1.0, 1.0]
        self.largest = [0.0, 0.0, 0.0]
        self.recent: list[float] = []
        self.common = None

    def read(self, traces):
        logs = [math.log(traces[0] / t) for t in traces[1:]]
        if not self.first:
            self.first = logs
        else:
            self.rise = [
                (1 - self.alpha) * rise + self.alpha * (log - first)
                for rise, log, first in zip(self.rise, logs, self.first, strict=True)
            ]

    def update(self, losses):
        before = list(self.recent)
        self.recent = [r**0.9 * x**0.1 for r, x in zip(before or losses, losses, strict=True)]
        self.largest = [max(pair) for pair in zip(self.largest, self.recent, strict=True)]
        untrained = [math.exp(log) for log in self.first]
        share = max(k * top for k, top in zip(untrained, self.largest[1:], strict=True))
        h = 1 / min(max(share / self.largest[0], 1), 100)
        weights = []
        for i, k0 in enumerate(untrained):
            k = k0 * math.exp(self.rise[i])
            plain = (h * k0) ** (1 - self.power) * k**self.power
            loss = losses[1 + i]
            smoothed = self.recent[1 + i]
            outweighs = plain * self.factors[i] * smoothed > self.recent[0]
            stuck = bool(before) and loss > 0.95 * before[1 + i]
            if outweighs and stuck and smoothed > 0.01 * self.largest[1 + i]:
                self.factors[i] *= 1.05
            weights.append(plain * self.factors[i])
        weights = [1.0, *weights]
        if self.common is None:
            total = sum(w * loss for w, loss in zip(weights, losses, strict=True))
            self.common = sum(losses) / total
        return [self.common * w for w in weights]


@pytest.mark.parametrize("residual", [1.0, 1e-3, 30.0])
@pytest.mark.parametrize("options", [{}, {"power": 0.5, "alpha": 0.4}])
def test_by_hand(options, residual):
    weighting, expected = started(ddb.Auto(traces_every=3, **options)), ByHand(**options)
    for k in range(40):
        losses = losses_at(k) * tensor([residual, 1.0, 0.2])
        if k % 3 == 0:
            weighting.take_traces(traces_at(k))
            expected.read(traces_at(k).tolist())
        weighting.update_and_check(losses)
        assert weighting.weights.tolist() == pytest.approx(
            expected.update(losses.tolist()), rel=1e-10
        )
    assert weighting.guard.factors.max() > 1  # the guard was at work


def test_the_first_weighted_loss_is_the_unweighted_one():
    weighting = started(ddb.Auto())
    weighting.take_traces(tensor([10.0, 1.0, 400.0]))
    losses = tensor([3.0, 0.5, 2.0])
    weighting.update(losses)
    assert (weighting.weights * losses).sum().item() == pytest.approx(5.5)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("group", [0, 1, 2])
def test_other_units_change_the_weights_alone(unit, group):
    """Errors of one group times `unit`: the same weighted losses, but for one common factor."""
    usual, other = started(ddb.Auto(traces_every=1)), started(ddb.Auto(traces_every=1))
    units = torch.ones(3, dtype=torch.float64)
    units[group] = unit**2
    quotients = []
    for k in range(30):
        losses = losses_at(k // 5)
        for weights_of, factors in ((usual, torch.ones_like(units)), (other, units)):
            weights_of.take_traces(traces_at(k) * factors)
            weights_of.update(losses * factors)
        weighted = other.weights * units * losses, usual.weights * losses
        quotients.append(weighted[0] / weighted[1])
    quotient = torch.stack(quotients)
    torch.testing.assert_close(quotient, quotient[0, 0].expand_as(quotient), rtol=1e-9, atol=0)


def test_traces_are_read_every_100_iterations_and_at_the_first_more():
    weighting = started(ddb.Auto())
    due = {}
    for iteration in range(0, 301, weighting.update_every):
        weighting.iteration = iteration
        if weighting.probes_due():
            due[iteration] = weighting.probes_due()
    assert due == {0: 32, 100: 8, 200: 8, 300: 8}
    assert started(ddb.Auto(probes=50)).probes_due() == 50


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_trace_out_of_range_leaves_its_group_alone(bad):
    weighting, clean = started(ddb.Auto()), started(ddb.Auto())
    for k in range(3):
        for w in (weighting, clean):
            w.take_traces(traces_at(k))
    spoilt = traces_at(9)
    spoilt[1] = bad
    before = weighting.rise.clone()
    weighting.take_traces(spoilt)
    clean.take_traces(traces_at(9))
    assert weighting.rise[0] == before[0]
    assert weighting.rise[1] == clean.rise[1] != before[1]
    assert weighting.ever_skipped().tolist() == [False, True, False]


def test_no_trace_at_all_is_equal_weights_but_for_the_share():
    """Before it knows a ratio it takes 1; conditions that weigh too much are still held back."""
    weighting = started(ddb.Auto(guard=None))
    weighting.take_traces(tensor([0.0, 0.0, 0.0]))
    weighting.update(tensor([4.0, 1.0, 2.0]))
    assert weighting.weights.tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert weighting.ever_skipped().all()
    held_back = started(ddb.Auto(guard=None))
    held_back.take_traces(tensor([0.0, 0.0, 0.0]))
    held_back.update(tensor([1.0, 16.0, 2.0]))
    ratio = held_back.weights[1] / held_back.weights[0]
    assert ratio.item() == pytest.approx(16**-0.35)


def test_a_reference_without_a_trace_is_named_itself():
    weighting = started(ddb.Auto())
    weighting.take_traces(tensor([0.0, 1.0, 1.0]))
    assert weighting.ever_skipped().tolist() == [True, False, False]


def test_first_losses_of_0_or_nan_set_no_weight():
    weighting = started(ddb.Auto(guard=None))
    weighting.take_traces(tensor([8.0, 2.0, 1.0]))
    for losses in ([0.0, 0.0, 0.0], [math.nan, 1.0, 1.0]):
        weighting.update_and_check(tensor(losses))
        assert weighting.weights.isfinite().all()
    weighting.update_and_check(tensor([3.0, 0.1, 0.2]))
    assert (weighting.weights * tensor([3.0, 0.1, 0.2])).sum().item() == pytest.approx(3.3)


def test_a_ratio_that_is_known_late_sets_the_common_factor_anew():
    """The residual and bc1 in units of 1e6, bc0 unknown at first, then in its usual units."""
    weighting = started(ddb.Auto(guard=None))
    losses = tensor([1e12, 1.0, 1e12])
    weighting.take_traces(tensor([1e12, 0.0, 1e12]))
    weighting.update(losses)
    weighting.take_traces(tensor([1e12, 1.0, 1e12]))
    weighting.update(losses)
    assert (weighting.weights * losses).sum().item() == pytest.approx(2e12 + 1)


def make():
    return ddb.Auto(update_every=1, traces_every=2)


def test_state_and_types():
    assert_resumes(make)
    assert_has_memory(make)
    assert_order_does_not_matter(make)
    assert_survives_what_is_not_finite(lambda: ddb.Auto(update_every=1, traces_every=100))
    assert_reads_nothing_on_the_host(make)
    assert_keeps_single_precision(make)


def test_the_guard_is_a_part_that_can_be_changed():
    assert weightings.get("auto").guard.rate == 1.05
    assert weightings.get("auto:guard=release").guard.share == 0.01
    assert ddb.Auto(guard=None).guard is None
    assert ddb.Auto(guard=ddb.Growth(rate=1.2)).guard.rate == 1.2


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"power": 1.1}, ValueError, "power=1.1"),
        ({"alpha": 0}, ValueError, "alpha=0"),
        ({"update_every": 0}, ValueError, "update_every=0"),
        ({"traces_every": 0.5}, ValueError, "traces_every=0.5"),
        ({"probes": 0}, ValueError, "probes=0"),
        ({"guard": "grow"}, ValueError, "Did you mean 'growth'"),
        ({"guard": 3}, TypeError, "guard=3"),
    ],
)
def test_bad_input(wrong, error, message):
    with pytest.raises(error, match=message):
        ddb.Auto(**wrong)


def test_nothing_to_weigh():
    with pytest.raises(ValueError, match="there is no condition"):
        ddb.Auto().check(["pde"])


class Watched(ddb.Auto):
    """Notes what it reads."""

    def __init__(self, **options):
        super().__init__(**options)
        self.reads_of: list[Any] = []

    def take_traces(self, traces):
        super().take_traces(traces)
        self.reads_of.append((self.iteration, "traces", traces.tolist()))

    def update(self, losses):
        super().update(losses)
        self.reads_of.append((self.iteration, "losses", losses.tolist(), self.weights.tolist()))


@pytest.mark.parametrize("engine", ["one-pass", "per-group", "compiled"])
def test_in_training_it_reads_what_it_should_and_weighs_by_the_formula(engine, float64):
    model = ddb.Model(klein_gordon(), network())
    model.compile(
        "adam",
        lr=1e-3,
        loss_weights=Watched(update_every=2, traces_every=3),
        loss_groups={"first": ["bc0"], "second": ["ic1", "ic2"]},
        gradient_engine=engine,
        verbose=0,
    )
    model.train(iterations=14, display_every=1, verbose=0)
    assert isinstance(model.weighting, Watched)
    found, expected, traces = model.weighting.reads_of, ByHand(), []
    for iteration, kind, values, *weights in found:
        if kind == "traces":
            expected.read(values)
            traces.append(iteration)
        else:
            assert weights[0] == pytest.approx(expected.update(values), rel=1e-9)
            terms = model.losshistory.loss_train[iteration]  # recorded before the step
            by_group = [terms[0], terms[1], terms[2] + terms[3]]
            assert values == pytest.approx(by_group, rel=1e-6)
    assert traces == [0, 6, 12]
    assert [read[0] for read in found if read[1] == "losses"] == list(range(0, 14, 2))


def test_the_first_traces_are_those_of_the_untrained_network(float64):
    """To 0.3: the mean of 500 estimates, whose relative deviation is up to 1.5.

    The Jacobian is written out.
    """
    data, net = klein_gordon(), network()
    squares = []
    for errors in plain_errors(net, data):
        rows = [
            torch.autograd.grad(e, list(net.parameters()), retain_graph=True, allow_unused=True)
            for e in errors.reshape(-1)
        ]
        total = sum((g**2).sum().item() for row in rows for g in row if g is not None)
        squares.append(total / errors.numel())
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights=Watched(probes=500), verbose=0)
    model.train(iterations=1, verbose=0)
    watched = model.weighting
    assert isinstance(watched, Watched)
    assert watched.reads_of[0][:2] == (0, "traces")
    np.testing.assert_allclose(watched.reads_of[0][2], squares, rtol=0.3)
