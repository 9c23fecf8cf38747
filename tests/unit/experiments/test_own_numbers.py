"""Fixed weights of a user's own among the strategies that are compared."""

import deepxde as dde
import numpy as np
import pytest
from _support.own_problem import build, build_with_solution, exact

import deepxde_balance as ddb
from deepxde_balance.experiments.strategies import named


@pytest.mark.parametrize(
    "given, name, loss_weights",
    [
        ([1, 100, 10], "1,100,10", [1, 100, 10]),
        ((0.5, 1e-4), "0.5,0.0001", [0.5, 1e-4]),
        ([1], "1", [1]),
        ([np.float32(0.5), np.int64(3)], "0.5,3", [0.5, 3]),
        ([1 / 3, 1e20], "0.3333333333333333,1e+20", [1 / 3, 1e20]),
        ({"bc0": 100, "ic1": 0.1}, "bc0=100,ic1=0.1", {"bc0": 100, "ic1": 0.1}),
        ("1,100,1e-2", "1,100,0.01", [1, 100, 0.01]),
        (" 1, 100", "1,100", [1, 100]),
        ("bc0=1e5", "bc0=100000", {"bc0": 1e5}),
        (np.array([1, 2.5]), "1,2.5", [1, 2.5]),
        ("7", "7", [7]),
        ("mass balance=2, du/dt=3", "mass balance=2,du/dt=3", {"mass balance": 2, "du/dt": 3}),
        ("bc0=2,ic1=.5", "bc0=2,ic1=0.5", {"bc0": 2, "ic1": 0.5}),
    ],
)
def test_what_a_user_may_give(given, name, loss_weights):
    (strategy,) = named([given])
    assert strategy.name == name
    assert strategy.weighting.loss_weights == loss_weights
    (again,) = named([strategy.name])
    assert again.weighting.loss_weights == loss_weights


def test_with_point_weights():
    strategies = named(["1,100+rba", ([1, 10], "rba")])
    assert [one.name for one in strategies] == ["1,100+rba", "1,10+rba"]
    assert all(isinstance(one.point_weighting, ddb.RBA) for one in strategies)


@pytest.mark.parametrize(
    "given, error, message",
    [
        ([[1, -1]], ValueError, r"the weight \[1\]=-1 is not allowed"),
        (["1,inf"], ValueError, "Unknown strategy '1,inf'"),
        ([{"bc0": float("nan")}], ValueError, r"the weight \['bc0'\]=nan is not allowed"),
        ([{"bc0": "100"}], TypeError, r"the weight \['bc0'\]='100' is not allowed"),
        ([{}], ValueError, "has no number"),
        (["bc0=1,bc0=2"], ValueError, "names a loss term twice"),
        ([[1, 2], "1,2"], ValueError, "'1,2' is '1,2' again"),
        ([[1, "a"]], TypeError, "is no weighting"),
    ],
)
def test_what_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        named(given)


def trained_by_deepxde(weights, iterations):
    """The stock model after training with a list of weights."""
    dde.config.set_random_seed(0)
    model = dde.Model(*build())
    model.compile("adam", lr=1e-3, loss_weights=weights, verbose=0)
    model.train(iterations=iterations, display_every=10, verbose=0)
    return model


@pytest.mark.parametrize("given", [[1, 100, 10], {"bc0": 100, "bc1": 10}])
def test_it_trains_as_deepxde_does(given, tmp_path):
    """The records have the losses without the weights, like those of the other strategies."""
    weights = [1, 100, 10]
    results = ddb.compare(
        build_with_solution, ["equal", given], 30, seeds=1, out=tmp_path, threads=1
    )
    (run,) = list(results.runs.values())[1]
    stock = trained_by_deepxde(weights, 30)
    losses = np.array(stock.losshistory.loss_train) / weights
    for i, term in enumerate(["pde", "bc0", "bc1"]):
        np.testing.assert_allclose(run.losses[term], losses[:, i], rtol=1e-5)
    assert run.weights_now == {"pde": 1, "bc0": 100, "bc1": 10}
    x = np.linspace(0, 1, 50)[:, None]
    error = np.linalg.norm(stock.predict(x) - exact(x)) / np.linalg.norm(exact(x))
    assert run.score == pytest.approx(error, rel=1e-5)


def grouped():
    return *build(), {"compile": {"loss_groups": {"all": [0, 1]}}}


def test_groups_are_for_strategies(tmp_path):
    results = ddb.compare(grouped, ["dn", [1, 2, 3]], 5, seeds=1, out=tmp_path, threads=1)
    assert [list(run.weights_now) for (run,) in results.runs.values()] == [
        ["pde", "all"],
        ["pde", "bc0", "bc1"],
    ]


def test_a_weight_of_0(tmp_path):
    """The loss is not known: it counts as 0 in the record."""
    results = ddb.compare(build, [[1, 0, 3]], 5, seeds=1, out=tmp_path, threads=1)
    ((run,),) = results.runs.values()
    assert (run.losses["bc0"] == 0).all() and (run.losses["bc1"] > 0).all()


def test_lbfgs_keeps_them(tmp_path):
    results = ddb.compare(
        build, [[1, 100, 10]], 10, seeds=1, out=tmp_path, threads=1, lbfgs_iterations=5
    )
    ((run,),) = results.runs.values()
    assert run.weights_now == {"pde": 1, "bc0": 100, "bc1": 10}
    assert run.steps[-1] > 10
    assert run.losses["bc0"][-1] < run.losses["bc0"][0]


@pytest.mark.parametrize("given", [[1, 100], {"bc": 100}])
def test_they_must_fit_the_terms(given, tmp_path):
    with pytest.raises(ValueError, match=r"loss terms: pde, bc0, bc1|Known: pde, bc0, bc1"):
        ddb.compare(build, ["equal", given], 5, seeds=1, out=tmp_path, threads=1)
    assert not list(tmp_path.rglob("seed*"))
