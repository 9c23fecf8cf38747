"""What the suite says of the recommendations, against records whose errors were chosen by hand."""

import sys

import numpy as np
import pytest
import suite
from _support.records import content
from suite import recommended

from deepxde_balance.results.record import write_json


def write(folder, problem, strategy, seed, error):
    """A record whose median over the last fifth is `error`, and whose last error is not."""
    run = content("harmonic", strategy, seed)
    run |= {"steps": [0, 79, 80, 90, 100], "loss_terms": ["pde"], "groups": {"pde": ["pde"]}}
    ones = np.ones(5)
    run |= {"losses": {"pde": ones}, "test_losses": {"pde": ones}, "loss_weights": {"pde": ones}}
    run["errors"] = {"metric": [1.0, 1.0, error, 2 * error, error / 3]}
    run["final"] = {"metric": error / 3}
    path = folder / problem / strategy / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, run)


def test_a_ratio_by_hand(tmp_path):
    write(tmp_path, "harmonic", "equal", 0, 0.8)
    write(tmp_path, "harmonic", "auto", 0, 0.2)
    write(tmp_path, "harmonic", "db-kurtosis", 0, 0.001)
    found = recommended.outcome("harmonic", tmp_path)
    assert (found.recommended, found.missing, found.scale) == ("auto", (), False)
    assert found.ratio == pytest.approx(0.25) and found.beats and found.within


def test_seeds_that_one_of_both_lacks_do_not_count(tmp_path):
    for seed, (equal, auto) in enumerate([(0.4, 0.1), (0.9, 0.4)]):
        write(tmp_path, "harmonic", "equal", seed, equal)
        write(tmp_path, "harmonic", "auto", seed, auto)
    write(tmp_path, "harmonic", "equal", 2, 1e-6)
    assert recommended.outcome("harmonic", tmp_path, 1).ratio == pytest.approx(0.25)
    both = recommended.outcome("harmonic", tmp_path, 3).ratio
    assert both == pytest.approx((0.1 * 0.4 / (0.4 * 0.9)) ** 0.5)


def test_equal_weights_are_within_but_do_not_beat_themselves(tmp_path, monkeypatch):
    diagnosis = recommended.diagnosed("harmonic")
    equal = type(diagnosis)(**(vars(diagnosis) | {"recommended": "equal"}))
    monkeypatch.setattr(recommended, "diagnosed", lambda _: equal)
    assert recommended.outcome("harmonic", tmp_path).missing == ("equal",)
    write(tmp_path, "harmonic", "equal", 0, 0.5)
    found = recommended.outcome("harmonic", tmp_path)
    assert found.ratio == 1 and found.within and not found.beats
    assert recommended.summary([found]).endswith("it is equal weights on 1.")


@pytest.mark.parametrize(
    "there, missing",
    [([], ("equal", "auto")), (["equal"], ("auto",)), (["auto"], ("equal",))],
)
def test_missing_records_are_named(tmp_path, there, missing):
    for strategy in there:
        write(tmp_path, "harmonic", strategy, 0, 0.5)
    found = recommended.outcome("harmonic", tmp_path)
    assert found.ratio is None and found.missing == missing
    assert not found.beats and not found.within


def test_records_without_the_recommended_factors_do_not_count(tmp_path, monkeypatch):
    diagnosis = recommended.diagnosed("harmonic")
    monkeypatch.setattr(
        recommended,
        "diagnosed",
        lambda _: type(diagnosis)(**(vars(diagnosis) | {"scale": {"pde1": 1e9}})),
    )
    for strategy in ("equal", "auto"):
        write(tmp_path, "harmonic", strategy, 0, 0.5)
    found = recommended.outcome("harmonic", tmp_path)
    assert found.ratio is None and found.missing == ("auto",) and found.scale


def test_the_command(tmp_path, monkeypatch, capsys):
    """On three small problems, one without records of `auto`."""
    chosen = {"harmonic": 0.2, "oscillator-system": 0.55, "lorenz-inverse": None}
    for name, auto in chosen.items():
        write(tmp_path, name, "equal", 0, 0.5)
        if auto is not None:
            write(tmp_path, name, "auto", 0, auto)
    monkeypatch.setattr(recommended, "names", lambda half: list(chosen))
    monkeypatch.setattr(sys, "argv", ["recommended", "--out", str(tmp_path)])
    recommended.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    rows = {
        cells[0]: cells[1:]
        for cells in ([c.strip() for c in r[1:-1].split("|")] for r in lines[:-1])
    }
    assert rows["`harmonic`"] == ["`auto`", "0.4", "yes", "yes", ""]
    assert rows["`oscillator-system`"] == ["`auto`", "1.1", "no", "yes", ""]
    assert rows["`lorenz-inverse`"] == ["`auto`", "", "", "", "`auto`"]
    assert lines[-1] == (
        "2 of 3 problems have records: the recommendation beats equal weights on 1, and is within "
        "1.2 of them on 2; it is equal weights on 0."
    )


def test_the_half_is_that_which_was_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        recommended, "outcome", lambda name, out, seeds: asked.append((name, seeds))
    )
    monkeypatch.setattr(recommended, "summary", str)
    monkeypatch.setattr(sys, "argv", ["recommended", "--half", "judging", "--seeds", "3"])
    recommended.main()
    assert asked == [(name, 3) for name in suite.names("judging")]


@pytest.mark.parametrize("name", suite.names("choosing"))
def test_auto_is_recommended_for_every_problem_with_an_equation(name):
    """The suite is in like units, but for one residual, which "auto" weighs by itself."""
    found = recommended.diagnosed(name)
    assert found.recommended == "auto" and found.scale == {}
    assert ("Other units" in found.verdict) is (name == "helmholtz-residual-1e-6")
    assert ("residual is the small side" in found.verdict) is (name in ("laplace-holes", "wave"))
