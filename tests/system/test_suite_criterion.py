"""The judgement of criteria, against records whose numbers were chosen and judged by hand."""

import math
import sys

import numpy as np
import pytest
from _support.records import content
from suite import criterion

from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.results.record import write_json

STEPS = [0, 20, 79, 80, 90, 100]  # the last fifth has three of them
#: For each strategy: its error, and the losses of the equation and of the conditions at step 0, at
#: step 20 and over the last fifth.
CHOSEN = {
    "equal": (0.5, [1, 1, 0.01], [4, 4, 1]),
    "dn": (0.01, [1, 10, 0.1], [4, 2, 0.04]),
    "uw": (0.2, [1, 1, 0.5], [4, 4, 0.4]),
}


def write(folder, problem, strategy, seed, error, pde, bc):
    run = content("harmonic", strategy, seed)
    run |= {"steps": STEPS, "loss_terms": ["pde", "bc"], "groups": {"pde": ["pde"], "bc": ["bc"]}}
    # The value at step 79 doesn't count, and the median isn't the mean.
    run["losses"] = {
        term: [first, then, first, last, 3 * last, last / 2]
        for term, (first, then, last) in {"pde": pde, "bc": bc}.items()
    }
    run["test_losses"] = run["losses"]
    run["loss_weights"] = {group: [1.0] * len(STEPS) for group in run["groups"]}
    run["errors"] = {"metric": [1.0, 1.0, 1.0, error, 2 * error, error / 3]}
    run["final"] = {"metric": error / 3}
    path = folder / problem / strategy / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, run)
    return UserRecord.load(path)


@pytest.fixture
def runs(tmp_path):
    return [write(tmp_path, "helmholtz", name, 0, *chosen) for name, chosen in CHOSEN.items()]


# Over the scales, the equation and the conditions have, for `equal`, `dn` and `uw`:
# so far 0.01 0.25, 0.01 0.01, 0.5 0.1; first 0.01 0.25, 0.1 0.01, 0.5 0.1;
# all runs (10 and 4) 0.001 0.25, 0.01 0.01, 0.05 0.1; best (0.01 and 0.04) 1 25, 10 1, 50 10.
BY_HAND: dict[str, list[float]] = {
    "worst, over largest so far (`worst_term`)": [0.25, 0.01, 0.5],
    "sum, over largest so far": [0.26, 0.02, 0.6],
    "worst, over first": [0.25, 0.1, 0.5],
    "sum, over first": [0.26, 0.11, 0.6],
    "sum": [1.01, 0.14, 0.9],
    "geometric mean": [math.log(0.1), math.log(0.004) / 2, math.log(0.2) / 2],
    "worst, over largest of all runs": [0.25, 0.01, 0.1],
    "sum, over largest of all runs": [0.251, 0.02, 0.15],
    "worst, over best run": [25, 10, 50],
    "sum of ranks": [1 + 3, 2 + 1, 3 + 2],
}


@pytest.mark.parametrize("candidate", criterion.CANDIDATES)
def test_a_candidate_by_hand(candidate, runs):
    found = criterion.CANDIDATES[candidate](runs)
    np.testing.assert_allclose(found, BY_HAND[candidate])


@pytest.mark.parametrize("candidate", criterion.CANDIDATES)
def test_a_run_that_diverged_is_the_worst_and_changes_no_order(candidate, runs, tmp_path):
    lost = write(tmp_path, "helmholtz", "ntk", 0, np.nan, [1, 1, np.nan], [4, 4, np.nan])
    found = criterion.CANDIDATES[candidate]([lost, *runs])
    assert found[0] == max(found) > max(found[1:])
    assert list(np.argsort(found[1:])) == list(np.argsort(BY_HAND[candidate]))


def test_a_term_that_is_met_from_the_start():
    """A first loss of 0 is as the largest of the others, here 4."""
    found = criterion._over_first({"pde": np.array([4.0, 1.0]), "ic": np.array([0.0, 2.0])})
    np.testing.assert_allclose(found, [[1, 0.25], [0, 0.5]])


def test_a_judgement_by_hand():
    # Ranks 3 1 2 4 and 1 3 2 4: 1 - 6 (4 + 4) / (4 * 15) = 0.2. The winner has 0.3, the best 0.1.
    found = criterion.judge(np.array([3.0, 1, 2, 4]), np.array([0.1, 0.3, 0.2, 0.9]))
    assert found.correlation == pytest.approx(0.2) and found.regret == pytest.approx(3)


def test_strategies_that_a_criterion_can_t_tell_apart():
    errors = np.array([0.1, 0.5, 0.2])
    assert criterion.judge(np.array([1.0, 1, 2]), errors).regret == pytest.approx(5)
    found = criterion.judge(np.ones(3), errors)
    assert found.correlation == 0 and found.regret == pytest.approx(5)


def rows(text):
    """The rows of both tables, by their first cells."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line[:2] == "| "]
    start = next(i for i, line in enumerate(lines) if line[0] == "criterion")
    return {line[0]: line for line in lines[:start]}, {line[0]: line for line in lines[start:]}


def test_the_command(runs, tmp_path, monkeypatch, capsys):
    # `wave`: the errors of seed 0 are ordered as the sums are. With seed 1, `worst_term` takes
    # `dn`, whose error is 1.5 times the best.
    errors = {0: {"equal": 0.9, "dn": 0.1, "uw": 0.3}, 1: {"equal": 0.2, "dn": 0.3, "uw": 0.4}}
    for seed, of in errors.items():
        for name, error in of.items():
            write(tmp_path, "wave", name, seed, error, *CHOSEN[name][1:])
    for name in ("equal", "dn"):  # too few
        write(tmp_path, "harmonic", name, 0, *CHOSEN[name])
    for name in CHOSEN:  # of the other half
        write(tmp_path, "advection", name, 0, *CHOSEN[name])
    monkeypatch.setattr(sys, "argv", ["criterion", "--out", str(tmp_path)])
    criterion.main()
    problems, summary = rows(capsys.readouterr().out)
    assert list(problems) == ["problem", "`helmholtz`", "`wave`", "mean"]
    # helmholtz: equal 2, dn 1, uw 3 against the errors' 3, 1, 2: 1 - 6 * 2 / 24 = 0.5. wave: 0.5
    # with seed 0; 0.5 with seed 1, equal 1, dn 2, uw 3 against 2, 1, 3.
    assert problems["`helmholtz`"][1] == "0.50 (1)"
    assert problems["`wave`"][1] == "0.50 (1.22)"  # sqrt(1 * 1.5)
    assert problems["mean"][1] == "0.50 (1.11)"  # sqrt(1 * sqrt(1.5))
    # The sum has the order of the errors, equal 3, dn 1, uw 2, but for the last seed: 1, 2, 3
    # against 3, 1, 2 is 1 - 6 * 6 / 24 = -0.5.
    assert problems["problem"][5] == "sum"
    assert [problems[row][5] for row in ("`helmholtz`", "`wave`")] == ["1.00 (1)", "0.25 (1.22)"]
    # Within 1.2: helmholtz, and one of wave's two seeds.
    assert summary["sum"] == ["sum", "0.62", "75%", "100%", "1.11", "1.5"]
    # helmholtz has 1 of 3 within 1.2 and 2; wave 1 of 3, then 1 of 3 within 1.2 and 3 within 2.
    assert summary["a winner drawn at random"][1:4] == ["0.00", "33%", "50%"]


def test_the_other_half_and_no_records(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["criterion", "--half", "judging", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        criterion.main()
    assert "no problem with finished runs of 3 strategies" in capsys.readouterr().err
    for name in CHOSEN:
        write(tmp_path, "advection", name, 0, *CHOSEN[name])
    criterion.main()
    assert list(rows(capsys.readouterr().out)[0]) == ["problem", "`advection`", "mean"]
