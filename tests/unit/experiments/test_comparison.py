"""The table and the best strategy, from records whose numbers were chosen."""

import json

import numpy as np
import pytest
from _support.records import content

from deepxde_balance.experiments.comparison import Comparison
from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.results.record import RecordError, write_json


@pytest.fixture
def record(tmp_path):
    def make(weights, seed, score, quantity="L2RE", seconds=0.05):
        run = content("harmonic", weights, seed, seconds_per_iteration=seconds)
        run["test_losses"] = dict(run["losses"])
        run["errors"], run["final"] = {}, {}
        if quantity != "criterion":
            run["errors"] = {quantity: [1.0] * (len(run["steps"]) - 1) + [score]}
            run["final"] = {quantity: score}
        else:  # the last loss of one term is `score` times its first
            run["test_losses"] = {
                name: np.linspace(1, score if name == "ic0" else 0, len(run["steps"]))
                for name in run["losses"]
            }
        path = tmp_path / f"{weights}-{seed}.json"
        write_json(path, run)
        return UserRecord.load(path)

    return make


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_by_hand(record):
    results = Comparison(
        {
            "dn": [record("dn", 0, 0.1), record("dn", 1, 0.3)],
            "equal": [record("equal", 0, 0.5, seconds=0.02), record("equal", 1, 0.3, seconds=0.04)],
        }
    )
    title, _, dn, equal = cells(results.table())
    assert title == ["strategy", "L2RE", "/ equal", "worst seed", "s/iteration"]
    # The standard deviation of 0.1 and 0.3 is sqrt(0.1^2 + 0.1^2) = 0.141.
    assert dn == ["dn", "2.00e-01 ± 1.4e-01", "0.5", "3.00e-01 (seed 1)", "0.05"]
    assert equal == ["equal", "4.00e-01 ± 1.4e-01", "1", "5.00e-01 (seed 0)", "0.03"]
    assert results.best == "dn" and results.reference == "equal"
    assert str(results).startswith(results.table()) and "Best by L2RE: dn." in str(results)


def test_the_first_is_the_reference_where_equal_is_missing(record):
    results = Comparison({"dn": [record("dn", 0, 0.1)], "uw": [record("uw", 0, 0.3)]})
    assert [row[2] for row in cells(results.table())[2:]] == ["1", "3"]
    assert cells(results.table())[2][1] == "1.00e-01"


def test_a_strategy_that_diverged_comes_last(record):
    results = Comparison(
        {
            "dn": [record("dn", 0, 0.001), record("dn", 1, np.nan)],
            "uw": [record("uw", 0, 0.3), record("uw", 1, 0.4)],
            "equal": [record("equal", 0, np.nan), record("equal", 1, np.nan)],
        }
    )
    assert results.best == "uw"
    _, _, dn, _, equal = cells(results.table())
    assert dn[1] == "1.00e-03 (1 diverged of 2)" and dn[3] == "1.00e-03 (seed 0)"
    assert equal[1:4] == ["2 diverged of 2", "", ""]
    nothing = Comparison({"equal": results.runs["equal"]})
    assert nothing.best is None
    assert str(nothing).endswith("2 runs. None has a finite L2RE.")


def test_failed_runs_count_against_a_strategy(record):
    runs = {"dn": [record("dn", 0, 0.001)], "equal": [record("equal", s, 0.3) for s in (0, 1)]}
    results = Comparison(runs, {"dn": {1: "RuntimeError: no"}})
    assert results.best == "equal"
    assert cells(results.table())[2][1] == "1.00e-03 (1 failed of 2)"
    del runs["dn"]
    assert Comparison({"uw": [], **runs}, {"uw": {0: "no", 1: "no"}}).best == "equal"


@pytest.mark.parametrize("quantity", ["metric", "criterion"])
def test_other_quantities(quantity, record):
    results = Comparison({"dn": [record("dn", 0, 0.25, quantity)]})
    assert results.quantity == quantity
    assert results.mean("dn") == pytest.approx(0.25)
    assert cells(results.table())[0][1].startswith(quantity)


def test_figures_of_every_strategy(record, tmp_path):
    runs = {name: [record(name, s, 0.1) for s in (0, 1)] for name in ("equal", "dn", "uw", "sa")}
    results = Comparison({**runs, "id": [record("id", 0, np.nan)], "lra": []}, {"lra": {0: "no"}})
    paths = results.plot(tmp_path / "new")
    assert [path.name for path in paths] == ["errors.png", "losses.png", "weights.png"]
    assert all(path.stat().st_size > 10000 for path in paths)
    text = results.save(tmp_path / "new").read_text()
    assert results.table() in text and "- failed: lra, seed 0: no" in text
    assert "![errors](errors.png)" in text


def test_records_that_are_no_runs_of_ones_own_problem(record):
    path = record("dn", 0, 0.1).path
    whole = json.loads(path.read_text())
    del whole["test_losses"]["ic1"]
    write_json(path, whole)
    with pytest.raises(RecordError, match="lacks the test losses"):
        UserRecord.load(path)
    whole["test_losses"]["ic1"] = [1.0]
    write_json(path, whole)
    with pytest.raises(RecordError, match=r"test_losses\['ic1'\] has 1 values for 41 steps"):
        UserRecord.load(path)
