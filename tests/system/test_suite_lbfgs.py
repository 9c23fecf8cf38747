"""The comparison of L-BFGS in three ways: one run of it, and its tables from records by hand."""

import dataclasses
import sys

import pytest
import suite
from suite import lbfgs

from deepxde_balance.results.record import write_json


def test_all_ways_start_from_the_same_network(optimizer_options, monkeypatch):
    entry = dataclasses.replace(suite.PROBLEMS["harmonic"], iterations=30)
    monkeypatch.setitem(suite.PROBLEMS, "harmonic", entry)
    monkeypatch.setattr(lbfgs, "ITERATIONS", 1)
    record = lbfgs.train("harmonic", "auto", seed=3)
    after_adam = record["adam"]["error"]
    for way in lbfgs.WAYS:
        assert record[way]["iterations"] == 1
        assert record[way]["error"] != after_adam
    # The first step is PyTorch's in each way.
    assert record["ours"]["error"] == record["pytorch"]["error"]
    assert record["double"]["error"] == pytest.approx(record["ours"]["error"], rel=1e-5)


def by_hand(problem, strategy, errors, iterations):
    ways = dict.fromkeys(lbfgs.WAYS)
    for way, error, made in zip(ways, errors, iterations, strict=True):
        ways[way] = {"error": error, "iterations": made, "seconds": made / 10}
    return {"problem": problem, "strategy": strategy, "seed": 0, "adam": {"error": 0.8}, **ways}


def test_the_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lbfgs, "OUT", tmp_path)
    records = [
        by_hand("stiff-ode", "auto", [0.8, 0.2, 0.08], [3, 500, 2000]),
        by_hand("stiff-ode", "ntk", [0.2, 0.2, 0.08], [700, 300, 2000]),
    ]
    for record in records:
        path = lbfgs.path_of(record["problem"], record["strategy"], 0)
        path.parent.mkdir(exist_ok=True)
        write_json(path, record)
    monkeypatch.setattr(sys, "argv", ["lbfgs", "--show"])
    lbfgs.main()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ")
    ]
    # Geometric means: sqrt(0.8 * 0.2) / 0.8 = 0.5; sqrt(0.25 * 1) = 0.5; sqrt(0.1 * 0.4) = 0.2.
    assert ["PyTorch's", "2", "0.5", "1", "1", "1", "35"] in rows
    assert ["ours", "2", "0.25", "0.5", "1", "0", "40"] in rows
    assert ["PyTorch's in float64", "2", "0.1", "0.2", "0.4", "0", "2e+02"] in rows
    assert ["stiff-ode", "`auto`", "0.8", "0.8 (3)", "0.2 (500)", "0.08 (2000)"] in rows
