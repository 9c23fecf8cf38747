"""The published values against the papers' tables, as printed there."""

import math

import pytest

from deepxde_balance.results.published import published


@pytest.mark.parametrize(
    ("problem", "weights", "quantity", "mean", "std"),
    [
        ("klein-gordon", "equal", "L2RE", 7.272, 3.566),
        ("klein-gordon", "equal", "MAE", 2.415, 1.320),
        ("klein-gordon", "db-kurtosis", "L2RE", 0.636, 0.132),
        ("klein-gordon", "db-kurtosis", "MAE", 0.214, 0.049),
        ("wave", "sa", "L2RE", 33.867, 2.085),
        ("wave", "gw-std", "MAE", 3.369, 4.117),
        ("wave", "gw-std", "L2RE", 8.093, 10.072),
        ("helmholtz", "uw", "L2RE", 0.845, 0.888),
        ("helmholtz", "db-std", "MAE", 0.093, 0.025),
        ("allen-cahn", "gw-kurtosis", "L2RE", 53.039, 8.753),
        ("burgers-inverse", "db-std", "L2RE", 0.253, 0.090),
        ("navier-stokes", "db-mean", "L2RE", 5.034, 0.554),
        ("klein-gordon", "db-std:allocation=average", "L2RE", 0.899, 0.152),
        ("klein-gordon", "db-kurtosis:allocation=pairwise", "MAE", 0.267, 0.043),
        ("klein-gordon", "db-std:average=running-mean", "L2RE", 0.767, 0.112),
        ("klein-gordon", "db-mean:average=ema:alpha=0.01", "L2RE", 1.034, 0.306),
    ],
)
def test_values_of_zhou_et_al(problem, weights, quantity, mean, std):
    result = published(problem, weights, quantity)
    assert result.mean == pytest.approx(mean / 100, rel=1e-12)
    assert result.spread == result.std == pytest.approx(std / 100, rel=1e-12)
    assert result.kind == "std"


@pytest.mark.parametrize(
    ("problem", "weights", "mean", "error"),
    [
        ("burgers", "equal", 9.26e-3, 1.36e-3),
        ("burgers", "dn:beta=0.9", 12.70e-3, 2.25e-3),
        ("burgers", "dn", 7.49e-3, 1.12e-3),
        ("burgers", "dn-l1:beta=0.9", 17.58e-3, 7.83e-3),
        ("poisson", "equal", 232.29e-3, 19.18e-3),
        ("poisson", "gw-mean:alpha=0.1", 2.05e-3, 0.11e-3),
        ("poisson", "gw-mean:alpha=0.01", 2.06e-3, 0.19e-3),
        ("poisson", "gw-std", 1.13e-3, 0.11e-3),
        ("poisson", "dn-linf", 1.19e-3, 0.13e-3),
        ("allen-cahn-dn", "equal", 22.79e-2, 7.35e-2),
        ("allen-cahn-dn", "gw-std:alpha=0.1", 2.08e-2, 0.23e-2),
        ("allen-cahn-dn", "dn", 1.58e-2, 0.17e-2),
        ("allen-cahn-dn", "dn-l1", 1.28e-2, 0.08e-2),
    ],
)
def test_values_of_deguchi_and_asai(problem, weights, mean, error):
    result = published(problem, weights)
    assert result.mean == pytest.approx(mean, rel=1e-12)
    assert result.spread == pytest.approx(error, rel=1e-12)
    assert result.kind == "standard error"
    assert result.std == pytest.approx(error * math.sqrt(10), rel=1e-12)


def test_coefficients_without_spread():
    assert published("burgers-inverse", "db-kurtosis", "C1").mean == pytest.approx(0.248e-3)
    c2 = published("burgers-inverse", "equal", "C2")
    assert c2.mean == pytest.approx(0.898e-3)
    assert c2.spread is c2.std is None


def test_every_table_is_whole():
    db = ["equal", "uw", "sa", *(f"{m}-{s}" for m in ("gw", "db") for s in ("mean", "std"))]
    db += ["gw-kurtosis", "db-kurtosis"]
    problems = ["klein-gordon", "wave", "helmholtz", "allen-cahn", "burgers-inverse"]
    for problem in [*problems, "navier-stokes"]:
        assert all(published(problem, name) is not None for name in db)
    for problem in ("burgers", "poisson", "allen-cahn-dn"):
        for name in ("gw-mean", "gw-std", "dn", "dn-l1", "dn-linf"):
            low, high = (published(problem, f"{name}:beta={b}") for b in (0.9, 0.99))
            assert low.source != high.source


@pytest.mark.parametrize(
    "spec",
    [
        "dn:beta=0.9,bias_correction=false",
        "DN: bias_correction=False , beta=0.90",
        "dn-l2:beta=0.9",
        "dn_l2:beta=.9",
        "dn:p=2,beta=0.9",
    ],
)
def test_one_column_has_many_spellings(spec):
    assert published("poisson", spec).mean == pytest.approx(1.41e-3)


def test_alpha_is_one_minus_beta():
    assert published("poisson", "ma:beta=0.9") == published("poisson", "gw-mean:alpha=0.1")
    assert published("klein-gordon", "lra:alpha=0.5") == published("klein-gordon", "gw-mean")


@pytest.mark.parametrize(
    ("problem", "weights", "quantity"),
    [
        ("poisson", "dn:bias_correction=true", "L2RE"),
        ("poisson", "dn:beta=0.999", "L2RE"),
        ("klein-gordon", "gw-mean:alpha=0.1", "L2RE"),
        ("klein-gordon", "db-mean:max_weight=100", "L2RE"),
        ("klein-gordon", "dn", "L2RE"),
        ("klein-gordon", "db-mean", "C1"),
        ("navier-stokes", "db-mean", "MAE"),
        ("burgers-inverse", "gw-mean", "C1"),
        ("harmonic", "equal", "L2RE"),
        ("no-such-problem", "equal", "L2RE"),
    ],
)
def test_none_where_nothing_was_published(problem, weights, quantity):
    assert published(problem, weights, quantity) is None


def test_a_word_that_cannot_be_read():
    for word in ("dn:beta", "dn:beta=0.9,beta=0.99"):
        with pytest.raises(ValueError, match=f"'{word}' is not allowed"):
            published("poisson", word)
