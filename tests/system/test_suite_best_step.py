"""The judgement of rules for the best step, on records that were judged by hand."""

import sys

import numpy as np
import pytest
import suite
from _support.records import content
from suite import best_step

from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.results.record import write_json

STEPS = [0, 50, 80, 90, 100]  # the last fifth has three of them
ERRORS = [0.9, 0.1, 0.3, 0.2, 0.4]  # with the median 0.3
PDE = [5.0, 1.0, 2.0, 2.0, 3.0]
BC = [9.0, 1.0, 0.5, 0.2, 0.1]
WEIGHTS = [1.0, 2.0, 10.0, 10.0, 20.0]
# Sums: 14, 2, 2.5, 2.2, 3.1. Weighted: 23, 3, 7, 4, 5. With the later record's weights: 3 at step
# 50 is below 23, 7 at step 80 below 11, 4 at step 90 below 7, 5 at step 100 below 6.
BY_HAND = [0.4 / 0.3, 0.1 / 0.3, 0.1 / 0.3, 0.4 / 0.3]


def write(folder, problem, strategy="dn", seed=0, factor=1.0, bc=None):
    run = content("harmonic", strategy, seed)
    run |= {"steps": STEPS, "loss_terms": ["pde", "bc"], "groups": {"pde": ["pde"], "bc": ["bc"]}}
    run["losses"] = run["test_losses"] = {"pde": PDE, "bc": bc or BC}
    run["loss_weights"] = {"pde": [1.0] * 5, "bc": WEIGHTS}
    run["errors"] = {"metric": [factor * e for e in ERRORS]}
    run["final"] = {"metric": factor * ERRORS[-1]}
    path = folder / problem / strategy / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, run)
    return UserRecord.load(path)


def test_each_rule_by_hand(tmp_path):
    found = best_step.ratios(write(tmp_path, "helmholtz", factor=7.0))
    np.testing.assert_allclose(list(found.values()), BY_HAND)
    # The last record's condition is now at 0.2: 3 + 4 is above 2 + 4.
    found = best_step.ratios(write(tmp_path, "helmholtz", bc=[9.0, 1.0, 0.5, 0.2, 0.2]))
    assert list(found.values())[-1] == pytest.approx(0.2 / 0.3)


def test_the_command(tmp_path, monkeypatch, capsys):
    problems = suite.names("choosing")[:10]
    for name in problems:
        write(tmp_path, name)
        write(tmp_path, name, "dn+rba")
        if name != problems[0]:
            write(tmp_path, name, "uw")  # on too few problems
    # A second seed of one problem, in which the last record is far off.
    worse = write(tmp_path, problems[0], seed=1).path
    worse.write_text(worse.read_text().replace("0.4", "4.8"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["best_step", "--out", str(tmp_path)])
    best_step.main()
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    title, (strategy, runs, *cells) = (line for line in lines if len(line) > 2)
    assert title[2:] == list(best_step.RULES)
    assert (strategy, runs) == ("`dn`", "11")
    # The last record: 4 / 3 nine times, and once the mean of 4 / 3 and 16, 4 / 3 sqrt(12).
    assert cells[0] == f"{4 / 3 * 12**0.05:.2f} (16)"
    assert cells[1] == "0.33 (0.333)"


def test_too_few_records(tmp_path, monkeypatch, capsys):
    write(tmp_path, "advection")
    monkeypatch.setattr(sys, "argv", ["best_step", "--half", "judging", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        best_step.main()
    assert "no strategy with finished runs of 10 problems" in capsys.readouterr().err
