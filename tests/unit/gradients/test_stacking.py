"""Groups that go through the network as one stack."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import build, variables_of, weighting_for
from _support.features import FEATURES

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.gradients.stacking import compares_values


def test_many_groups_are_one_stack(float64):
    """The network is called once for all groups that compare values, or else once for each."""
    model, _ = build(
        "many_groups", loss_weights=weighting_for("many_groups"), gradient_engine="one-pass"
    )
    batch = Batch(*model.data.train_next_batch())
    model.train_step(*batch)
    calls = []
    model.net.register_forward_hook(lambda *_: calls.append(1))
    model.train_step.engine.gradients(batch)
    assert len(calls) == 3  # residual, the condition on a derivative, the stack
    calls.clear()
    model.train_step.engine._engine.stacks = False
    model.train_step.engine.gradients(batch)
    assert len(calls) == 8


def test_a_network_that_cannot_be_stacked_goes_group_by_group(float64):
    results = []
    for engine in ("one-pass", "per-group"):
        dde.config.set_random_seed(11)
        script = FEATURES["many_groups"]()
        if engine == "one-pass":
            script.net.register_forward_hook(lambda module, args, u: u + 0 * u.sum().item())
        model = ddb.Model(script.data, script.net)
        model.compile("adam", 1e-2, loss_weights="gw-std", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        assert model.gradient_engine == engine
        results.append(variables_of(model))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transform", ["feature", "output"])
def test_a_stack_is_not_evaluated_where_there_are_no_points(transform, float64):
    """Four sides with unequal numbers of points, and a logarithm that is infinite at 0."""
    results = []
    for engine in ("one-pass", "per-group"):
        dde.config.set_random_seed(3)
        geom = dde.geometry.Rectangle([1, 1], [2, 2])
        sides = [
            dde.icbc.DirichletBC(
                geom,
                lambda x: x[:, 0:1],
                lambda x, on, k=k, v=v: on and np.isclose(x[k], v),
            )
            for k in (0, 1)
            for v in (1, 2)
        ]
        data = scripts.laplace(geom, sides, num_boundary=30)
        assert len(set(data.num_bcs)) > 1
        net = scripts.network()
        if transform == "feature":
            net.apply_feature_transform(torch.log)
        else:
            net.apply_output_transform(lambda x, u: u * torch.log(2 * x[:, 0:1]))
        model = ddb.Model(data, net)
        model.compile("adam", 1e-2, loss_weights="db-norm", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        results.append(variables_of(model))
    assert results[0].isfinite().all()
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


class Slope(dde.icbc.DirichletBC):
    """A condition with an error of its own, which looks at a derivative."""

    def error(self, X, inputs, outputs, beg, end, aux_var=None):
        return dde.grad.jacobian(outputs, inputs, i=0, j=0)[beg:end]


def test_what_compares_values():
    geom = scripts.laplace().geom
    points = np.full((2, 2), 0.5)
    zero, on = lambda x: 0 * x[:, :1], lambda _, on: on
    assert compares_values(dde.icbc.DirichletBC(geom, zero, on))
    assert compares_values(dde.icbc.PointSetBC(points, points[:, :1]))
    assert compares_values(scripts.klein_gordon().bcs[1])  # an IC
    assert not compares_values(dde.icbc.NeumannBC(geom, zero, on))
    assert not compares_values(dde.icbc.OperatorBC(geom, lambda x, u, _: u, on))
    assert not compares_values(Slope(geom, zero, on))
