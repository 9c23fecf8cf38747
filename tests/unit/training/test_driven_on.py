"""Conditions that are driven on, and a residual that is forgotten: found in histories."""

import math
import warnings

import pytest
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.training.driven_on import RunawayWatch


def watch(weights, losses):
    """A watch that has seen records: of the weights, and of the losses aligned at the end."""
    seen = RunawayWatch("pde")
    for k, record in enumerate(weights):
        seen.add(record, losses[max(k - len(weights) + len(losses), 0)])
    return seen


def driven_on(weights, losses):
    return watch(weights, losses).driven_on()


def weights(*of_bc, pde=1.0):
    return [{"pde": pde, "bc": w, "ic": 1.0} for w in of_bc]


def losses(bc, first=1.0):
    return [{"pde": 1.0, "bc": first, "ic": 0.3}, {"pde": 1.0, "bc": bc, "ic": 0.3}]


@pytest.mark.parametrize(
    ("of_bc", "loss", "found"),
    [
        ((1, 50, 5000), 1e-9, ["bc"]),
        ((1, 50, 99), 1e-9, []),  # not a hundredfold
        ((1, 50, 5000), 1e-7, []),  # 5e-4 of the residual's
        ((5000, 5000, 5000), 1e-9, []),  # large from the start
        ((1, 5000, 50), 1e-9, []),  # it has come back
        ((1, 50, 5000), math.nan, []),
    ],
)
def test_a_weight_that_grows_where_the_loss_is_negligible(of_bc, loss, found):
    assert driven_on(weights(*of_bc), losses(loss)) == found


def test_what_was_always_negligible_is_not_met():
    """Beside a residual that is huge at first, say."""
    assert driven_on(weights(1, 5000), losses(1e-9, first=2e-8)) == []


def test_growth_is_relative_to_the_references_weight():
    """A strategy that lowers the residual's weight instead does the same."""
    history = [{"pde": 1.0, "bc": 1.0}, {"pde": 1e-3, "bc": 1.0}]
    of_bc = [{"pde": 1.0, "bc": 1.0}, {"pde": 1.0, "bc": 1e-8}]
    assert driven_on(history, of_bc) == ["bc"]
    of_bc[-1]["bc"] = 1e-6
    assert driven_on(history, of_bc) == []


def test_records_of_an_earlier_phase_may_lack_the_group():
    history = [{"pde": 1.0, "all": 1.0}, *weights(1, 5000)]
    assert driven_on(history, losses(1e-9)) == ["bc"]


@pytest.mark.parametrize(
    ("residual", "condition", "weight", "forgotten"),
    [
        ((0.9, 5.0, 10.0), (1.0, 1e-3, 1e-13), 2e8, True),
        ((0.9, 5.0, 8.0), (1.0, 1e-3, 1e-13), 2e8, False),  # less than tenfold
        ((0.9, 5.0, 10.0), (1.0, 0.5, 0.02), 1.0, False),  # conditions not met
        ((0.9, 5.0, 10.0), (1e-3, 1.0, 5e-3), 1.0, True),  # of its largest loss
        ((0.03, 5.0, 7.0), (1.0, 0.1, 4.8e-3), 1.2e3, False),  # as much as the residual still
    ],
)
def test_a_residual_that_rises_while_conditions_are_met(residual, condition, weight, forgotten):
    of_both = [{"pde": r, "bc": c} for r, c in zip(residual, condition, strict=True)]
    same = [{"pde": 1.0, "bc": weight}] * 3
    assert watch(same, of_both).residual_forgotten() == forgotten


def test_no_condition_can_be_met_where_there_is_none():
    assert not watch([{"pde": 1.0}] * 2, [{"pde": 1.0}, {"pde": 100.0}]).residual_forgotten()


class DrivesOn(ddb.FromLosses):
    """What a ratio of gradients does in the end: the better a condition is met, the more weight."""

    def update(self, losses):
        weights = losses.new_ones(len(losses))
        weights[1] = 1e-9 * 10 ** (self.iteration / 100)  # little, but more and more
        self.weights = weights


def soon_met(weighting):
    """A model whose first condition is met from iteration 50 on."""
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    target = model.data.bcs[0]
    error = target.error
    target.error = lambda *args: error(*args) * (1 if model.train_state.step < 50 else 1e-3)
    return model


def test_training_warns_once_with_weight_and_losses():
    model = soon_met(DrivesOn())
    with pytest.warns(UserWarning, match="drives on conditions that are met") as told:
        model.train(iterations=600, display_every=100, verbose=0)
    (message,) = (str(w.message) for w in told)
    assert message.startswith("DrivesOn ")
    assert "'bc0' has weight 9.8e-07 and loss" in message
    assert f"at first {model.losshistory.loss_train[0][0]:.2g}." in message
    assert "max_weight" in message


class OfKernels(DrivesOn):
    """As `auto` and `ntk`, whose weights do not follow the gradients of what is met."""

    can_drive_on = ddb.Auto.can_drive_on and ddb.NTK.can_drive_on


def test_weights_of_kernels_are_not_told():
    model = soon_met(OfKernels())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(iterations=600, display_every=100, verbose=0)
    assert model.weights["bc0"] > 5e-7
