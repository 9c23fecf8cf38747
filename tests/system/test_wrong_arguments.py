"""Wrong arguments of whatever is public: an error in words, or a training with finite numbers."""

import warnings
from typing import Any

import deepxde as dde
import numpy as np
import pytest
from _support import scripts
from _support.wrong_input import assert_finite, cases, outcome, signature_of, values
from hypothesis import assume, given
from hypothesis import strategies as st

import deepxde_balance as ddb

#: What is made or called without a training.
PUBLIC = [
    ddb.Auto, ddb.BRDR, ddb.BiasCorrectedEMA, ddb.CAPU, ddb.Causal, ddb.ConFIG, ddb.DB, ddb.DN,
    ddb.EMA, ddb.EqualNorms, ddb.FixedPoints, ddb.GW, ddb.GeometricMean, ddb.GradNorm,
    ddb.GradientMonitor, ddb.GradientWeighting, ddb.Growth, ddb.LossWeighting, ddb.NTK,
    ddb.Progress, ddb.RBA, ddb.ReLoBRaLo, ddb.Release, ddb.RunningMean, ddb.SA,
    ddb.SelfAdaptiveTerms, ddb.SoftAdapt, ddb.TorchJD, ddb.UncertaintyWeighting, ddb.diagnose,
    ddb.last_checkpoint, ddb.problems.get, ddb.split_bc, ddb.weightings.canonical,
    ddb.weightings.get,
]  # fmt: skip

#: Arguments that would make files.
FILES = ("csv", "tensorboard")


@given(st.sampled_from(PUBLIC), st.data())
@cases(2)
def test_what_is_public(call, data):
    names = st.sampled_from([name for name in signature_of(call) if name not in FILES] or ["x"])
    outcome(call, **data.draw(st.dictionaries(names, values, max_size=3)))


def model():
    return ddb.Model(scripts.klein_gordon(num_domain=12), scripts.network((2, 4, 1)))


def compiled_and_trained(**arguments):
    made = model()
    made.compile("adam", lr=1e-3, verbose=0, **arguments)
    made.train(iterations=2, display_every=1, verbose=0)
    return made


ARGUMENTS = ["loss_weights", "loss_groups", "gradient_engine", "point_weights", "points_per_pass"]


@given(st.dictionaries(st.sampled_from(ARGUMENTS), values, min_size=1, max_size=2))
@cases()
def test_compile(arguments):
    made = outcome(compiled_and_trained, **arguments)
    if made is not None:
        assert_finite(made)


PARAMETERS = [
    "alpha", "average", "beta", "eta", "exact", "guard", "lr", "max_weight", "min_weight", "omega",
    "p", "probes", "scale", "statistic", "tau", "update_every", "x", "zeta",
]  # fmt: skip
WRITTEN = [
    "0.5", "1", "2", "0", "-1", "inf", "nan", "null", "true", "growth", "release", "1e-30", "1e30",
    "mean", "l2", "[1,2]", "[1,2,3,4]", "1e400", "running-mean", "geometric-mean", "",
]  # fmt: skip
pairs = st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(WRITTEN)).map("=".join)
names = st.sampled_from(ddb.weightings.names())
words = st.one_of(
    st.tuples(names, st.lists(pairs, max_size=3).map(",".join)).map(":".join),
    st.lists(st.sampled_from(["dn", "DB_mean", ":", ",", "=", "beta", "0.9", "+rba", " ", "é"]),
             max_size=8).map("".join),
)  # fmt: skip


@given(words)
@cases()
def test_words(word):
    made = outcome(compiled_and_trained, loss_weights=word)
    if made is not None:
        assert_finite(made)


SCALES = [1e-30, 1e-15, 1e-5, 1.0, 1e5, 1e15, 1e30]


def scaled_problem(of_residual, of_conditions, double_points):
    """u'' = 1 with everything in other units; some data points three times."""
    dde.config.set_random_seed(0)
    geom = dde.geometry.Interval(0, 1)
    points = np.array([[0.5]] * 3 if double_points else [[0.5], [0.2], [0.7]])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: of_conditions * (1 + x), lambda _, on: on),
        dde.icbc.PointSetBC(points, np.full((3, 1), of_conditions)),
    ]
    pde = lambda x, u: of_residual * (dde.grad.hessian(u, x) - 1)  # noqa: E731
    return dde.data.PDE(geom, pde, bcs, 6, 2)


@given(names, st.sampled_from(SCALES), st.sampled_from(SCALES), st.booleans(), st.booleans())
@cases()
def test_scales(strategy, of_residual, of_conditions, double_points, in_float64):
    """Weights stay finite; so do parameters, unless the losses' squares leave the float type."""
    assume(strategy != "keep")
    if in_float64:
        dde.config.set_default_float("float64")
    try:
        data = scaled_problem(of_residual, of_conditions, double_points)
        made = ddb.Model(data, scripts.network((1, 4, 1)))
        made.compile("adam", lr=1e-3, loss_weights=strategy, verbose=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.train(iterations=4, display_every=1, verbose=0)
    finally:
        dde.config.set_default_float("float32")
    assert np.isfinite(list(made.weights.values())).all()
    largest = np.finfo(np.float64 if in_float64 else np.float32).max ** 0.5
    if np.max(made.losshistory.loss_train[0]) < largest:
        assert_finite(made)


def test_what_was_raised_from_inside_before():
    """Found by the cases above and below: errors of Python and PyTorch, without words."""
    with pytest.raises(ValueError, match=r"rate=1\d+ is not allowed"):
        ddb.Release(rate=10**400)
    with pytest.raises(ValueError, match="Unknown loss term in loss_weights: 0"):
        model().compile("adam", lr=1e-3, loss_weights={0: 1}, verbose=0)
    with pytest.raises(ValueError, match="is not allowed: give one number per point"):
        ddb.FixedPoints([10**400])
    engine: Any = np.array([])
    with pytest.raises(ValueError, match="Unknown gradient_engine"):
        model().compile("adam", lr=1e-3, gradient_engine=engine, verbose=0)
    calls: list[Any] = [ddb.problems.get, ddb.weightings.canonical]
    for call in calls:
        with pytest.raises(TypeError, match="name=3 is not allowed: give a text"):
            call(3)
    with pytest.raises(TypeError, match="save_path=2 is not allowed"):
        ddb.last_checkpoint(2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model=0 is not allowed"):
        ddb.diagnose(0)
