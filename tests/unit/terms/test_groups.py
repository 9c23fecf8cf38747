"""Groups of the loss terms, and their static factors."""

import deepxde as dde
import numpy as np
import pytest
from _support import scripts

from deepxde_balance.terms.groups import group_terms
from deepxde_balance.terms.term import name_terms

DATA = scripts.klein_gordon(extra=[dde.icbc.PointSetBC(np.full((2, 2), 0.5), 0)])
BC, IC, IC_T, POINTS = DATA.bcs
GEOM = dde.geometry.Interval(0, 1)


def groups_of(spec, num_losses=5):
    groups = group_terms(name_terms(DATA, num_losses), spec)
    return dict(zip(groups.names, groups.members, strict=True)), groups.unweighted


def test_by_default_each_condition_is_a_group():
    assert groups_of(None) == (
        {"pde": (0,), "bc0": (1,), "ic1": (2,), "ic2": (3,), "data3": (4,)},
        (),
    )
    assert groups_of(None, 6)[0]["pde"] == (0, 1)


@pytest.mark.parametrize(
    "spec",
    [
        {"bc": [BC], "ic": [IC, IC_T], "data": POINTS},
        {"bc": 0, "ic": (1, 2), "data": [3]},
        {"bc": ["bc0"], "ic": ["ic1", IC_T], "data": np.int64(3)},
    ],
)
def test_groups_by_object_position_or_name(spec):
    assert groups_of(spec) == ({"pde": (0,), "bc": (1,), "ic": (2, 3), "data": (4,)}, ())


def test_unweighted_terms_are_in_no_group():
    members, unweighted = groups_of({"ic": [1, 2], "unweighted": [0, 3]})
    assert members == {"pde": (0,), "ic": (2, 3)}
    assert unweighted == (1, 4)


def test_another_reference_makes_the_other_residuals_conditions():
    rest = {"bc": 0, "ic": [1, 2], "data": 3}
    members, _ = groups_of({"pde": [1], **rest}, 7)
    assert members == {
        "pde": (1,), "pde0": (0,), "pde2": (2,), "bc": (3,), "ic": (4, 5), "data": (6,)
    }  # fmt: skip
    members, _ = groups_of({"pde": [1], "continuity": ["pde0", "pde2"], **rest}, 7)
    assert members["continuity"] == (0, 2)
    members, _ = groups_of({"continuity": ["pde0"], **rest}, 7)
    assert (members["pde"], members["continuity"]) == ((1, 2), (0,))


def test_reserved_keys_alone_leave_each_other_condition_a_group():
    members, _ = groups_of({"pde": [0]}, 6)
    assert members == {
        "pde": (0,),
        "pde1": (1,),
        "bc0": (2,),
        "ic1": (3,),
        "ic2": (4,),
        "data3": (5,),
    }
    members, unweighted = groups_of({"unweighted": [IC, IC_T]})
    assert (members, unweighted) == ({"pde": (0,), "bc0": (1,), "data3": (4,)}, (2, 3))


def test_without_residuals_there_is_no_reference_but_a_chosen_one():
    terms = name_terms(DATA, 4)
    groups = group_terms(terms)
    assert (groups.names, groups.members) == (
        ("bc0", "ic1", "ic2", "data3"),
        ((0,), (1,), (2,), (3,)),
    )
    assert not groups.has_reference
    for rest in ({}, {"ic1": [1], "ic2": [2]}):
        groups = group_terms(terms, {"reference": [POINTS, 0], **rest})
        assert groups.names == ("reference", "ic1", "ic2")
        assert groups.members == ((3, 0), (1,), (2,)) and groups.has_reference
    assert group_terms(terms, {"data": [3], "others": [0, 1, 2]}).names == ("data", "others")
    with pytest.raises(ValueError, match="nothing to weigh"):
        group_terms(terms, {"unweighted": [0, 1, 2, 3]})


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"bc": [0], "ic": [1, 2]}, "no group for data3"),
        ({"reference": [0]}, "for problems without residuals: here 'pde' chooses"),
        ({"pde": [0], "bc": [0]}, "no group for ic1, ic2, data3"),
        ({"a": [0, 1], "b": [1, 2, 3]}, "ic1 is named twice in loss_groups: in 'a' and in 'b'"),
        ({"a": [0, 0, 1, 2, 3]}, "bc0 is named twice"),
        ({"a": [0, 1, 2, 4]}, "position 4, but there are 4 conditions: bc0, ic1, ic2, data3"),
        ({"a": [-1, 0, 1, 2]}, "position -1"),
        ({"pde": [1], "a": [0, 1, 2, 3]}, "position 1, but there are 1 residuals: pde"),
        ({"a": [0, 1, 2, 3], "b": []}, r"loss_groups\['b'\] is empty"),
        ({"a": ["bc7", 1, 2, 3]}, "'bc7'. Did you mean 'bc0'"),
        ({"a": [dde.icbc.PointSetBC(np.zeros((1, 2)), 0), 1]}, "no condition of this problem"),
        ({"a": [0.5]}, "names 0.5, which is no condition"),
        ({"a": [True]}, "names True, which is no condition"),
        ({"pde": ["bc0"], "a": [1, 2, 3]}, "takes residuals only"),
        ({"a": ["pde", 0, 1, 2, 3]}, "no residual for the reference"),
        ({"bc0": [1], "a": [0, 2, 3]}, "'bc0' has the name of a loss term"),
    ],
)
def test_bad_groups(spec, message):
    with pytest.raises(ValueError, match=message):
        groups_of(spec)


def test_positions_where_there_are_none():
    with pytest.raises(ValueError, match=r"position 0 of the conditions.*none.*terms: pde0, pde1"):
        group_terms(name_terms(dde.data.PDE(GEOM, lambda x, y: y, []), 2), {"bc": [0]})
    with pytest.raises(ValueError, match=r"position 1 of the residuals.*none.*terms: bc0, ic1"):
        group_terms(name_terms(DATA, 4), {"pde": [1]})


def test_groups_of_the_wrong_type():
    with pytest.raises(TypeError, match="give a mapping"):
        groups_of([[0, 1], [2, 3]])


def test_names_of_groups_are_unique():
    with pytest.raises(ValueError, match="two groups of the name 'pde0'"):
        groups_of({"pde": [1], "pde0": [0, 1, 2, 3]}, 6)


def test_scale_by_list_or_name():
    groups = group_terms(name_terms(DATA, 5), {"bc": 0, "ic": [1, 2], "data": 3})
    assert groups.scale_factors(None) == (1, 1, 1, 1, 1)
    assert groups.scale_factors([1, 2, 3, 4, 5]) == (1, 2, 3, 4, 5)
    assert groups.scale_factors({"ic": 3.0, "ic2": 2.0, "pde": 0.5}) == (0.5, 1, 3, 6, 1)
    with pytest.raises(
        ValueError, match="scale has 2 numbers, but there are 5 loss terms: pde, bc0"
    ):
        groups.scale_factors([1, 2])
    with pytest.raises(ValueError, match=r"'ik'\. Did you mean 'ic'"):
        groups.scale_factors({"ik": 1.0})
