"""The comparison of weights for L-BFGS: one run of it, and its tables from records by hand."""

import dataclasses
import sys

import pytest
import suite
from suite import lbfgs, lbfgs_weights

from deepxde_balance.results.record import write_json


@pytest.fixture
def short(optimizer_options, monkeypatch):
    entry = dataclasses.replace(suite.PROBLEMS["harmonic"], iterations=30)
    monkeypatch.setitem(suite.PROBLEMS, "harmonic", entry)
    monkeypatch.setattr(lbfgs, "ITERATIONS", 2)


def test_each_goes_on_with_its_weights(short):
    record = lbfgs_weights.train("harmonic", "auto", seed=3)
    assert max(record["weights"]) > min(record["weights"])
    assert record["kept"]["iterations"] == record["equal"]["iterations"] == 2
    assert len({record[way]["error"] for way in ("adam", "kept", "equal")}) == 3


def test_after_equal_weights_there_is_one_way_to_go_on(short):
    record = lbfgs_weights.train("harmonic", "equal", seed=3)
    assert record["weights"] == [1, 1, 1]
    assert "equal" not in record


def write(problem, seed, equal, auto):
    """Records with the errors after Adam, and after L-BFGS with the weights kept and equal."""
    for strategy, found in (("equal", equal), ("auto", auto)):
        path = lbfgs_weights.path_of(problem, strategy, seed)
        path.parent.mkdir(exist_ok=True)
        errors = {way: {"error": e} for way, e in zip(("adam", "kept", "equal"), found)}  # noqa: B905
        write_json(path, {"problem": problem, "strategy": strategy, "seed": seed, **errors})


def test_the_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lbfgs_weights, "OUT", tmp_path)
    write("harmonic", 0, [0.8, 0.4], [0.4, 0.1, 0.8])
    write("harmonic", 1, [0.8, 0.1], [0.1, 0.1, 0.2])
    write("wave", 0, [0.1, 0.2], [0.3, 0.1, 0.1])
    path = lbfgs_weights.path_of("wave", "equal", 1)  # has no partner
    write_json(path, {"strategy": "equal", "seed": 1, "adam": {"error": 9}, "kept": {"error": 9}})
    monkeypatch.setattr(sys, "argv", ["lbfgs_weights", "--show"])
    lbfgs_weights.main()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ")
    ]
    # harmonic: Adam 0.8, and sqrt(0.4 * 0.1) = 0.2; L-BFGS sqrt(0.4 * 0.1) = 0.2, 0.1, and
    # sqrt(0.8 * 0.2) = 0.4.
    assert ["harmonic", "2", "0.8 (1)", "0.2 (0.25)", "0.2 (1)", "0.1 (0.5)", "0.4 (2)"] in rows
    assert ["wave", "1", "0.1 (1)", "0.3 (3)", "0.2 (1)", "0.1 (0.5)", "0.1 (0.5)"] in rows
    # sqrt(0.25 * 2) = 0.71; sqrt(0.25 * 3) = 0.87; sqrt(0.5 * 0.5) = 0.5; sqrt(2 * 0.5) = 1.
    assert rows[1] == ["`equal`, then L-BFGS", "`equal`", "2", "0.71", "2", "1", "1"]
    assert rows[2] == ["`auto`", "`equal`", "2", "0.87", "3", "1", "1"]
    assert [row[3:] for row in rows[3:5]] == [["0.5", "0.5", "0", "2"], ["1", "2", "1", "1"]]
