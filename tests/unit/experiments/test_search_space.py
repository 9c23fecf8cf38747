"""Points and what they mean: weights of groups, or a strategy with options."""

from typing import Any

import pytest
from skopt.space import Categorical, Integer

import deepxde_balance as ddb
from deepxde_balance.experiments.dimensions import Choice, Range
from deepxde_balance.experiments.search_space import read_space
from deepxde_balance.terms.groups import group_terms
from deepxde_balance.terms.term import Term
from deepxde_balance.weightings import Fixed, Growth, registry

#: Two residuals and three conditions.
TERMS = [Term("pde0"), Term("pde1"), Term("bc0", 0), Term("bc1", 1), Term("ic2", 2)]
PLAIN = group_terms(TERMS)
GROUPED = group_terms(TERMS, {"bc": ["bc0", "bc1"], "unweighted": ["ic2"]})
ONE_PDE = group_terms(TERMS, {"pde": [0], "all": ["bc0", "bc1", "ic2"]})


def test_weights_of_the_default_groups():
    space = read_space({"ic2": (1, 100), "bc0": [1, 10]}, PLAIN)
    assert list(space.dimensions) == [Range("ic2", 1.0, 100.0, False, True), Choice("bc0", (1, 10))]
    point = {"ic2": 25.5, "bc0": 10}
    assert space.loss_weights(point) == [1.0, 1.0, 10.0, 1.0, 25.5]
    strategy = space.strategy(point)
    assert strategy.name == "fixed:bc0=10,ic2=25.5"
    assert isinstance(strategy.weighting, Fixed)
    assert strategy.weighting.values == (1.0, 10.0, 1.0, 25.5)  # pde, bc0, bc1, ic2
    assert space.start == {"ic2": 1, "bc0": 1}


@pytest.mark.parametrize(
    "groups, point, of_groups, of_terms",
    [
        (GROUPED, {"bc": 5.0}, (1, 5), [1, 1, 5, 5, 1]),
        (GROUPED, {"pde": 0.1}, (0.1, 1), [0.1, 0.1, 1, 1, 1]),
        (ONE_PDE, {"pde1": 7.0, "all": 3.0}, (1, 7, 3), [1, 7, 3, 3, 3]),
    ],
)
def test_a_weight_is_that_of_all_terms_of_its_group(groups, point, of_groups, of_terms):
    space = read_space({name: (0.01, 10) for name in point}, groups)
    assert space.loss_weights(point) == of_terms
    assert space.strategy(point).weighting.values == of_groups


def test_weight_one_is_no_start_where_it_is_not_in_the_space():
    assert read_space({"bc0": (2, 10), "bc1": (0.1, 10)}, PLAIN).start is None


def test_options_of_a_strategy():
    space = read_space(("DN:max_weight=100", {"beta": (0, 0.5), "update_every": (1, 20)}), PLAIN)
    beta, every = space.dimensions
    assert beta == Range("beta", 0.0, 0.5, False, False)  # its default is a float
    assert every == Range("update_every", 1, 20, True, False)
    point = {"beta": 0.25, "update_every": 7}
    assert space.loss_weights(point) == "dn:beta=0.25,max_weight=100,update_every=7"
    made = space.strategy(point).weighting
    assert made.average.beta == 0.25 and made.update_every == 7 and made.max_weight == 100
    assert space.start is None  # 0.99 is not in the range of beta


def test_integers_for_an_option_that_is_a_fraction():
    (beta,) = read_space(("softadapt", {"beta": (0, 1)}), PLAIN).dimensions
    assert beta == Range("beta", 0.0, 1.0, False, False)


def test_a_search_starts_from_the_defaults():
    space = read_space(("dn", {"beta": (0.5, 0.999), "update_every": (1, 100)}), PLAIN)
    assert space.start == {"beta": 0.99, "update_every": 10}
    space = read_space(("dn:beta=0.9", {"update_every": (1, 100)}), PLAIN)
    assert space.start == {"update_every": 10}
    choices = {"average": ["geometric-mean", "running-mean"], "max_weight": [10, None]}
    space = read_space(("db-mean", choices), PLAIN)
    assert space.start == {"average": "running-mean", "max_weight": None}
    assert read_space(("dn", {"p": [1, 2, float("inf")]}), PLAIN).start == {"p": 2}
    assert read_space(("dn", {"p": [1, float("inf")]}), PLAIN).start is None


def test_the_parameters_of_a_part_are_not_those_of_the_strategy(monkeypatch):
    """Here `rate` and `alpha` are the strategy's own, and the guard and the average have others."""

    def mine(rate=2, alpha: float | None = None, update_every=7):
        guard, average = Growth(rate=1.1 + rate / 100), ddb.EMA(alpha or 0.3)
        return ddb.GradientWeighting("mean", "average", average, update_every, guard=guard)

    monkeypatch.setattr(registry, "_REGISTERED", {"mine": mine})
    options = {"rate": (1, 9), "update_every": (1, 20)}
    assert read_space(("mine", options), PLAIN).start == {"rate": 2, "update_every": 7}
    (rate,) = read_space(("mine", {"rate": (1, 9)}), PLAIN).dimensions
    assert rate == Range("rate", 1, 9, True, False)  # the guard's is a float
    assert read_space(("mine", {"alpha": (0.1, 0.5)}), PLAIN).start is None
    usual = read_space(("auto", {"power": (0.5, 1.0)}), PLAIN).usual
    assert usual["power"] == 0.65 and "rate" not in usual


def test_choices_of_texts_numbers_and_none():
    options = {"average": ["running-mean", "geometric-mean"], "max_weight": [None, 100]}
    space = read_space(("db-mean", options), PLAIN)
    names = {space.strategy(corner).name for corner in space.corners}
    assert names == {
        "db-mean:average=running-mean,max_weight=null",
        "db-mean:average=geometric-mean,max_weight=null",
        "db-mean:average=running-mean,max_weight=100",
    }


def test_spaces_differ_in_their_identities():
    given: list[Any] = [
        {"bc0": (1, 10)},
        {"bc0": (1, 11)},
        {"bc1": (1, 10)},
        {"bc0": Integer(1, 10)},
        {"bc0": [1, 10]},
        {"bc0": Categorical([1, 10], prior=[0.1, 0.9])},
        ("dn", {"update_every": (1, 10)}),
        ("dn-l1", {"update_every": (1, 10)}),
    ]
    identities = [repr(read_space(space, PLAIN).identity) for space in given]
    assert len(set(identities)) == len(given)
    assert identities[0] == repr(read_space({"bc0": (1.0, 10.0)}, PLAIN).identity)


@pytest.mark.parametrize(
    "space, message",
    [
        ({}, "space is empty"),
        (("dn", {}), "space is empty"),
        ({"bc": (1, 10)}, "Unknown group in space 'bc'. Did .* Known: pde, bc0, bc1, ic2"),
        ({"pde0": (1, 10)}, "Unknown group in space 'pde0'"),
        ({"bc0": (10, 1)}, "the first number must be below"),
        ({"bc0": (0, 1)}, "its scale is logarithmic"),
        ({"bc0": [-1, 1]}, r"space\['bc0'\] has the weight -1, which is not allowed"),
        ({"bc0": ["low", "high"]}, "has the weight 'low'"),
        ({"bc0": [1, None]}, "has the weight None"),
        ({"bc0": [1, float("inf")]}, "has the weight inf"),
        ({"bc0": Integer(-1, 5)}, "has the weight -1"),
        (("db-kurt", {"beta": (0.5, 0.9)}), "Unknown strategy .* you mean 'db-kurtosis'"),
        (("dn", {"beta": (0.5, 1.5)}), "beta=1.5 is not allowed"),
        (("dn", {"update_every": (0, 5)}), "update_every=0 is not allowed"),
        (("dn", {"update_every": (1.5, 5.0)}), "update_every=1.5 is not allowed"),
        (("dn", {"p": [1, -1]}), "p=-1"),
        (("dn:beta=0.9", {"beta": (0.5, 0.9)}), "give beta once"),
        (("keep", {"beta": (0.5, 0.9)}), "keep"),
        (
            ("dn+rba:eta=0.1", {"beta": (0.5, 0.9)}),
            "give 'dn', and {'compile': {'point_weights': 'rba:eta=0.1'}} among the options of",
        ),
    ],
)
def test_wrong_values(space, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_space(space, PLAIN)


@pytest.mark.parametrize(
    "space, message",
    [
        ("dn", "space='dn' is not allowed: give ranges of weights by group"),
        (("dn",), "is not allowed: give ranges"),
        (("dn", [("beta", (0.5, 0.9))]), "is not allowed: give ranges"),
        ((Fixed([1]), {"beta": (0.5, 0.9)}), "is not allowed: give ranges"),
        (None, "is not allowed: give ranges"),
        ([(1, 10)], "is not allowed: give ranges"),
        ({0: (1, 10)}, "space has the key 0, which is not allowed"),
        ({"bc0": 10}, r"space\['bc0'\]=10 is not allowed: give a tuple"),
        (("dn", {"bta": (0.5, 0.9)}), "'dn' has no parameter 'bta': it takes p, beta"),
        (("equal", {"beta": (0.5, 0.9)}), "'equal' has no parameter 'beta'"),
    ],
)
def test_wrong_kinds(space, message):
    with pytest.raises(TypeError, match=message):
        read_space(space, PLAIN)
