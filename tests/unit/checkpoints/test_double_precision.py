"""A phase in single precision, and the next in double."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.resumed import compiled
from _support.scripts import klein_gordon, parameters_of


def with_data():
    """A third of a unit has other digits in each precision."""
    points = np.array([[1 / 3, 0.7], [2 / 3, 0.9]])
    return klein_gordon(extra=[dde.icbc.PointSetBC(points, np.array([[0.1], [0.2]]))])


@pytest.fixture
def double_precision():
    """A function that sets it; after the test it is single precision again."""
    yield lambda: dde.config.set_default_float("float64")
    dde.config.set_default_float("float32")


def test_lbfgs_goes_on_in_double_precision(double_precision, optimizer_options, tmp_path):
    first = compiled("db-std", data=with_data())
    first.train(iterations=20, verbose=0)
    path = first.save(tmp_path / "adam", verbose=0)
    double_precision()
    model = compiled("db-std", data=with_data())
    model.restore(path, verbose=0)
    assert parameters_of(model).dtype == torch.float64
    assert torch.equal(parameters_of(model), parameters_of(first).double())
    assert model.weights == first.weights
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=20)
    model.train(verbose=0)
    history = model.losshistory.loss_train
    np.testing.assert_allclose(history[-2], first.losshistory.loss_train[-1], rtol=1e-4)
    factors = [1.0, *(model.weights[name] for name in list(model.weights)[1:])]
    assert np.dot(factors, history[-1]) < 0.9 * np.dot(factors, history[-2])
    assert model.weights == first.weights
