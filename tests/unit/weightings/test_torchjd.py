"""TorchJD's weightings behind ours: against TorchJD's own aggregators on the whole matrix."""

import math
import sys

import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_order_does_not_matter,
    assert_resumes,
    feed,
    history,
    losses_at,
    rows_at,
    started,
)

from deepxde_balance.weightings import TorchJD

jd = pytest.importorskip("torchjd.aggregation")

#: Weightings of Gramians that need nothing beside TorchJD, with their aggregators.
PAIRS = [
    (jd.MGDAWeighting, jd.MGDA),
    (jd.IMTLGWeighting, jd.IMTLG),
    (jd.AlignedMTLWeighting, jd.AlignedMTL),
    (jd.PCGradWeighting, jd.PCGrad),
    (jd.GradVacWeighting, jd.GradVac),
]
STATEFUL = [
    jd.GradVacWeighting,
    lambda: jd.CRMOGMWeighting(jd.MGDAWeighting(), alpha=0.5),
    lambda: jd.CRMOGMWeighting(jd.GradVacWeighting()),
]


@pytest.mark.parametrize("weighting, aggregator", PAIRS)
def test_the_weighted_gradients_sum_to_torchjds_aggregation(weighting, aggregator):
    ours, theirs = started(TorchJD(weighting())), aggregator()
    for seed in range(4):
        torch.manual_seed(seed)
        feed(ours, losses_at(seed), rows_at(seed))
        torch.manual_seed(seed)
        expected = theirs(rows_at(seed))
        torch.testing.assert_close(ours.weights @ rows_at(seed), expected)


def test_upgrad():
    pytest.importorskip("quadprog")
    ours = started(TorchJD(jd.UPGrad()))
    feed(ours, losses_at(0), rows_at(0))
    torch.testing.assert_close(ours.weights @ rows_at(0), jd.UPGrad()(rows_at(0)))


def test_nash_mtl():
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    ours, theirs = started(TorchJD(jd.NashMTL(n_tasks=3))), jd.NashMTL(n_tasks=3)
    for seed in range(2):
        feed(ours, losses_at(seed), rows_at(seed))
        torch.testing.assert_close(ours.weights @ rows_at(seed), theirs(rows_at(seed)))


@pytest.mark.parametrize("weighting, aggregator", PAIRS)
def test_an_aggregator_is_taken_for_its_weighting(weighting, aggregator):
    from_weighting, from_aggregator = TorchJD(weighting()), TorchJD(aggregator())
    assert from_weighting.strategy == from_aggregator.strategy
    assert from_weighting.strategy.startswith(f"TorchJD({weighting.__name__}")
    for ours in (from_weighting, from_aggregator):
        torch.manual_seed(0)
        history(started(ours), range(3))
    assert torch.equal(from_weighting.weights, from_aggregator.weights)


def test_an_aggregator_whose_weighting_reads_the_gradients():
    ours = started(TorchJD(jd.Constant(torch.tensor([3.0, 1.0, 2.0]))))
    feed(ours, losses_at(0), rows_at(0))
    assert ours.weights.tolist() == [3.0, 1.0, 2.0]
    assert ours.weights.dtype == torch.float64


def test_the_order_of_the_groups_does_not_matter():
    for weighting in (jd.IMTLGWeighting, jd.AlignedMTLWeighting, jd.MGDAWeighting):
        assert_order_does_not_matter(lambda weighting=weighting: TorchJD(weighting()))


@pytest.mark.parametrize("weighting", [jd.MGDAWeighting, *STATEFUL])
def test_it_resumes(weighting):
    assert_resumes(lambda: TorchJD(weighting()))
    if weighting is not jd.MGDAWeighting:
        assert_has_memory(lambda: TorchJD(weighting()))


def test_reset_forgets_torchjds_state():
    ours, fresh = started(TorchJD(jd.GradVac())), started(TorchJD(jd.GradVac()))
    history(ours, range(3))
    started(ours)
    torch.manual_seed(0)
    expected = history(fresh, range(3, 6))
    torch.manual_seed(0)
    assert torch.equal(history(ours, range(3, 6)), expected)


@pytest.mark.parametrize("weighting, _", PAIRS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nothing_is_updated_from_what_is_not_finite(weighting, _, bad):
    ours = started(TorchJD(weighting()))
    history(ours, range(2))
    before = ours.weights.clone()
    rows, losses = rows_at(2), losses_at(2)
    rows[1, 3] = losses[2] = bad
    feed(ours, losses_at(2), rows)
    feed(ours, losses, rows_at(2))
    assert torch.equal(ours.weights, before)
    assert ours.ever_skipped().tolist() == [True, True, True]
    feed(ours, losses_at(3), rows_at(3))
    assert ours.weights.isfinite().all()
    assert not torch.equal(ours.weights, before)


@pytest.mark.parametrize("weighting, _", PAIRS)
def test_a_gradient_of_zero_is_no_error(weighting, _):
    ours = started(TorchJD(weighting()))
    rows = rows_at(0)
    rows[1] = 0.0
    feed(ours, losses_at(0), rows)
    assert ours.weights.isfinite().all()


@pytest.mark.parametrize(
    "given",
    [
        None,
        "upgrad",
        jd.MGDAWeighting,
        jd.ConFIG(),
        jd.MeanWeighting(),
        jd.MoDoWeighting(gamma=0.1, rho=0.1),
        jd.CRMOGMWeighting(jd.MeanWeighting()),
        torch.nn.Linear(3, 3),
    ],
)
def test_what_gives_no_weights_from_a_gramian_is_refused(given):
    with pytest.raises(TypeError, match=r"(?s)weighting=.*maps a Gramian.*MGDAWeighting\(\)"):
        TorchJD(given)


def test_weights_for_another_number_of_groups():
    ours = started(TorchJD(jd.CRMOGMWeighting(OfTwo())))
    with pytest.raises(ValueError, match=r"shape \(2,\) for 3 groups"):
        feed(ours, losses_at(0), rows_at(0))


class OfTwo(type(jd.MGDAWeighting()).__mro__[1]):  # type: ignore[misc]  # found at run time
    """A user's weighting of Gramians with a wrong result."""

    def forward(self, gramian, /):
        return torch.ones(2)


def test_hyperparameters_are_those_of_torchjd_too():
    given = TorchJD(jd.CRMOGMWeighting(jd.MGDAWeighting(max_iters=7), alpha=0.25), update_every=2)
    assert given.hyperparameters == {
        "update_every": 2,
        "scale": None,
        "torchjd.alpha": 0.25,
        "torchjd.weighting.epsilon": 0.001,
        "torchjd.weighting.max_iters": 7,
    }
    assert given.strategy == "TorchJD(CRMOGMWeighting << MGDAWeighting)"


def test_without_torchjd(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(ImportError, match=r"deepxde-balance\[torchjd\]"):
        TorchJD(None)
