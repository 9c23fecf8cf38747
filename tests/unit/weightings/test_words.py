"""Strategy words: what is read, what is written, and what is refused."""

import math

import pytest

from deepxde_balance.weightings import words


@pytest.mark.parametrize(
    ("word", "name", "parameters"),
    [
        ("dn", "dn", {}),
        ("dn:", "dn", {}),
        (" DN_L2 : beta = .5 ,", "dn", {"beta": 0.5}),
        ("Lra", "gw-mean", {}),
        ("gw_std:alpha=1e-2,update_every=10", "gw-std", {"alpha": 0.01, "update_every": 10}),
        ("dn:p=inf,bias_correction=False", "dn", {"p": math.inf, "bias_correction": False}),
        ("db-mean:average=EMA,max_weight=null", "db-mean", {"average": "EMA", "max_weight": None}),
        ('db-mean:average="ema"', "db-mean", {"average": "ema"}),
        ('dn:scale={"bc":2}', "dn", {"scale": {"bc": 2}}),
        ("no-such:x=1", "no-such", {"x": 1}),
    ],
)
def test_what_is_read(word, name, parameters):
    found = words.parse(word)
    assert (found.name, found.parameters) == (name, parameters)
    assert [type(v) for v in found.parameters.values()] == [type(v) for v in parameters.values()]


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("auto", ["auto"]),
        ("auto+rba", ["auto", "rba"]),
        (" auto + rba : eta=1 ", ["auto", "rba : eta=1"]),
        ("dn:beta=0.9+rba:eta=0.001", ["dn:beta=0.9", "rba:eta=0.001"]),
        ("gw-mean:alpha=1e+5", ["gw-mean:alpha=1e+5"]),
        ("gw-mean:alpha=1E+5+rba:eta=1e+2", ["gw-mean:alpha=1E+5", "rba:eta=1e+2"]),
        ("dn:p=+inf", ["dn:p=+inf"]),
        ("dn:p=+inf+RBA", ["dn:p=+inf", "RBA"]),
        ("auto+rba+brdr", ["auto", "rba", "brdr"]),
        ("+rba", ["", "rba"]),
        ("auto+", ["auto+"]),
    ],
)
def test_a_plus_sign_separates_point_weights(word, parts):
    assert words.split_points(word) == parts


def test_parameters_beside_the_word():
    assert words.parse("dn:beta=0.5", update_every=3) == ("dn", {"beta": 0.5, "update_every": 3})
    with pytest.raises(ValueError, match=r"beta=0.9 is not allowed beside 'dn:beta=0.5': give"):
        words.parse("dn:beta=0.5", beta=0.9)


@pytest.mark.parametrize("pair", ["beta", "beta=", "=1", "be-ta=1", "0=1", "beta:0.9", " "])
def test_a_pair_that_is_none(pair):
    message = f"'DN:p=1,{pair}' is not allowed: write a strategy with parameters as dn:parameter="
    with pytest.raises(ValueError, match=message):
        words.parse(f"DN:p=1,{pair}")


def test_a_parameter_twice():
    with pytest.raises(ValueError, match=r"'dn:beta=0.9,p=1,beta=0.9' is not allowed: it has beta"):
        words.parse("dn:beta=0.9,p=1,beta=0.9")


@pytest.mark.parametrize(
    ("word", "normalized"),
    [
        ("DN", "dn"),
        ("dn:p=1,beta=.90", "dn-l1:beta=0.9"),
        ("dn-linf:p=2.0", "dn"),
        ("dn-l1:p=Infinity", "dn-linf"),
        ("dn-l1:p=3", "dn:p=3"),
        ("ntk:exact=True", "ntk-exact"),
        ("ntk-exact:exact=false,probes=4", "ntk:probes=4"),
        ("ntk:exact=1", "ntk:exact=1"),  # 1 is not True there
        ("gw-mean:p=1", "gw-mean:p=1"),  # the norms are DN's
        ("id:max_weight=1e4,alpha=1", "gw-std:alpha=1,max_weight=10000"),
        ("db_mean:average=EMA,update_every=7", "db-mean:average=ema,update_every=7"),
        ("dn:bias_correction=False,max_weight=null", "dn:bias_correction=false,max_weight=null"),
    ],
)
def test_one_word_for_many_spellings(word, normalized):
    assert words.normalized(word) == normalized
    assert words.normalized(normalized) == normalized
    assert words.written(*words.parse(word)) == normalized


def test_names_of_files():
    assert (
        words.file_name("DN:beta=0.9,bias_correction=False") == "dn_beta=0.9_bias_correction=false"
    )
    assert words.file_name('dn:scale={"bc":2}') == "dn_scale=_bc_2_"
    assert words.file_name("ma") == "gw-mean"
