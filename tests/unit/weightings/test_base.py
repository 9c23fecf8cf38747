"""What every weighting is checked for, whoever has written it."""

import math

import pytest
from _support.weighting_properties import losses_at, started

import deepxde_balance as ddb


class Scripted(ddb.FromLosses):
    """Weights as a test has them: one list for each update."""

    def __init__(self, *weights, **kwargs):
        super().__init__(**kwargs)
        self._script = iter(weights)

    def update(self, losses):
        self.weights = losses.new_tensor(next(self._script))


def updated(*weights, times=None, names=("pde", "bc0", "ic1")):
    weighting = started(Scripted(*weights))
    for seed in range(times or len(weights)):
        weighting.update_and_check(losses_at(seed))
        weighting.iteration += 1
    weighting.check_weights(names)
    return weighting


def test_weights_may_be_anything_finite_and_not_negative():
    assert updated([1.0, 0.0, 1e300]).weights.tolist() == [1.0, 0.0, 1e300]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, -1e-30])
def test_the_first_weight_that_is_none_is_named(wrong):
    good, bad, worse = [1.0, 1.0, 1.0], [1.0, 1.0, wrong], [math.nan] * 3
    with pytest.raises(RuntimeError, match="Scripted gave the group 'ic1' a weight at"):
        updated(good, good, bad, good)
    with pytest.raises(RuntimeError, match=r"'ic1' .* iteration 0 .*finite and not negative"):
        updated(bad, good)
    with pytest.raises(RuntimeError, match="'pde' a weight at iteration 1 "):
        updated(bad[::-1] if wrong == 0 else good, worse)


def test_negative_weights_where_they_are_meant():
    class Signed(Scripted):
        may_be_negative = True

    weighting = started(Signed([-1.0, 2.0, 3.0], [-1.0, math.nan, 3.0]))
    weighting.update_and_check(losses_at(0))
    weighting.check_weights(["pde", "bc0", "ic1"])
    weighting.update_and_check(losses_at(1))
    with pytest.raises(RuntimeError, match=r"'bc0' a weight at iteration 0 .* finite\."):
        weighting.check_weights(["pde", "bc0", "ic1"])


def test_a_wrong_number_of_weights():
    with pytest.raises(ValueError, match=r"Scripted set weights of shape \(2,\), .* for 3 groups"):
        updated([1.0, 2.0])


def test_a_new_start_forgets_what_was_wrong():
    weighting = started(Scripted([math.nan] * 3, [1.0, 2.0, 3.0]))
    weighting.update_and_check(losses_at(0))
    weighting.reset(3, like=weighting.weights)
    weighting.update_and_check(losses_at(1))
    weighting.check_weights(["pde", "bc0", "ic1"])


def test_frozen_weights_are_those_of_now():
    weighting = updated([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], times=1)
    kept = weighting.frozen()
    weighting.update_and_check(losses_at(1))
    assert kept.weights.tolist() == [1.0, 2.0, 3.0]
    assert not kept.due()


def test_the_constructor_calls_no_reset():
    class WithState(Scripted):
        def __init__(self):
            super().__init__([1.0])
            self.resets = 0

        def reset(self, num_groups, like):
            super().reset(num_groups, like)
            self.resets += 1  # would fail in the base's constructor

    assert WithState().resets == 0


def test_a_loss_that_is_not_finite_is_no_fault_of_the_strategy():
    weighting = started(Scripted([1.0] * 3, [math.nan] * 3, [1.0, math.nan, 1.0]))
    weighting.update_and_check(losses_at(0))
    weighting.iteration = 1
    weighting.update_and_check(losses_at(1) * math.nan)
    weighting.check_weights(["pde", "bc0", "ic1"])
    weighting.iteration = 2
    weighting.update_and_check(losses_at(2))
    with pytest.raises(RuntimeError, match=r"'bc0' a weight at iteration 2"):
        weighting.check_weights(["pde", "bc0", "ic1"])


def test_what_was_wrong_is_forgotten_with_a_saved_state():
    weighting = started(Scripted([2.0] * 3, [math.nan] * 3))
    weighting.update_and_check(losses_at(0))
    good = {k: v.clone() if hasattr(v, "clone") else v for k, v in weighting.state_dict().items()}
    weighting.update_and_check(losses_at(1))
    weighting.load_state_dict(good)
    weighting.check_weights(["pde", "bc0", "ic1"])
    assert weighting.weights.tolist() == [2.0] * 3


def test_weights_of_another_type_are_refused():
    class Single(Scripted):
        def update(self, losses):
            super().update(losses)
            self.weights = self.weights.float()

    with pytest.raises(ValueError, match=r"Single set weights of .*torch.float32.*torch.float64"):
        started(Single([1.0] * 3)).update_and_check(losses_at(0))


def test_an_update_that_returns_its_weights_is_refused():
    class Returning(Scripted):
        def update(self, losses):
            return losses

    with pytest.raises(
        TypeError, match=r"Returning returns a value from update: set self\.weights"
    ):
        started(Returning([1.0, 1.0, 1.0])).update_and_check(losses_at(0))
