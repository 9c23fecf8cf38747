"""What the one-pass engine can't give is recognised by comparing it with DeepXDE's losses."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import features, scripts
from _support.engines import past_the_attributes

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def mixing(x, u):
    """A residual that looks at all points at once."""
    return scripts.klein_gordon_residual(x, u) + u.mean()


def mixed_points():
    return scripts.klein_gordon(pde=mixing), scripts.network()


def needs_the_whole_batch():
    """A source that was computed beforehand, at the points that DeepXDE evaluates."""
    source: torch.Tensor
    data = scripts.klein_gordon(pde=lambda x, u: scripts.klein_gordon_residual(x, u) - source)
    source = torch.as_tensor(np.sin(data.train_x[:, 0:1]))
    return data, scripts.network()


def unknown_in_the_network():
    """An unknown that is the network's parameter, read by the PDE; its gradient is tiny."""
    net = scripts.network()
    net.unknown = torch.nn.Parameter(torch.tensor(0.1))

    def pde(x, u):
        return scripts.klein_gordon_residual(x, u) - 1e4 - net.unknown * u

    return scripts.klein_gordon(pde=pde), net


def network_in_a_condition():
    net = scripts.network()
    middle = torch.full((1, 2), 0.5)
    mean = dde.icbc.OperatorBC(features.STRIP, lambda x, u, _: u + net(middle), features.on)
    ic = dde.icbc.IC(features.STRIP, features.wave, features.on)
    return dde.data.TimePDE(features.STRIP, features.heat, [mean, ic], 20, 10, 10), net


@pytest.mark.parametrize(
    "make, what",
    [
        (mixed_points, "does not give DeepXDE's loss of pde on"),
        (needs_the_whole_batch, "fails where DeepXDE's losses do not .*size of tensor"),
        (past_the_attributes, r"would lose gradients of linears\.0\.weight"),
        (unknown_in_the_network, "would lose gradients of unknown"),
        (network_in_a_condition, r"would lose gradients of linears\.0\.weight"),
    ],
)
@pytest.mark.parametrize("weights", ["gw-std", None])
def test_a_difference_hands_over_with_one_warning(make, what, weights, float64):
    dde.config.set_random_seed(3)
    model = ddb.Model(*make())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
    with pytest.warns(UserWarning, match=f"one-pass engine {what}") as caught:
        model.train(iterations=3, verbose=0)
    assert len(caught) == 1
    assert model.gradient_engine == "per-group"
    dde.config.set_random_seed(3)
    reference = ddb.Model(*make())
    reference.compile("adam", lr=1e-2, loss_weights=weights, gradient_engine="per-group", verbose=0)
    reference.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(model), scripts.parameters_of(reference))


def test_a_difference_in_small_units_hands_over():
    """A loss of 1e-8 that is wrong by a part of itself is no rounding error."""
    scale = 1e-5
    data = scripts.klein_gordon(pde=lambda x, u: scale * mixing(x, u))
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=[scale**-2, 1, 1, 1], verbose=0)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde on"):
        model.train(iterations=1, verbose=0)
    assert model.losshistory.loss_train[0][0] < 1
    assert model.gradient_engine == "per-group"


def test_a_loss_that_is_nothing_but_rounding_is_no_difference():
    """The errors depend on the last digits of the outputs, which differ with the number of points.

    Some processors do that by themselves.
    """
    net = scripts.network()
    net.apply_output_transform(lambda x, u: u * (1 + 1.2e-7 * (len(x) % 7)))
    geom = dde.geometry.Rectangle([0, 0], [1, 1])

    def last_digits(x, u, _):
        return 1e-4 * torch.sin(1e6 * u)

    bc = dde.icbc.OperatorBC(geom, last_digits, lambda x, on: on)
    data = dde.data.PDE(geom, lambda x, u: dde.grad.jacobian(u, x, 0, 0) - 2, [bc], 300, 100)
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, verbose=0)
    model.train(iterations=3, verbose=0)  # without a warning
    assert 1e-11 < model.losshistory.loss_train[0][1] < 1e-8
    assert model.gradient_engine == "one-pass"


def test_a_residual_that_counts_its_calls_is_a_difference():
    calls = []

    def pde(x, u):
        calls.append(0)
        return scripts.klein_gordon_residual(x, u) * (1 + 0.01 * len(calls))

    model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0)
    with pytest.warns(UserWarning, match="pde on the same points.*counts its calls"):
        model.train(iterations=1, verbose=0)


def test_a_residual_that_changes_in_a_training_is_found():
    """A callback changes what it reads, and the points stay."""
    mixes = False

    class Change(dde.callbacks.Callback):
        def on_epoch_end(self):
            nonlocal mixes
            mixes = True

    def pde(x, u):
        return mixing(x, u) if mixes else scripts.klein_gordon_residual(x, u)

    model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
    model.compile("adam", lr=1e-3, verbose=0)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde on"):
        model.train(iterations=520, callbacks=[Change()], verbose=0)
    assert model.gradient_engine == "per-group"


def test_random_numbers_of_a_script_are_no_rounding():
    """They go on in each evaluation, as those of NumPy and PyTorch do not in a check."""
    random = np.random.default_rng(0)

    def pde(x, u):
        return scripts.klein_gordon_residual(x, u) * float(random.uniform(0.5, 1.5))

    model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
    model.compile("adam", lr=1e-3, verbose=0)
    with pytest.warns(UserWarning, match="draws random numbers"):
        model.train(iterations=1, verbose=0)


def test_a_residual_far_from_the_origin_is_checked():
    """Last digits of the parameters matter there, but the difference is larger than rounding."""
    geom = dde.geometry.Rectangle([0, 0], [1e4, 1e4])

    def pde(x, u):
        return dde.grad.hessian(u, x, i=0, j=0) + 1 - u.mean()

    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda x, on: on)
    dde.config.set_random_seed(0)
    data = dde.data.PDE(geom, pde, [bc], 300, 150)
    model = ddb.Model(data, dde.nn.FNN([2, 20, 20, 1], "sin", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde on"):
        model.train(iterations=1, verbose=0)


def test_a_forced_engine_that_does_not_hold_is_an_error(float64):
    model = ddb.Model(scripts.klein_gordon(pde=mixing), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine="one-pass", verbose=0)
    with pytest.raises(RuntimeError, match="does not give DeepXDE's loss of pde on"):
        model.train(iterations=1, verbose=0)


def test_a_change_of_points_is_checked(float64):
    """A residual that starts to mix points only once the points are others."""
    data = scripts.klein_gordon(pde=lambda x, u: pde(x, u))
    first_points = data.train_x_all.copy()

    def pde(x, u):
        same = np.array_equal(data.train_x_all, first_points)
        return scripts.klein_gordon_residual(x, u) + (0 if same else u.mean())

    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="db-std", verbose=0)
    model.train(iterations=101, verbose=0)
    assert model.gradient_engine == "one-pass"
    data.resample_train_points(bc_points=False)
    with pytest.warns(UserWarning, match="loss of pde"):
        model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "per-group"


def test_the_evaluation_of_all_conditions_together_is_checked(float64):
    """A network that is another function of just as many points as all conditions have."""
    data, net = scripts.klein_gordon(), scripts.network()
    number = sum(data.num_bcs)
    assert number not in (*data.num_bcs, len(data.train_x), len(data.train_x_all))
    net.apply_output_transform(lambda x, u: 2 * u if len(x) == number else u)
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of bc0, ic1, ic2 on"):
        model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "per-group"


@pytest.mark.filterwarnings("ignore:The loss of:UserWarning")  # it is not finite
@pytest.mark.parametrize("factor", [torch.inf, torch.nan])
def test_a_loss_that_is_not_finite_is_no_difference(factor, float64):
    """DeepXDE stops training for it; the engine is not to blame."""

    def pde(x, u):
        return factor * scripts.klein_gordon_residual(x, u)

    model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
    model.compile("adam", lr=1e-2, gradient_engine="one-pass", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "one-pass"
    assert not np.isfinite(model.train_state.loss_train[0])


def test_errors_of_a_finer_type_have_no_more_digits_than_the_network():
    """A constant from NumPy makes a condition's errors double beside a network in single."""
    geom = dde.geometry.Interval(0, 1)
    slope = torch.as_tensor(np.array([np.pi]))

    def model_of(engine):
        dde.config.set_random_seed(3)
        at_the_end = dde.icbc.RobinBC(geom, lambda x, u: slope * u, lambda x, on: on and x[0] > 0.5)
        data = dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u, x) - 2, [at_the_end], 400, 2)
        model = ddb.Model(data, dde.nn.FNN([1, 20, 20, 1], "tanh", "Glorot uniform"))
        model.compile("adam", lr=1e-2, loss_weights="gw-std", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        return model

    model, reference = model_of("one-pass"), model_of("per-group")
    assert model.losshistory.loss_train[0].dtype == np.float64
    expected = scripts.parameters_of(reference)
    torch.testing.assert_close(scripts.parameters_of(model), expected, rtol=0, atol=1e-4)
