"""What a strategy has from its problem: one answer for training, records and published values."""

import dataclasses
from functools import partial

import pytest

import deepxde_balance as ddb
from deepxde_balance.experiments import Run
from deepxde_balance.problems.strategy_parameters import from_settings, is_papers
from deepxde_balance.results.published import published
from deepxde_balance.weightings import registry

SETTINGS = {"update_every": 7, "gw_alpha": 0.3}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        *((f"gw-{s}", {"update_every": 7, "alpha": 0.3}) for s in ("mean", "std", "kurtosis")),
        *((name, {"update_every": 7}) for name in ("dn", "dn-l1", "dn-linf")),
        ("db-kurtosis", {"update_every": 7, "average": "running-mean"}),
        *((name, {}) for name in ("equal", "uw", "sa", "ntk", "grad-norm", "gone")),
    ],
)
def test_what_the_settings_give(name, own):
    assert from_settings(name, SETTINGS) == own
    assert is_papers(name) == bool(own)


@pytest.mark.parametrize(
    ("word", "full"),
    [
        ("UW", "uw:update_every=10"),
        ("ntk:exact=true", "ntk-exact:update_every=10"),
        ("ntk:update_every=3,probes=2", "ntk:probes=2,update_every=3"),
        ("equal", "equal"),
        ("DB_mean", "db-mean"),
        ("dn:p=1,beta=.9", "dn-l1:beta=0.9"),
    ],
)
def test_the_word_of_a_record(word, full):
    given = ddb.problems.get("helmholtz", update_every=10)  # the paper's, but given
    assert given.full_word(word) == full
    assert given.full_word(full) == full
    plain = ddb.problems.get("helmholtz")
    assert plain.full_word(word) == ddb.weightings.words.normalized(word)


def test_parameters_of_the_word_come_before_the_problems():
    problem = ddb.problems.get("klein-gordon", update_every=7, gw_alpha=0.25)
    weighting = problem.weighting("gw-mean")
    assert (weighting.average.alpha, weighting.update_every) == (0.25, 7)
    weighting = problem.weighting("gw-mean:alpha=0.125", update_every=3)
    assert (weighting.average.alpha, weighting.update_every) == (0.125, 3)
    weighting = problem.weighting("db-mean:average=ema")
    assert type(weighting.average) is ddb.EMA and weighting.update_every == 7
    with pytest.raises(ValueError, match="give alpha once"):
        problem.weighting("gw-mean:alpha=0.5", alpha=0.5)
    model = problem.model("dn:beta=0.5", verbose=0)
    assert (model.weighting.average.beta, model.weighting.update_every) == (0.5, 7)


def test_a_strategy_of_ones_own_is_none_of_the_papers(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    ddb.register("db-mine", partial(ddb.DB, "std", average="ema", update_every=3))
    ddb.register("needy", lambda alpha: ddb.GW("std", alpha))
    assert Run("helmholtz", "db-mine").weights == "db-mine"
    plain = ddb.problems.get("helmholtz")
    assert plain.weighting("db-mine").update_every == 3
    assert type(plain.weighting("db-mine").average) is ddb.EMA
    run = Run("helmholtz", "db-mine", settings={"update_every": 7})
    assert run.weights == "db-mine:update_every=7"
    assert run.weighting(run.make_problem()).update_every == 7
    assert Run("helmholtz", "needy:alpha=0.5").weights == "needy:alpha=0.5"


@pytest.mark.parametrize(
    "name",
    ["klein-gordon", "wave", "helmholtz", "allen-cahn", "burgers-inverse", "navier-stokes"],
)
def test_the_column_of_the_db_papers_own_choice_is_at_its_settings(name):
    settings = dataclasses.asdict(ddb.problems.get(name).settings)
    for strategy in ("gw-mean", "gw-std", "gw-kurtosis"):
        alpha = from_settings(strategy, settings)["alpha"]
        column = published(name, f"{strategy}:alpha={alpha}")
        assert column is not None and column == published(name, strategy)
