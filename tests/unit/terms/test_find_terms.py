"""Loss terms found by one evaluation of a model's losses."""

import deepxde as dde
import numpy as np
import pytest
from _support import scripts

import deepxde_balance as ddb


class ExtraLoss(dde.data.TimePDE):
    def losses(self, *args, **kwargs):
        losses = super().losses(*args, **kwargs)
        return [*losses, losses[0] ** 2]


def test_a_data_class_with_a_loss_of_its_own():
    """Which of its losses is which can't be known."""
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, scripts.exact, lambda _, on: on)
    data = ExtraLoss(geom, scripts.klein_gordon_residual, [bc], 10, 5, 5)
    model = ddb.Model(data, scripts.network())
    with pytest.raises(ValueError, match="not told apart as PDE residuals and conditions"):
        model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    groups = {"pde": [0], "bc": ["loss1"], "extra": ["loss2"]}
    model.compile("adam", lr=1e-3, loss_weights="dn", loss_groups=groups, verbose=0)
    model.train(iterations=1, verbose=0)
    assert list(model.weights) == ["pde", "bc", "extra"]


@pytest.mark.parametrize("weights", [None, [1, 10]])
def test_a_data_class_with_points_and_losses_of_its_own(weights):
    """DeepXDE's list of how many points each condition has stays ``None`` in it."""

    class Referenced(dde.data.PDE):
        def train_next_batch(self, batch_size=None):
            self.train_x_all = self.train_x = self.train_points()
            return self.train_x, None, None

        def test(self):
            return self.train_next_batch()

        def losses(self, targets, outputs, loss_fn, inputs, model, aux=None):
            return [self.pde(inputs, outputs).square().mean(), (outputs[:1] - 1).square().mean()]

    histories = []
    for base in (dde.Model, ddb.Model):
        dde.config.set_random_seed(1)
        geom = dde.geometry.Interval(0, 1)
        data = Referenced(geom, lambda x, u: dde.grad.jacobian(u, x) + u, [], 20, 2)
        assert data.num_bcs is None
        model = base(data, dde.nn.FNN([1, 10, 1], "tanh", "Glorot uniform"))
        model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
        history, _ = model.train(iterations=3, verbose=0)
        histories.append(np.array(history.loss_train))
        if base is ddb.Model:
            assert str(ddb.diagnose(model))
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-6)


@pytest.mark.parametrize("weights", ["db-mean", "sa", [1.0] * 4])
@pytest.mark.parametrize("points_per_pass, all_points", [(None, True), (3000, True), (500, False)])
def test_a_residual_sees_all_points_where_they_are_trained_together(
    weights, points_per_pass, all_points
):
    """It may remember what it is first called with."""
    numbers = []

    def pde(x, u):
        numbers.append(len(x))
        return scripts.klein_gordon_residual(x, u)

    model = ddb.Model(scripts.klein_gordon(pde=pde, num_domain=2000), scripts.network())
    model.compile(
        "adam",
        1e-3,
        loss_weights=weights,
        point_weights=None if weights == "sa" else "rba",
        points_per_pass=points_per_pass,
        verbose=0,
    )
    number = len(model.data.train_x)
    assert numbers
    assert all((seen == number) == all_points for seen in numbers)


def test_a_condition_without_points_is_refused():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    nowhere = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda x, on: on and x[0] > 2)
    somewhere = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda _, on: on)
    model = ddb.Model(scripts.laplace(geom, [nowhere, somewhere]), scripts.network())
    with pytest.raises(ValueError, match=r"bc0 .DirichletBC. has no points"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
