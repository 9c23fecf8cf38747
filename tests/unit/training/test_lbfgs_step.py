"""L-BFGS that goes on where PyTorch's ends, beside PyTorch's."""

import copy
import importlib

import pytest
import torch

from deepxde_balance.training import lbfgs_step

PYTORCHS = importlib.import_module("torch.optim.lbfgs")

#: Of the test functions, all with the minimum 0 at 0.
SIZE = 20


def curvatures(dtype):
    return torch.logspace(0, 4, SIZE, dtype=dtype)


class Objective:
    """A narrow valley above a floor, multiplied, and perhaps wrong by a share of itself.

    The error depends on the parameters in a way that looks random, as rounding errors do; the
    gradient has none.
    """

    def __init__(self, factor=1.0, error=0.0, dtype=torch.float64, floor=0.0):
        self.x = torch.nn.Parameter(torch.linspace(0.5, 1, SIZE, dtype=dtype))
        self.factor, self.error, self.floor = factor, error, floor
        self.evaluations = 0
        self.gradient = torch.zeros_like(self.x)
        self.optimizer = torch.optim.LBFGS(
            [self.x],
            max_iter=200,
            max_eval=250,
            tolerance_grad=1e-12 * factor,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

    def loss(self):
        """Above the floor, without the factor and the error."""
        x = self.x.detach()
        return float((curvatures(x.dtype) * (x**2 + 0.3 * x**4)).sum() / 2)

    def closure(self):
        self.evaluations += 1
        self.optimizer.zero_grad()
        loss = (curvatures(self.x.dtype) * (self.x**2 + 0.3 * self.x**4)).sum() / 2
        (loss * self.factor).backward()
        self.gradient = self.x.grad.clone()
        wrong = self.error * torch.sin(1e9 * self.x.detach().sum())
        return (self.floor + loss.detach()) * self.factor * (1 + wrong)

    @property
    def state(self):
        return self.optimizer.state[self.x]

    @property
    def iterations(self):
        return self.state["n_iter"]

    def ours(self, steps=1):
        for _ in range(steps):
            lbfgs_step.step(self.optimizer, self.closure)
        return self

    def pytorch(self, steps=1):
        for _ in range(steps):
            self.optimizer.step(self.closure)
        return self


def test_until_a_failure_all_is_as_in_pytorch():
    ours, pytorch = Objective(floor=1.0), Objective(floor=1.0)
    for objective in (ours, pytorch):
        objective.optimizer.param_groups[0].update(max_iter=30)
    for _ in range(3):
        ours.ours()
        pytorch.pytorch()
        assert torch.equal(ours.x, pytorch.x)
        assert ours.iterations == pytorch.iterations
        assert torch.equal(ours.gradient, pytorch.gradient)
    assert ours.iterations > 60


@pytest.mark.parametrize("factor", [1e-9, 1e-12])
def test_a_loss_in_small_units_is_minimised(factor):
    """PyTorch remembers no step there."""
    pytorch, ours = Objective(factor).pytorch(3), Objective(factor).ours(3)
    assert pytorch.loss() > 1e-3
    assert ours.loss() < 1e-12


@pytest.mark.parametrize("factor", [1e9, 1e12])
def test_a_loss_in_large_units_is_minimised(factor):
    """Where the first line search interpolates, it squares products of gradients: they overflow."""
    ours, pytorch = (Objective(factor, dtype=torch.float32) for _ in range(2))
    for objective in (ours, pytorch):
        objective.x.data.mul_(0.01)  # the first step, of length 1, is too long
    before = ours.loss()
    assert not pytorch.pytorch().loss() < before
    assert ours.ours(steps=3).loss() < 1e-8 * before


@pytest.mark.parametrize("error", [1e-5, 1e-4])
def test_it_sees_through_rounding_errors(error):
    """Those of single precision are at most 1000 * 1.2e-7 here.

    Where PyTorch's ends is a matter of luck, and differs between processors: there are ten starts.
    """
    losses: dict[str, list[float]] = {"ours": [], "pytorch": []}
    for start in range(10):
        for name, of_all in losses.items():
            objective = Objective(error=error, dtype=torch.float32, floor=1.0)
            objective.x.data.mul_(1 - 0.01 * start)
            getattr(objective, name)(5)
            of_all.append(objective.loss())
    assert max(losses["pytorch"]) > 1e-7
    assert max(losses["ours"]) < 1e-9


def test_larger_errors_end_the_training():
    ours = Objective(error=0.1, dtype=torch.float32, floor=1.0)
    made = []
    for _ in range(20):
        before = ours.state.get("n_iter", 0)
        ours.ours()
        made.append(ours.iterations - before)
        if made[-1] <= 1:
            break
    assert made[-1] == 1, made


def test_the_loss_increases_by_rounding_errors_at_most():
    error = 3e-5
    ours = Objective(error=error, dtype=torch.float32, floor=1.0)
    ours.optimizer.param_groups[0].update(max_iter=2)
    lowest, failed = ours.loss(), 0
    for _ in range(200):
        ours.ours()
        in_each_iteration = (1 + 1000 * 1.2e-7) * (1 + 2 * error)
        assert 1 + ours.loss() <= (1 + lowest) * in_each_iteration**2
        lowest = min(lowest, ours.loss())
        failed = max(failed, ours.state.get("failures", 0))
    assert failed > 0


@pytest.mark.parametrize("most", [1, 7, 30])
def test_the_step_keeps_to_its_limits(most):
    ours = Objective(1e-9, error=1e-4)
    ours.optimizer.param_groups[0].update(max_iter=most)
    for k in range(1, 5):
        ours.ours()
        assert ours.iterations <= k * most
    assert ours.optimizer.param_groups[0]["max_iter"] == most
    assert ours.optimizer.param_groups[0]["tolerance_grad"] == 1e-12 * 1e-9


def test_at_most_so_many_evaluations_and_those_of_one_line_search():
    ours = Objective(1e-9)
    ours.optimizer.param_groups[0].update(max_iter=200, max_eval=30)
    ours.ours()
    assert ours.evaluations == ours.state["func_evals"] <= 30 + 25
    assert ours.optimizer.param_groups[0]["max_eval"] == 30


def test_a_minimum_ends_the_training():
    ours = Objective().ours(3)
    before = ours.iterations
    ours.ours()
    assert ours.iterations - before <= 1
    assert ours.loss() < 1e-20


def test_gradients_are_those_of_the_loss_itself():
    ours = Objective(1e-9).ours()
    assert ours.state["loss_factor"] > 1e3
    assert torch.equal(ours.x.grad, ours.gradient)


@pytest.mark.parametrize("option", [{"tolerance_change": 1e-30}, {"line_search_fn": None}])
def test_other_options_are_pytorchs(option):
    ours, pytorch = Objective(1e-9), Objective(1e-9)
    for objective in (ours, pytorch):
        objective.optimizer.param_groups[0].update(option)
    assert torch.equal(ours.ours(2).x, pytorch.pytorch(2).x)
    assert "loss_factor" not in ours.state


def test_it_goes_on_from_a_saved_state():
    whole = Objective(1e-9)
    whole.optimizer.param_groups[0].update(max_iter=10)
    whole.ours(4)
    saved = copy.deepcopy((whole.x.detach(), whole.optimizer.state_dict()))
    resumed = Objective(1e-9)
    resumed.x.data.copy_(saved[0])
    resumed.optimizer.load_state_dict(saved[1])
    assert whole.state["loss_factor"] > 1
    assert torch.equal(resumed.ours(3).x, whole.ours(3).x)


def test_losses_that_are_not_finite_end_the_training():
    ours = Objective()
    ours.factor = float("nan")
    ours.ours()
    assert ours.iterations <= 1


def loop_of_deepxde(objective):
    """Steps as in stock DeepXDE's loop, which ends after a step of one iteration."""
    before = 0
    for _ in range(40):
        objective.ours()
        if objective.iterations - before == 1:
            return True
        before = objective.iterations
    return False


@pytest.mark.parametrize("floor", [5.0, 0.0, -5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_deepxdes_loop_ends(floor, dtype):
    """At a floor, at a minimum with the gradient that was asked for, with a negative loss."""
    assert loop_of_deepxde(Objective(floor=floor, dtype=dtype))


@pytest.mark.parametrize("factor", [1.0, 1e-20])
def test_without_a_tolerance_of_the_gradient_nothing_overflows(factor):
    ours = Objective(factor, dtype=torch.float32)
    ours.optimizer.param_groups[0].update(tolerance_grad=0)
    ours.ours(4)
    assert ours.loss() < 1e-12


def test_between_steps_the_state_has_no_factor():
    """Another optimizer can go on with it."""
    ours = Objective(1e-9)
    ours.optimizer.param_groups[0].update(max_iter=20)
    ours.ours()
    assert ours.state["loss_factor"] > 1e3
    changes, steps = ours.state["old_dirs"], ours.state["old_stps"]
    for change, step in zip(changes[1:], steps[1:], strict=True):
        x = step * curvatures(torch.float64) * 1e-9  # of the quadratic, a lower bound
        assert change.norm() < 10 * x.norm()
    assert ours.state["prev_loss"] < 1e-4


def test_an_error_in_the_closure_leaves_gradients_and_options():
    ours = Objective(1e-9).ours()
    before, options = ours.x.grad.clone(), dict(ours.optimizer.param_groups[0])

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lbfgs_step.step(ours.optimizer, stopped)
    assert torch.equal(ours.x.grad, before)
    assert dict(ours.optimizer.param_groups[0]) == options


@pytest.mark.parametrize("first", [1, 10, 60])
def test_a_line_search_that_ends_in_nan_does_not_ruin_the_parameters(first, monkeypatch):
    """PyTorch's interpolates between points that may have become the same."""
    search = PYTORCHS._strong_wolfe

    def ruined(objective):
        calls = iter(range(1, 10000))

        def sometimes_nan(*args, **kwargs):
            loss, gradient, t, evaluations = search(*args, **kwargs)
            return loss, gradient, float("nan") if next(calls) == first else t, evaluations

        monkeypatch.setattr(PYTORCHS, "_strong_wolfe", sometimes_nan)
        return objective

    assert torch.isnan(ruined(Objective(floor=1.0)).pytorch().x).all()
    ours = ruined(Objective(floor=1.0)).ours(3)
    assert torch.isfinite(ours.x).all()
    assert ours.loss() < 1e-9
