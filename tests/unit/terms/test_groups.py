"""Names and groups of the loss terms."""

import deepxde as dde
import numpy as np
import pytest
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.terms.groups import group_terms
from deepxde_balance.terms.term import name_terms

DATA = scripts.klein_gordon(extra=[dde.icbc.PointSetBC(np.full((2, 2), 0.5), 0)])
BC, IC, IC_T, POINTS = DATA.bcs


def named(num_losses=5, data=DATA):
    return [term.name for term in name_terms(data, num_losses)]


def test_names_tell_kind_and_position():
    assert named() == ["pde", "bc0", "ic1", "ic2", "data3"]


def test_several_residuals_are_numbered():
    assert named(6) == ["pde0", "pde1", "bc0", "ic1", "ic2", "data3"]


def test_a_point_set_at_the_initial_time_is_an_ic():
    start = np.array([[0.2, 0.0], [0.6, 0.0]])
    data = scripts.klein_gordon(extra=[dde.icbc.PointSetBC(start, 0)])
    assert named(data=data)[-1] == "ic3"


def test_an_ode_starts_with_ics():
    geom = dde.geometry.TimeDomain(0, 1)
    ic = dde.icbc.IC(geom, lambda x: np.ones_like(x), lambda _, on: on)
    slope = dde.icbc.OperatorBC(
        geom, lambda x, y, _: dde.grad.jacobian(y, x), lambda x, _: np.isclose(x[0], 0)
    )
    data = dde.data.PDE(geom, lambda x, y: y, [ic, slope], num_domain=5, num_boundary=2)
    assert named(3, data) == ["pde", "ic0", "ic1"]


def test_data_of_another_class_has_losses():
    data = dde.data.Function(dde.geometry.Interval(0, 1), np.sin, 4, 4)
    assert named(2, data) == ["loss0", "loss1"]


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


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"bc": [0], "ic": [1, 2]}, "no group for data3"),
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


class ExtraLoss(dde.data.TimePDE):
    def losses(self, *args, **kwargs):
        losses = super().losses(*args, **kwargs)
        return [*losses, losses[0] ** 2]


def test_a_data_class_with_a_loss_of_its_own():
    """Which of its losses is which can't be known."""
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, scripts.exact, lambda _, on: on)
    data = ExtraLoss(geom, scripts.klein_gordon_residual, [bc], 10, 5, 5)
    model = ddb.Model(data, scripts.network())
    with pytest.raises(ValueError, match="not told apart as PDE residuals and conditions"):
        model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    groups = {"pde": [0], "bc": ["loss1"], "extra": ["loss2"]}
    model.compile("adam", lr=1e-3, loss_weights="dn", loss_groups=groups, verbose=0)
    model.train(iterations=1, verbose=0)
    assert list(model.weights) == ["pde", "bc", "extra"]


def test_a_condition_without_points_is_refused():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    nowhere = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda x, on: on and x[0] > 2)
    somewhere = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda _, on: on)
    model = ddb.Model(scripts.laplace(geom, [nowhere, somewhere]), scripts.network())
    with pytest.raises(ValueError, match=r"bc0 .DirichletBC. has no points"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
