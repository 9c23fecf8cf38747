"""`points_per_pass`: what is chosen, what is refused, and what is found at the first iteration."""

from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import assert_same_parameters, past_the_attributes, with_batch_norm

import deepxde_balance as ddb
from deepxde_balance.gradients import points_per_pass
from deepxde_balance.gradients.points_per_pass import PassSize


def compiled(data=None, net=None, points=7, **arguments):
    model = ddb.Model(data or scripts.klein_gordon(), net or scripts.network())
    defaults: dict[str, Any] = {"lr": 1e-2, "loss_weights": "gw-std", "verbose": 0}
    model.compile(**({"optimizer": "adam"} | defaults | arguments), points_per_pass=points)
    return model


@pytest.fixture
def small_choice(monkeypatch):
    """Without a number, more than 40 points go through the network 9 at a time."""
    monkeypatch.setattr(points_per_pass, "CHOSEN", PassSize(points=9, above=40, asked=False))


@pytest.mark.parametrize("points", [0, -3, 2.5, True, "auto", np.array([3])])
def test_what_is_no_number_of_points(points):
    with pytest.raises(ValueError, match=r"points_per_pass=.* must be an integer of at least 1"):
        compiled(points=points)
    with pytest.raises(ValueError, match=r"points_per_pass=.* must be an integer of at least 1"):
        ddb.LossWeighting("equal", points_per_pass=points)


def test_a_numpy_integer():
    assert compiled(points=np.int64(7)).points_per_pass == 7


def sum_of_squares(y_true, y_pred):
    return torch.sum((y_true - y_pred) ** 2)


def root_mean_square(y_true, y_pred):
    return torch.mean((y_true - y_pred) ** 2).sqrt()


def largest(y_true, y_pred):
    return (y_true - y_pred).abs().max()


def normalized(y_true, y_pred):
    """It is 1 for any errors; its derivatives are no mean's."""
    loss = torch.mean((y_true - y_pred) ** 2)
    return loss / loss.detach()


@pytest.mark.parametrize("loss", [sum_of_squares, root_mean_square, largest, normalized])
@pytest.mark.parametrize("in_list", [False, True])
def test_losses_that_are_no_mean(loss, in_list):
    given = ["MSE", "MAE", loss, "MSE"] if in_list else loss
    with pytest.raises(ValueError, match=rf"points_per_pass=7 .* loss function {loss.__name__} is"):
        compiled(loss=given)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"gradient_engine": "per-group"}, "the per-group engine"),
        ({"gradient_engine": "compiled"}, "the compiled engine"),
        ({"optimizer": "NNCG", "lr": None}, "NNCG"),
    ],
)
def test_what_needs_all_points_at_once(arguments, reason):
    with pytest.raises(ValueError, match=rf"points_per_pass=7 can't be used here: {reason}"):
        compiled(**arguments)


def test_networks_and_data_that_need_all_points_at_once():
    with pytest.raises(ValueError, match=r"points_per_pass=7 .*BatchNorm1d does not act point by"):
        compiled(*with_batch_norm())

    class Own(dde.data.TimePDE):
        def losses(self, *args, **kwargs):
            return super().losses(*args, **kwargs)

    data = scripts.klein_gordon()
    data.__class__ = Own
    with pytest.raises(ValueError, match=r"points_per_pass=7 .*Own has `losses` of its own"):
        compiled(data)


def test_mixed_precision(mixed_precision):
    with pytest.raises(ValueError, match=r"points_per_pass=7 .*mixed precision"):
        compiled()


def mixing(x, u):
    return scripts.klein_gordon_residual(x, u) + u.mean()


def neighbours(x, u):
    """Looks at the next point; the mean over all points is another than over parts of them."""
    return scripts.klein_gordon_residual(x, u) + u.roll(1, 0)


def mixing_in_the_gradient(x, u):
    """The values at a point are those of the point alone, their gradients are not."""
    mean = u.mean()
    return scripts.klein_gordon_residual(x, u) + mean - mean.detach()


def values_of_one_dimension():
    """Each of the 8 outputs is compared with each of the 8 values."""
    points = np.random.default_rng(0).random((8, 2))
    return scripts.klein_gordon(extra=[dde.icbc.PointSetBC(points, points[:, 0])])


def with_a_source():
    """A source that was computed beforehand, at the points that DeepXDE evaluates."""
    source: torch.Tensor
    data = scripts.klein_gordon(pde=lambda x, u: scripts.klein_gordon_residual(x, u) - source)
    source = torch.as_tensor(np.sin(data.train_x[:, 0:1]))
    return data


@pytest.mark.parametrize(
    "data, reason",
    [
        (lambda: scripts.klein_gordon(pde=mixing), "pde"),
        (lambda: scripts.klein_gordon(pde=neighbours), "pde"),
        (lambda: scripts.klein_gordon(pde=mixing_in_the_gradient), "the loss of pde"),
        (with_a_source, r"can't evaluate the losses at a part of the points \(.*size of tensor"),
    ],
)
def test_a_residual_that_needs_all_points_is_refused_at_the_first_iteration(data, reason):
    model = compiled(data())
    with pytest.raises(RuntimeError, match=rf"points_per_pass=7 can't be used here: .*{reason}"):
        model.train(iterations=1, verbose=0)


def test_a_small_static_factor_does_not_hide_a_difference():
    weighting = ddb.weightings.get("gw-std", scale={"pde": 1e-9})
    model = compiled(scripts.klein_gordon(pde=mixing_in_the_gradient), loss_weights=weighting)
    with pytest.raises(RuntimeError, match=r"points_per_pass=7 .* the loss of pde"):
        model.train(iterations=1, verbose=0)


def test_small_passes_are_compared_in_that_size():
    model = compiled(values_of_one_dimension(), points=4)
    with pytest.raises(RuntimeError, match=r"points_per_pass=4 can't .* the loss of data3"):
        model.train(iterations=1, verbose=0)


def test_a_loss_with_a_weight_for_each_point_is_refused_at_the_first_iteration():
    data = scripts.klein_gordon(num_domain=60)
    weights = torch.linspace(1, 2, len(data.train_x_all)).unsqueeze(1)

    def weighted(y_true, y_pred):
        return torch.mean(weights * (y_true - y_pred) ** 2)

    model = compiled(data, loss=[weighted, "MSE", "MSE", "MSE"])
    with pytest.raises(
        RuntimeError, match=r"points_per_pass=7 .*can't evaluate the losses at a part"
    ):
        model.train(iterations=1, verbose=0)


def test_a_loss_of_a_stock_model_that_is_no_mean():
    model = dde.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss=["MSE", "MSE", sum_of_squares, "MSE"], verbose=0)
    callback = ddb.LossWeighting("equal", points_per_pass=7)
    with pytest.raises(RuntimeError, match="the loss function of ic1 is no mean over points"):
        model.train(iterations=1, callbacks=[callback], verbose=0)


def test_parameters_past_the_network():
    model = compiled(*past_the_attributes())
    with pytest.raises(RuntimeError, match=r"would lose gradients of linears\.0\.weight"):
        model.train(iterations=1, verbose=0)


@pytest.mark.parametrize("weights", ["gw-std", None])
def test_many_points_are_divided_without_a_number(small_choice, large_problem, weights, float64):
    results = []
    for points in (None, 10**6):
        model = compiled(points=points, loss_weights=weights)
        model.train(iterations=3, verbose=0)
        results.append(model)
    assert [model.points_per_pass for model in results] == [9, None]
    assert_same_parameters(*results)


def test_few_points_are_not(large_problem):
    model = compiled(points=None)
    model.train(iterations=1, verbose=0)
    assert model.points_per_pass is None
    assert points_per_pass.CHOSEN.above > 10000


@pytest.mark.parametrize("engine", ["per-group", "compiled"])
def test_an_engine_without_passes_takes_all_points_at_once(small_choice, engine, compilations):
    model = compiled(points=None, gradient_engine=engine)
    model.train(iterations=2, verbose=0)
    assert model.gradient_engine == engine
    assert model.points_per_pass is None


@pytest.mark.parametrize("loss", [sum_of_squares, root_mean_square, normalized])
def test_what_can_not_be_divided_is_not_where_nobody_asked(
    small_choice, large_problem, loss, float64
):
    results = []
    for engine in (None, "per-group"):
        model = compiled(points=None, loss=loss, gradient_engine=engine)
        model.train(iterations=3, verbose=0)
        results.append(model)
    assert results[0].gradient_engine == "one-pass"
    assert results[0].points_per_pass is None
    assert_same_parameters(*results)


def test_what_the_one_pass_engine_can_not_give(small_choice, large_problem):
    """It is told as without passes, in one warning."""
    model = compiled(scripts.klein_gordon(pde=mixing), points=None)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde") as caught:
        model.train(iterations=1, verbose=0)
    assert len(caught) == 1
    assert (model.gradient_engine, model.points_per_pass) == ("per-group", None)


def test_the_number_of_points_may_change(small_choice, large_problem, float64):
    """Above the limit they are divided, below not; the parameters are those of all at once."""
    results = []
    for points in (None, 10**6):
        model = compiled(scripts.laplace(num_domain=10, num_boundary=8), points=points)
        found = []
        for number in (0, 50, 2):
            if number:
                anchors = np.random.default_rng(number).random((number, 2))
                model.data.replace_with_anchors(anchors)
            model.train(iterations=2, verbose=0)
            found.append(model.points_per_pass)
        results.append(model)
        assert found == ([None, None if points else 9, None])
    assert_same_parameters(*results)


def test_more_points_than_asked_for_on_the_per_group_engine():
    model = compiled(scripts.klein_gordon(pde=mixing), points=200)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde"):
        model.train(iterations=1, verbose=0)
    assert (model.gradient_engine, model.points_per_pass) == ("per-group", None)
    more = np.random.default_rng(0).random((400, 2))
    model.data.add_anchors(more)
    assert model.points_per_pass is None
    with pytest.raises(RuntimeError, match=r"points_per_pass=200 can't .* DeepXDE's loss of pde"):
        model.train(iterations=1, verbose=0)


def test_more_points_than_chosen_on_the_per_group_engine(monkeypatch, large_problem):
    """Nobody asked for passes, so that it goes on."""
    monkeypatch.setattr(points_per_pass, "CHOSEN", PassSize(points=9, above=200, asked=False))
    model = compiled(scripts.klein_gordon(pde=mixing), points=None)
    with pytest.warns(UserWarning, match="does not give DeepXDE's loss of pde"):
        model.train(iterations=1, verbose=0)
    model.data.add_anchors(np.random.default_rng(0).random((400, 2)))
    model.train(iterations=1, verbose=0)
    assert (model.gradient_engine, model.points_per_pass) == ("per-group", None)


def counting_network(numbers):
    """A network that appends to a list how many points it is evaluated at."""
    net = scripts.network()
    net.apply_feature_transform(lambda x: (numbers.append(len(x)), x)[1])
    return net


def test_nncg_takes_all_points_at_once(small_choice, large_problem):
    numbers: list[int] = []
    model = compiled(net=counting_network(numbers), points=None)
    assert model.points_per_pass == 9
    model.compile("NNCG", loss_weights="gw-std", verbose=0)
    numbers.clear()
    model.train(iterations=1, verbose=0)
    assert model.points_per_pass is None
    assert len(model.data.train_x_all) in numbers  # the residual's block


def test_diagnosis_and_monitor(small_choice, large_problem):
    """They look at the same gradients, in passes too."""
    observed = []
    ways: list[dict[str, Any]] = [
        {"points": None},
        {"points": None, "gradient_engine": "per-group"},
    ]
    for way in ways:
        numbers: list[int] = []
        model = compiled(net=counting_network(numbers), **way)
        monitor = ddb.GradientMonitor(period=1)
        model.train(iterations=2, callbacks=[monitor], verbose=0)
        numbers.clear()
        diagnosis = str(ddb.diagnose(model))
        assert (max(numbers) <= 9) == ("gradient_engine" not in way)
        observed.append((diagnosis, monitor.gradient_norms))
        assert model.points_per_pass == (None if "gradient_engine" in way else 9)
    (in_passes, norms), (per_group, expected) = observed
    assert in_passes == per_group
    for name in expected:
        np.testing.assert_allclose(norms[name], expected[name], rtol=1e-4)
