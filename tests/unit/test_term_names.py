"""Names of residuals: wherever a loss term is named."""

import deepxde as dde
import numpy as np
import pytest

import deepxde_balance as ddb
from deepxde_balance.results.record import Record

NAMES = {"momentum": 0, "continuity": 1}


def flow():
    """Two residuals of one unknown each, and a condition."""
    geom = dde.geometry.Interval(0, 1)

    def pde(x, y):
        return [dde.grad.hessian(y, x, component=0) - 1, dde.grad.jacobian(y, x, i=1)]

    wall = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on, component=0)
    dde.config.set_random_seed(0)
    data = dde.data.PDE(geom, pde, wall, num_domain=20, num_boundary=2)
    return data, dde.nn.FNN([1, 8, 2], "tanh", "Glorot normal")


def compiled(loss_weights=None, **given):
    model = ddb.Model(*flow())
    model.compile("adam", lr=1e-3, loss_weights=loss_weights, verbose=0, **given)
    return model


def test_terms_groups_and_scale_by_name():
    model = compiled(
        ddb.DN(scale={"continuity": 4.0}),
        loss_groups={"pde": ["momentum"], "mass": ["continuity"], "wall": [0]},
        term_names=NAMES,
    )
    model.train(iterations=2, verbose=0)
    assert model.loss_terms == ["momentum", "continuity", "bc0"]
    assert list(model.weights) == ["pde", "mass", "wall"]
    assert model.weighting.scale == {"continuity": 4.0}
    by_position = compiled(
        ddb.DN(scale=[1, 4, 1]), loss_groups={"pde": [0], "mass": ["pde1"], "wall": [0]}
    )
    by_position.train(iterations=2, verbose=0)
    assert list(model.weights.values()) == list(by_position.weights.values())


def test_numbers_points_and_the_plain_model():
    model = compiled({"continuity": 3.0}, term_names=NAMES, point_weights={"momentum": "rba"})
    model.train(iterations=1, verbose=0)
    assert model.weights == {"momentum": 1, "continuity": 3, "bc0": 1}
    assert list(model.point_weights) == ["momentum"]
    plain = compiled(term_names=NAMES)
    assert ddb.diagnose(plain).names == ("momentum", "continuity", "bc0")
    plain.train(iterations=1, verbose=0)
    assert plain.loss_terms == ["momentum", "continuity", "bc0"]


def test_the_monitor_and_the_callback():
    data, net = flow()
    model = dde.Model(data, net)
    model.compile("adam", lr=1e-3, verbose=0)
    groups = {"pde": ["momentum"], "mass": ["continuity"], "wall": [0]}
    weighting = ddb.LossWeighting("dn", groups, term_names=NAMES)
    monitor = ddb.GradientMonitor(1)
    model.train(iterations=1, verbose=0, callbacks=[weighting, monitor])
    assert list(weighting.weights) == list(monitor.weights) == ["pde", "mass", "wall"]


def test_names_stay_with_kept_weights_and_in_a_checkpoint(tmp_path):
    groups = {"pde": ["momentum"], "mass": ["continuity"], "wall": [0]}
    model = compiled("dn", loss_groups=groups, term_names=NAMES)
    model.train(iterations=2, verbose=0)
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.loss_terms == ["momentum", "continuity", "bc0"]
    other = compiled(term_names=NAMES)
    other.restore(model.save(str(tmp_path / "model")))
    assert other.weights == model.weights
    with pytest.raises(ValueError, match="keeps the names"):
        model.compile("adam", lr=1e-3, loss_weights="keep", term_names=NAMES, verbose=0)


def test_the_name_of_a_group():
    with pytest.raises(ValueError, match="'momentum' has the name of a loss term"):
        compiled("dn", loss_groups={"momentum": [0]}, term_names=NAMES)


def test_compared_runs_have_the_names(tmp_path):
    def build():
        data, net = flow()
        options = {"compile": {"term_names": NAMES}, "metric": lambda model: 1.0}
        return data, net, options

    ddb.compare(build, ["dn"], iterations=5, seeds=1, out=tmp_path, jobs=1)
    (path,) = tmp_path.rglob("seed0.json")
    record = Record.load(path)
    assert record.loss_terms == ["momentum", "continuity", "bc0"]
    assert np.isfinite(record.losses["continuity"]).all()
