"""The table and the best call of a search, from records whose numbers were chosen."""

import math

import matplotlib.image
import numpy as np
import pytest
from _support.records import content

from deepxde_balance.experiments.tuned import Call, Tuned
from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.results.record import write_json


@pytest.fixture
def call(tmp_path):
    def make(bc0, *scores, failed=None, quantity="L2RE"):
        runs = []
        for seed, score in enumerate(scores):
            run = content("harmonic", "equal", seed)
            run["test_losses"] = dict(run["losses"])
            run["errors"] = {quantity: [1.0] * (len(run["steps"]) - 1) + [score]}
            run["final"] = {quantity: score}
            path = tmp_path / f"{bc0}-{seed}.json"
            write_json(path, run)
            runs.append(UserRecord.load(path))
        return Call({"bc0": bc0, "ic1": 0.12345}, [1.0, bc0, 0.12345], runs, failed or {})

    return make


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_by_hand(call):
    tuned = Tuned([call(1.0, 0.5, 0.3), call(1000.0, 0.1, 0.3), call(1e6, 0.7, 0.9)])
    title, _, *rows = cells(tuned.table())
    assert title == ["call", "bc0", "ic1", "L2RE"]
    # The standard deviation of two numbers that differ by 0.2 is sqrt(0.1^2 + 0.1^2) = 0.141.
    assert rows == [
        ["2", "1000", "0.12345", "2.00e-01 ± 1.4e-01"],
        ["1", "1", "0.12345", "4.00e-01 ± 1.4e-01"],
        ["3", "1e+06", "0.12345", "8.00e-01 ± 1.4e-01"],
    ]
    assert tuned.best == [1.0, 1000.0, 0.12345] and tuned.best_point["bc0"] == 1000.0
    assert tuned.value == pytest.approx(0.2) and tuned.quantity == "L2RE"
    assert str(tuned) == (
        f"{tuned.table()}\n\n3 calls. Best by L2RE: call 2, 2.00e-01, with "
        "loss_weights=[1.0, 1000.0, 0.12345]."
    )


def test_one_seed(call):
    tuned = Tuned([call(1.0, -0.5, quantity="metric"), call(2.0, 0.0, quantity="metric")])
    assert [row[3] for row in cells(tuned.table())] == [
        "metric",
        "--------:",
        "-5.00e-01",
        "0.00e+00",
    ]
    assert tuned.best_point["bc0"] == 1.0 and tuned.quantity == "metric"


def test_a_call_with_a_run_that_failed_or_diverged_has_no_value(call):
    calls = [
        call(1.0, 0.001, np.nan),
        call(2.0, 0.001, failed={1: "RuntimeError: no"}),
        call(3.0, 0.9, 0.9),
        call(4.0, failed={0: "no", 1: "no"}),
    ]
    assert [math.isnan(one.value) for one in calls] == [True, True, False, True]
    tuned = Tuned(calls)
    assert tuned.best_point["bc0"] == 3.0
    rows = cells(tuned.table())[2:]
    assert rows[0][:2] == ["3", "3"]
    assert {row[0]: row[3] for row in rows[1:]} == {
        "1": "1 diverged of 2",
        "2": "1 failed of 2",
        "4": "2 failed of 2",
    }


@pytest.mark.parametrize("scores", [[0.3, np.nan, 0.1], [-0.3, 0.2, 0.1]])
def test_files(scores, call, tmp_path):
    tuned = Tuned([call(10.0**i, score) for i, score in enumerate(scores)])
    tuned = Tuned([*tuned.calls, call(77.0, failed={0: "ValueError: no"})])
    path = tuned.save(tmp_path / "new")
    text = path.read_text()
    assert path.name == "tuning.md" and str(tuned) in text
    assert "- failed: call 4, seed 0: ValueError: no" in text and "![tuning](tuning.png)" in text
    image = matplotlib.image.imread(tmp_path / "new" / "tuning.png")
    assert image.shape[0] > 200 and image.std() > 0.05
