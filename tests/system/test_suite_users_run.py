"""The tables on users' problems, against records whose errors were chosen by hand."""

import dataclasses

import pytest
from _support.records import write_user_run
from suite import run, tables, users_run
from suite.users import USERS


def cells(row):
    return [cell.strip() for cell in row.split("|")[1:-1]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two problems with a user's weights, one without, and one that lacks equal weights."""
    monkeypatch.setattr(users_run, "OUT", tmp_path)
    for problem, of in {
        "critical-slab": {"equal": 0.4, "1,100,100": 0.2, "auto": 0.1},
        "poisson-cubic": {"equal": 0.1, "1,2": 0.1, "auto": 0.16},
        "plate-bending": {"equal": 0.5, "auto": 0.05, "dn": 0.5},
        "bioheat": {"auto": 0.5},
    }.items():
        for strategy, error in of.items():
            write_user_run(tmp_path, problem, strategy, 0, error)
    write_user_run(tmp_path, "critical-slab", "auto", 1, 90.0)  # equal weights lack this seed
    return tmp_path


def test_a_row_for_each_problem(folder):
    rows = users_run.of_problems(list(USERS)).splitlines()
    own = "the user's own"
    assert cells(rows[0]) == ["problem", "kind", "seeds", "`equal`", own, "`auto`", "`dn`"]
    assert [cells(row) for row in rows[2:]] == [
        ["critical-slab", "ODE", "1", "0.4", "0.2 (0.5)", "0.1 (0.25)", ""],
        ["poisson-cubic", "steady", "1", "0.1", "0.1 (1)", "0.16 (1.6)", ""],
        ["plate-bending", "steady", "1", "0.5", "", "0.05 (0.1)", "0.5 (1)"],
    ]


def test_what_the_ratios_are_like(folder):
    """`auto` over equal weights has 1/4, 1.6 and 1/10: the cube root of 0.04 is 0.34."""
    rows = [cells(row) for row in users_run.summary(list(USERS)).splitlines()[2:]]
    assert rows[:4] == [
        ["the user's own", "`equal`", "last fifth", "2", "0.71", "0.75", "1", "0", "1"],
        ["`auto`", "`equal`", "last fifth", "3", "0.34", "0.25", "1.6", "1", "2"],
        ["`dn`", "`equal`", "last fifth", "1", "1", "1", "1", "0", "0"],
        ["`auto`", "the user's own", "last fifth", "2", "0.89", "1.05", "1.6", "1", "1"],
    ]
    assert {row[2] for row in rows[5:]} == {"best step"}
    assert {row[4] for row in rows[5:]} == {"1"}  # all have the error 9 there


def test_it_trains_with_the_users_rate_and_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(users_run, "OUT", tmp_path)
    entry = dataclasses.replace(USERS["critical-slab"], iterations=3)
    users_run.train(entry, ["equal", "auto"], seeds=1)
    found = tables.records("critical-slab", tmp_path)
    assert list(found) == ["1,100,100", "auto", "equal"]
    ((own,), (auto,), _) = found.values()
    assert list(own.weights_now.values()) == [1, 100, 100]
    assert {run.settings["lr"] for run in (own, auto)} == {entry.lr}
    assert [run.steps[-1] for run in (own, auto)] == [3, 3]


def test_the_pages_show_the_records_that_are_there():
    page = run.WHICH_STRATEGY.read_text(encoding="utf-8")
    assert users_run.summary(list(USERS)) in page
    assert users_run.of_problems(list(USERS)) in run.README.read_text(encoding="utf-8")
