"""The short names of strategies, and which are the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import deepxde_balance as ddb
from deepxde_balance.experiments.run import OtherRunError, check_same
from deepxde_balance.experiments.strategies import named


class Halves(ddb.FromLosses):
    """Weight `share` for every condition."""

    def __init__(self, share=0.5, update_every=1):
        super().__init__(update_every)
        self.share = share

    def update(self, losses):
        self.weights[1:] = self.share


class Ones(ddb.PointWeighting):
    """Weight `share` for every point."""

    def __init__(self, share=1.0, start=None):
        super().__init__()
        self.share, self.start_value = share, start

    def fresh(self, term, points):
        return {"w": torch.full_like(points[:, 0], self.share)}

    def weights_of(self, state):
        return state["w"]

    def update(self, errors):
        pass


class Needing(ddb.FromLosses):
    def __init__(self, share, rule=None):
        super().__init__()
        self.share, self.rule = share, rule

    def update(self, losses):
        pass


@pytest.mark.parametrize(
    "given, name",
    [
        ("equal", "equal"),
        ("LRA", "gw-mean"),
        ("DN:beta=.90,p=1", "dn-l1:beta=0.9"),
        (ddb.DN(), "dn"),
        (ddb.DN(beta=0.9), "dn:beta=0.9"),
        (ddb.DN(p=1, max_weight=100), "dn-l1:max_weight=100"),
        (ddb.DB("kurtosis", update_every=10), "db-kurtosis:update_every=10"),
        (ddb.DB("mean", average="geometric-mean"), "db-mean:average=geometric-mean"),
        (ddb.DB("mean", average=ddb.EMA(0.5)), "db-mean:average=ema:alpha=0.5"),
        (ddb.DB("std", guard=ddb.Growth(1.1)), "db-std:guard=growth:rate=1.1"),
        (ddb.DN(guard=ddb.Growth(1.1, met=0.1)), "dn:guard=growth:met=0.1;rate=1.1"),
        (ddb.Auto(guard="release"), "auto:guard=release"),
        (ddb.Auto(guard=None), "auto:guard=null"),
        (ddb.GW("std", alpha=0.5), "gw-std:alpha=0.5"),
        (ddb.EqualNorms(), "grad-norm"),
        (ddb.ReLoBRaLo(alpha=0.9), "relobralo:alpha=0.9"),
        (Halves(), "Halves"),
        (Halves(0.25), "Halves:share=0.25"),
        (Needing(2), "Needing:share=2,update_every=1"),
        ("auto+rba", "auto+rba"),
        (" DB_Kurtosis + BRDR:beta_w=.990", "db-kurtosis+brdr:beta_w=0.99"),
        ("equal+causal:chunks=16,tolerance=ladder", "equal+causal:chunks=16,tolerance=ladder"),
        ("sa-term+sa", "sa-term+sa"),
        ("dn:max_weight=1e+5", "dn:max_weight=100000"),
        ("dn:p=+inf", "dn-linf"),
        ("dn:max_weight=1e+5+rba:eta=1e-3", "dn:max_weight=100000+rba:eta=0.001"),
        (("LRA", "rba:eta=.01"), "gw-mean+rba:eta=0.01"),
        ((ddb.DN(), ddb.RBA(eta=0.001)), "dn+rba:eta=0.001"),
        (("equal", ddb.RBA()), "equal+rba"),
        ((ddb.DN(beta=0.9), "brdr"), "dn:beta=0.9+brdr"),
        (("equal", ddb.Causal(tolerance=2, chunks=8)), "equal+causal:chunks=8,tolerance=2"),
        (("equal", ddb.Causal(tolerance=[0.1, 1])), "equal+causal:tolerance=[0.1, 1.0]"),
        (("equal", Ones()), "equal+Ones"),
        (("equal", Ones(0.5)), "equal+Ones:share=0.5"),
    ],
)
def test_names(given, name):
    (strategy,) = named([given])
    assert strategy.name == name
    if isinstance(given, ddb.weightings.Weighting):
        assert strategy.weighting is given
        if name[0].islower():  # a word, which makes the same weighting
            assert named([name])[0].parameters == strategy.parameters
    if isinstance(given, tuple):
        of_terms, of_points = strategy.weighting, strategy.point_weighting
        assert given[0] is of_terms or isinstance(given[0], str)
        assert given[1] is of_points or isinstance(given[1], str)


@pytest.mark.parametrize(
    "word, point_weighting",
    [
        ("dn:beta=0.9+rba:eta=1e-3", ddb.RBA(eta=0.001)),
        ("dn:beta=0.9+brdr:beta_w=0.9", ddb.BRDR(beta_w=0.9)),
        ("dn:beta=0.9+causal:chunks=8", ddb.Causal(chunks=8)),
    ],
)
def test_a_word_with_point_weights(word, point_weighting):
    (strategy,) = named([word])
    (plain,) = named(["dn:beta=0.9"])
    own = dict(strategy.parameters)
    del own["point weights"]
    assert own == plain.parameters
    assert type(strategy.point_weighting) is type(point_weighting)
    assert strategy.point_weighting.hyperparameters == point_weighting.hyperparameters


def test_point_weights_are_part_of_what_is_recorded():
    plain, rba, other = named(["dn", "dn+rba", "dn+rba:eta=0.001"])
    assert plain.point_weighting is None
    assert rba.parameters == plain.parameters | {
        "point weights": {"class": "RBA", "gamma": 0.999, "eta": 0.01, "inherit": None}
    }
    assert other.parameters["point weights"]["eta"] == 0.001
    (causal,) = named([("equal", ddb.Causal(tolerance=[0.1, 1]))])
    assert causal.parameters["point weights"] == {
        "class": "Causal",
        "tolerance": [0.1, 1.0],
        "chunks": 32,
        "threshold": 0.99,
        "inherit": None,
    }
    assert json.loads(json.dumps(causal.parameters)) == causal.parameters


def test_records_without_point_weights_are_still_of_the_same_strategies():
    """The records of the suite were written before comparisons had point weights."""
    suite = Path(__file__).parents[3] / "benchmarks" / "results" / "suite"
    found = {}
    for path in suite.glob("*/*/seed0.json"):
        record = json.loads(path.read_text())
        if "+" not in record["weights"]:
            found[str(path)] = (path.parent.name, record)
    assert len(found) > 100
    for folder, record in found.values():
        (strategy,) = named([record["weights"]])
        check_same(strategy.parameters, record["settings"]["strategy"], Path(folder))
        assert (strategy.folder, strategy.name) == (folder, record["weights"])


def test_a_setting_that_is_new_is_none_in_older_records():
    settings = {"settings": {"strategy": {"p": 2, "guard": None}, "lr": 0.1}}
    check_same(settings, {"settings": {"strategy": {"p": 2}, "lr": 0.1}}, Path("old"))
    check_same({"settings": {"strategy": {"p": 2}, "lr": 0.1}}, settings, Path("new"))
    for other in ({"p": 2, "guard": "Growth"}, {"p": None}, {}, None):
        with pytest.raises(OtherRunError, match="other is of another run: settings there"):
            check_same(settings, {"settings": {"strategy": other, "lr": 0.1}}, Path("other"))


def test_scales_tell_strategies_apart():
    names = [s.name for s in named([ddb.DN(), ddb.DN(scale={"bc0": 2}), ddb.DN(scale=[1, 2, 3])])]
    assert names[0] == "dn" and len(set(names)) == 3
    assert "'bc0': 2" in names[1] and "[1.0, 2.0, 3.0]" in names[2]


def test_folders_have_safe_characters():
    (strategy,) = named([ddb.DN(scale={"bc0": 2})])
    assert set(strategy.folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789._=-")


def test_folders_of_point_weights():
    given: list[Any] = ["auto", "auto+rba", "auto+rba:eta=0.001"]
    given += [("auto", ddb.Causal(tolerance=[0.1, 1]))]
    assert [strategy.folder for strategy in named(given)] == [
        "auto",
        "auto_rba",
        "auto_rba_eta=0.001",
        "auto_causal_tolerance=_0.1_1.0_",
    ]


@pytest.mark.parametrize(
    "given, message",
    [
        (["dn", "DN"], "'dn' is 'dn' again"),
        (["dn", "dn:beta=0.99"], "'dn:beta=0.99' is 'dn' again"),
        (["lra", "gw-mean"], "'gw-mean' is 'gw-mean' again"),
        (["dn:beta=0.9", ddb.DN(beta=0.9)], "'dn:beta=0.9' is 'dn:beta=0.9' again"),
        ([Needing(1, lambda: 1), Needing(1, lambda: 2)], "give them parameters that differ"),
        ([], "strategies is empty"),
        (["keep"], "'keep' keeps the weights of a phase before"),
        ([ddb.weightings.get("keep")], "'keep' keeps the weights of a phase before"),
        (["equal", "db-kurt"], "Did you mean 'db-kurtosis'"),
        (["dn:beta=2"], "beta=2 is not allowed"),
        (["dn+rba", ("DN", ddb.RBA())], r"'dn\+rba' is 'dn\+rba' again"),
        ([("dn", Ones(1, lambda: 1)), ("dn", Ones(1, lambda: 2))], "give them parameters that"),
        (["auto+"], r"'auto\+' is not allowed: write a strategy and its point weighting"),
        (["+rba"], r"'\+rba' is not allowed: write a strategy and its point weighting"),
        (["auto++rba"], r"'auto\+\+rba' is not allowed: write a strategy"),
        (["auto+rba+"], r"'auto\+rba\+' is not allowed: write a strategy"),
        (["auto+rba+brdr"], "it has 2 point weightings, a strategy takes one"),
        ([("auto+rba", "brdr")], "has point weights twice"),
        (["rba"], r"rba weighs points, so give it beside a strategy, as in .equal\+rba"),
        (["auto+rbaa"], "Unknown point weighting 'rbaa'. Did you mean 'rba'"),
        (["autoo+rba"], "Unknown strategy 'autoo'. Did you mean 'auto'"),
        (["auto+rba:eta=-1"], "eta=-1 is not allowed"),
        (["keep+rba"], "'keep' keeps the weights of a phase before"),
    ],
)
def test_strategies_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        named(given)


@pytest.mark.parametrize(
    "given, message",
    [
        (["auto+rba:nope=3"], "'rba' has no parameter 'nope'"),
        ([ddb.RBA()], r"the point weighting RBA, .*as in \('equal', RBA"),
        ([("auto", "rba", "brdr")], "give a pair of a weighting and a point weighting"),
        ([("auto", [1.0, 2.0])], "point weights of class list, .* into build's option compile"),
        ([("auto", ddb.FixedPoints([1.0]))], "point weights of class FixedPoints"),
        ([("auto", ddb.DN())], "point weights of class DN"),
        ([(ddb.RBA(), "rba")], "is no weighting: give"),
    ],
)
def test_point_weights_that_are_refused(given, message):
    with pytest.raises(TypeError, match=message):
        named(given)


@pytest.mark.parametrize("given", ["equal", ddb.DN(), 3, [ddb.DN], [[1, None]], [None]])
def test_what_is_no_list_of_strategies(given):
    with pytest.raises(TypeError, match=r"is not allowed: give a list|is no weighting: give"):
        named(given)


def test_a_long_name_has_a_short_folder():
    scales = [{f"bc{i}": factor for i in range(60)} for factor in (2, 3)]
    folders = [strategy.folder for strategy in named([ddb.DN(scale=scale) for scale in scales])]
    assert all(len(folder) < 255 and folder.startswith("dn_scale=") for folder in folders)
    assert len(set(folders)) == 2
