"""Names and kinds of the loss terms."""

import deepxde as dde
import numpy as np
import pytest
from _support import scripts

from deepxde_balance.terms.term import Term, name_terms, rename

DATA = scripts.klein_gordon(extra=[dde.icbc.PointSetBC(np.full((2, 2), 0.5), 0)])


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


def test_a_point_set_that_only_begins_at_the_initial_time_is_data():
    points = np.array([[0.2, 0.0], [0.6, 0.5]])
    data = scripts.klein_gordon(extra=[dde.icbc.PointSetBC(points, 0)])
    assert named(data=data)[-1] == "data3"


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


def residuals_and_conditions():
    return (Term("pde0"), Term("pde1"), Term("bc0", condition="left"))


def test_residuals_get_names_the_others_keep_theirs():
    renamed = rename(residuals_and_conditions(), {"momentum": 1})
    assert [term.name for term in renamed] == ["pde0", "momentum", "bc0"]
    assert [term.condition for term in renamed] == [None, None, "left"]
    swapped = rename(residuals_and_conditions(), {"pde1": 0, "pde0": 1})
    assert [term.name for term in swapped] == ["pde1", "pde0", "bc0"]


@pytest.mark.parametrize(
    "names, error, message",
    [
        ({"bc0": 0}, ValueError, "'bc0' is the name of another loss term"),
        ({"pde1": 0}, ValueError, "'pde1' is the name of another loss term"),
        ({"pde": 0}, ValueError, "'pde' is not allowed"),
        ({"unweighted": 0}, ValueError, "'unweighted' is not allowed"),
        ({"a": 0, "b": 0}, ValueError, "residual 0 two names: 'a' and 'b'"),
        ({"a": 2}, ValueError, "position 2 of the residuals, of which there are 2"),
        ({"a": -1}, ValueError, "position -1"),
        ({"a": True}, TypeError, "mapping from names to positions"),
        (["a", "b"], TypeError, "mapping from names to positions"),
    ],
)
def test_names_that_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        rename(residuals_and_conditions(), names)
