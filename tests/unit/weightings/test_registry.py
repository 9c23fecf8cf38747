# mypy: disable-error-code="arg-type, return-value"
# What is refused is of the wrong type; and names that a test registers are no literals.
"""The registry: names, words and parameters; strategies that a user adds."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import get_args

import deepxde as dde
import pytest
from mypy import api as mypy

import deepxde_balance as ddb
from deepxde_balance import weightings
from deepxde_balance.__main__ import main
from deepxde_balance.weightings import allocations, averages, registry, statistics, words

HARMONIC = {"points": 0.1, "iterations": 5}


class Doubled(ddb.weightings.Weighting):
    """Counts on nothing: the conditions weigh a fixed number."""

    dynamic = False

    def __init__(self, times=2.0, update_every=1):
        self.times = times
        super().__init__(update_every)

    def reset(self, num_groups, like):
        super().reset(num_groups, like)
        self.weights[1:] = self.times


@pytest.fixture
def doubled(monkeypatch):
    """A strategy of a user's, for one test."""
    monkeypatch.setattr(registry, "_REGISTERED", {})
    ddb.register("doubled", Doubled)


@pytest.fixture
def model():
    return ddb.problems.get("harmonic", **HARMONIC).model("equal", verbose=0)


# Names and words


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("DB_Kurtosis", ddb.DB),
        ("gw-mean", ddb.GW),
        ("MA", ddb.GW),
        ("lra", ddb.GW),
        ("id", ddb.GW),
        ("dn-L2", ddb.DN),
        ("dn_linf", ddb.DN),
    ],
)
def test_names(given, kind):
    assert type(weightings.get(given)) is kind


def test_aliases_are_the_papers_names():
    assert [repr(weightings.get(alias).statistic) for alias in ("ma", "lra", "id", "dn-l2")] == [
        "MaxMean()",
        "MaxMean()",
        "Std()",
        "Norm(p=2.0)",
    ]
    assert weightings.canonical(" Dn_L2 ") == "dn"


@pytest.mark.parametrize("given", ["db-kurtosi", "db-kurtosi:update_every=3", "db-kurtosi:oops"])
def test_an_unknown_name_lists_the_known_and_the_closest(given):
    message = (
        r"'db-kurtosi'. Did you mean 'db-kurtosis'\? Known: auto, equal, .*, config, ma, lra, id"
    )
    with pytest.raises(ValueError, match=message):
        weightings.get(given)


def test_a_word_has_the_parameters_of_the_object():
    read = weightings.get("DN:beta=.9,p=inf,bias_correction=false,max_weight=1e4", update_every=7)
    made = ddb.DN(math.inf, beta=0.9, bias_correction=False, max_weight=1e4, update_every=7)
    assert read.hyperparameters == made.hyperparameters
    assert read.strategy == made.strategy
    assert weightings.get("db-std:average=geometric-mean").strategy.endswith("GeometricMean")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: weightings.get("dn:gamma=1"), TypeError, "no parameter 'gamma': it takes p, beta"),
        (
            lambda: weightings.get("equal:x=1"),
            TypeError,
            "'equal' has no parameter 'x': it take",
        ),
        (lambda: weightings.get("dn:beta=2"), ValueError, "beta=2 is not allowed"),
        (lambda: weightings.get("dn:beta=0.9", beta=0.5), ValueError, "give beta once"),
        (lambda: weightings.get("dn:beta"), ValueError, "dn:parameter=value"),
        (lambda: weightings.get("db-mean:statistic=std"), TypeError, "no parameter 'statistic'"),
        (lambda: weightings.get(ddb.DB), TypeError, "is no weighting"),
        (
            lambda: weightings.get("dn:beta=0.9+rba:eta=1e+1"),
            ValueError,
            r"give loss_weights=.dn:beta=0.9., point_weights=.rba:eta=1e\+1.",
        ),
        (lambda: weightings.get(ddb.DN(), beta=0.5), TypeError, "beta: parameters go with a name"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_compile_and_the_callback_take_the_words_of_the_command_line(model):
    word = "dn-linf:beta=.5,update_every=3"
    model.compile("adam", lr=1e-3, loss_weights=word, verbose=0)
    callback = ddb.LossWeighting(word)
    for weighting in (model.weighting, callback.weighting):
        assert weighting.hyperparameters["average.beta"] == 0.5
        assert (weighting.statistic.p, weighting.update_every) == (math.inf, 3)
    with pytest.raises(TypeError, match="no parameter 'gamma'"):
        model.compile("adam", lr=1e-3, loss_weights="dn:gamma=1", verbose=0)
    with pytest.raises(TypeError, match="'keep' has no parameter 'scale'"):
        model.compile("adam", lr=1e-3, loss_weights="keep:scale=2", verbose=0)


# A user's own


def test_a_name_of_ones_own_works_where_a_presets_does(doubled, model, tmp_path, capsys):
    assert weightings.names()[-1] == "doubled" and weightings.canonical("DOUBLED") == "doubled"
    model.compile("adam", lr=1e-3, loss_weights="doubled:times=5", verbose=0)
    model.train(iterations=2, verbose=0)
    assert set(model.weights.values()) == {1.0, 5.0}
    stock = dde.Model(model.data, model.net)
    stock.compile("adam", lr=1e-3, verbose=0)
    callback = ddb.LossWeighting("doubled")
    stock.train(iterations=2, callbacks=[callback], verbose=0)
    assert set(callback.weights.values()) == {1.0, 2.0}
    arguments = ["harmonic", "--iterations", "2", "--points", "0.1", "--out", str(tmp_path)]
    assert main(["train", *arguments, "--weights", "Doubled:times=3"]) == 0
    assert (tmp_path / "harmonic" / "doubled_times=3" / "seed0.json").exists()
    capsys.readouterr()
    assert main(["list"]) == 0 and "\n  doubled\n" in capsys.readouterr().out
    with pytest.raises(TypeError, match="'doubled' has no parameter 'time': it takes times, upd"):
        weightings.get("doubled:time=3")
    with pytest.raises(ValueError, match="Did you mean 'doubled'"):
        weightings.get("doubble")


@pytest.mark.parametrize("name", ["equal", "dn-linf", "dn-l2", "lra", "keep", "doubled"])
def test_a_name_that_is_taken(doubled, name):
    before = weightings.names()
    with pytest.raises(ValueError, match=f"name='{name}' is taken by .*: give another"):
        ddb.register(name, partial(ddb.DB, "std"))
    assert weightings.names() == before and type(weightings.get("doubled")) is Doubled


@pytest.mark.parametrize(
    "name", ["", "Mine", "my_rule", "my rule", "my--rule", "-mine", "mine-", "2mine", "dn:p", "é\n"]
)
def test_a_name_that_is_no_word(doubled, name):
    with pytest.raises(ValueError, match="is not allowed: give a word of lower-case letters"):
        ddb.register(name, Doubled)
    assert name not in weightings.names()


def test_what_is_no_factory_or_no_name(doubled):
    for factory in (Doubled(), "db-mean"):
        with pytest.raises(TypeError, match="give a class or a function that makes a weighting"):
            ddb.register("mine", factory)
    with pytest.raises(TypeError, match="name=3 is not allowed"):
        ddb.register(3, Doubled)
    assert "mine" not in weightings.names()


def test_a_factory_that_makes_no_weighting(doubled):
    ddb.register("mine", lambda: 3)
    with pytest.raises(TypeError, match=r"'mine' was registered with .* made 3: it must make"):
        weightings.get("mine")


def test_a_factory_that_takes_any_parameter(doubled):
    ddb.register("mine", lambda **parameters: ddb.DB("std", **parameters))
    assert weightings.get("mine:update_every=3").update_every == 3


def test_a_script_that_is_run_again(doubled):
    ddb.register("doubled", Doubled)
    cell = "class Mine(Base):\n    pass\ndef make():\n    return Mine()\n"
    for _ in range(2):
        namespace = {"Base": Doubled, "__name__": "__main__"}
        exec(cell, namespace)
        ddb.register("mine", namespace["Mine"])
        ddb.register("made", namespace["make"])
    assert type(weightings.get("mine")) is type(weightings.get("made")) is namespace["Mine"]
    ddb.register("any", lambda: Doubled())
    with pytest.raises(ValueError, match="'any' is taken"):  # another lambda is another strategy
        ddb.register("any", lambda: Doubled(3.0))


# Names as types


def test_the_types_hold_the_names_of_the_tables():
    assert list(get_args(weightings.StrategyName)) == [*weightings.names(), *words.ALIASES]
    for literal, table in (
        (weightings.StatisticName, statistics.BY_NAME),
        (weightings.AllocationName, allocations.BY_NAME),
        (weightings.AverageName, averages.BY_NAME),
    ):
        assert list(get_args(literal)) == list(table)


SCRIPT = """\
import deepxde as dde
import deepxde_balance as ddb
def train(data: dde.data.Data, net: dde.nn.NN) -> None:
    ddb.Model(data, net).compile("adam", lr=1e-3, loss_weights="db-kurtosis")
    ddb.Model(data, net).compile("adam", lr=1e-3, loss_weights="db-kurtois")
    ddb.LossWeighting("db-kurtosis")
    ddb.LossWeighting("db-kurtois")
    ddb.GradientWeighting("kurtosis", "pairwise", "ema")
    ddb.GradientWeighting("kurtois", "pairwise", "ema")
    ddb.DB("std", average="rolling-mean")
    ddb.LossWeighting(ddb.weightings.get("dn:beta=0.9"))
"""


def test_mypy_finds_a_name_that_is_none(tmp_path):
    (tmp_path / "names.py").write_text(SCRIPT)
    root = Path(__file__).parents[3]
    options = ["--config-file", str(root / "pyproject.toml"), "--no-error-summary"]
    options += ["--cache-dir", str(root / ".mypy_cache"), "--python-executable", sys.executable]
    found, error, _ = mypy.run([*options, str(tmp_path / "names.py")])
    errors = [line.split("names.py:")[1] for line in found.splitlines() if ": error: " in line]
    assert error == "" and [line.split(":")[0] for line in errors] == ["5", "7", "9", "10"]
    assert all("incompatible type \"Literal['" in line for line in errors)


@pytest.mark.parametrize(
    "given, called",
    [
        ("auto", "'auto'"),
        ("DN:beta=.90", "'dn:beta=0.9'"),
        (ddb.DB("kurtosis"), "DB"),
    ],
)
def test_messages_call_a_strategy_as_the_user_did(given, called):
    assert called == ddb.weightings.get(given).called
