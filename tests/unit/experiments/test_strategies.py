"""The short names of strategies, and which are the same."""

import pytest

import deepxde_balance as ddb
from deepxde_balance.experiments.strategies import named


class Halves(ddb.FromLosses):
    """Weight `share` for every condition."""

    def __init__(self, share=0.5, update_every=1):
        super().__init__(update_every)
        self.share = share

    def update(self, losses):
        self.weights[1:] = self.share


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
        (ddb.DB("mean", average="geometric-mean"), "db-mean:average=geometricmean"),
        (ddb.GW("std", alpha=0.5), "gw-std:alpha=0.5"),
        (ddb.EqualNorms(), "grad-norm"),
        (ddb.ReLoBRaLo(alpha=0.9), "relobralo:alpha=0.9"),
        (Halves(), "Halves"),
        (Halves(0.25), "Halves:share=0.25"),
        (Needing(2), "Needing:share=2,update_every=1"),
    ],
)
def test_names(given, name):
    (strategy,) = named([given])
    assert strategy.name == name
    if isinstance(given, ddb.weightings.Weighting):
        assert strategy.weighting is given


def test_scales_tell_strategies_apart():
    names = [s.name for s in named([ddb.DN(), ddb.DN(scale={"bc0": 2}), ddb.DN(scale=[1, 2, 3])])]
    assert names[0] == "dn" and len(set(names)) == 3
    assert "'bc0': 2" in names[1] and "[1.0, 2.0, 3.0]" in names[2]


def test_folders_have_safe_characters():
    (strategy,) = named([ddb.DN(scale={"bc0": 2})])
    assert set(strategy.folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789._=-")


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
    ],
)
def test_strategies_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        named(given)


@pytest.mark.parametrize("given", ["equal", ddb.DN(), 3, [ddb.DN], [[1, 100]], [None]])
def test_what_is_no_list_of_strategies(given):
    with pytest.raises(TypeError, match=r"is not allowed: give a list|is no weighting: give"):
        named(given)


def test_a_long_name_has_a_short_folder():
    scales = [{f"bc{i}": factor for i in range(60)} for factor in (2, 3)]
    folders = [strategy.folder for strategy in named([ddb.DN(scale=scale) for scale in scales])]
    assert all(len(folder) < 255 and folder.startswith("dn_scale=") for folder in folders)
    assert len(set(folders)) == 2
