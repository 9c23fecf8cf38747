"""Points from a grid, and points drawn without one."""

import pytest

import deepxde_balance as ddb


@pytest.mark.parametrize(
    "name, kind",
    [
        *((name, "residual") for name in ("klein-gordon", "wave", "helmholtz", "allen-cahn")),
        ("burgers-inverse", "residual"),
        ("burgers-inverse", "data"),
    ],
)
def test_the_grid_has_no_more_points(name, kind):
    few = dict.fromkeys(ddb.problems.get(name).settings.num_points, 2)
    all_of_them = ddb.problems.get(name, num_points=few | {kind: 1002001})
    assert all_of_them.settings.num_points[kind] == 1002001
    with pytest.raises(ValueError, match=rf"{kind}'\]=1002002 .* 1001 x 1001 grid"):
        ddb.problems.get(name, num_points=few | {kind: 1002002})


def test_other_points_are_drawn_without_a_grid():
    for name in ("allen-cahn-dn", "burgers", "harmonic", "navier-stokes", "poisson"):
        assert ddb.problems.get(name, points=20000).settings.num_points["residual"] > 1002001
