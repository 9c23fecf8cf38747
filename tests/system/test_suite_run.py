"""The suite's tables, against records whose errors were chosen by hand."""

import sys

import pytest
from _support.records import content
from suite import run

import deepxde_balance as ddb
from deepxde_balance.results.record import write_json

STEPS = [0, 79, 80, 90, 100]  # the last fifth has three of them


def write(folder, problem, strategy, seed, error):
    record = content("harmonic", strategy, seed)
    record |= {
        "steps": STEPS,
        "loss_terms": ["pde", "bc"],
        "groups": {"pde": ["pde"], "bc": ["bc"]},
    }
    record["losses"] = record["test_losses"] = {"pde": [1.0] * 5, "bc": [1.0] * 5}
    record["loss_weights"] = {"pde": [1.0] * 5, "bc": [1.0] * 5}
    record["errors"] = {"metric": [9.0, 9.0, error, 3 * error, error / 3]}
    record["final"] = {"metric": error / 3}
    path = folder / problem / strategy / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)


@pytest.fixture
def folder(tmp_path):
    """Errors: helmholtz 0.4 and 0.1, or 0.1 and 0.4; wave 0.5; cavity without `equal`."""
    for seed, error in enumerate([0.4, 0.1]):
        write(tmp_path, "helmholtz", "equal", seed, error)
    for strategy, errors in {"auto": (0.02, 0.5), "dn": (0.08, 0.4), "uw": (0.4, 0.7)}.items():
        for problem, error in zip(("helmholtz", "wave"), errors, strict=True):
            write(tmp_path, problem, strategy, 0, error)
    write(tmp_path, "wave", "equal", 0, 0.5)
    write(tmp_path, "cavity", "auto", 0, 0.5)
    return tmp_path


def test_ratios_to_equal(folder):
    """By geometric means over the seeds of both, of medians over the last fifth.

    `equal` has helmholtz's seeds 0 and 1, `uw` too: sqrt(0.4 x 0.9) over sqrt(0.4 x 0.1) is 3.
    """
    write(folder, "helmholtz", "uw", 1, 0.9)
    found = run.ratios(["helmholtz", "wave", "cavity"], folder)
    expected = {
        "auto": {"helmholtz": 0.05, "wave": 1.0},
        "dn": {"helmholtz": 0.2, "wave": 0.8},
        "uw": {"helmholtz": 3.0, "wave": 1.4},
        "equal": {"helmholtz": 1.0, "wave": 1.0},
    }
    assert found == {name: pytest.approx(of) for name, of in expected.items()}


def test_close_to_the_best_other(folder):
    found = run.ratios(["helmholtz", "wave"], folder)
    assert run.close_to_best("auto", found) == [True, True]  # 0.05 to 0.2; 1 to 0.8
    assert run.close_to_best("dn", found) == [False, True]  # 0.2 to 0.05; 0.8 to 1
    assert run.close_to_best("uw", found) == [False, False]  # 1 to 0.05; 1.4 to 0.8


def test_a_diverged_strategy_is_close_to_none():
    inf = float("inf")
    found = {"auto": {"wave": inf}, "dn": {"wave": inf}}
    assert run.close_to_best("auto", found) == [False]
    assert run.close_to_best("uw", found | {"uw": {"wave": 3.0}}) == [True]


@pytest.mark.parametrize(
    "given", [["--out", "elsewhere"], ["--lbfgs", "10"], ["--optimizer", "soap"]]
)
def test_the_readme_tables_are_of_the_suite_alone(given, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "--show", "--write", *given])
    monkeypatch.setattr(run, "write", lambda: None)
    with pytest.raises(SystemExit) as stopped:
        run.main()
    assert stopped.value.code == 2
    assert "leave --out and --lbfgs out" in capsys.readouterr().err


def test_the_tables_as_printed(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "--show", "--out", str(folder)])
    run.main()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _lines(capsys)]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["helmholtz"] == ["0.02 (0.05)", "0.08 (0.2)", "0.2 (1)", "0.4 (1)"]
    # sqrt(0.05), the worst of two, none above 1.2, both close.
    assert by_name["`auto`"] == ["2", "0.22", "1", "0%", "100%"]
    assert by_name["`uw`"] == ["2", "1.2", "1.4", "50%", "0%"]


def test_a_diverged_seed_counts_as_infinite(folder):
    write(folder, "wave", "dn", 1, float("nan"))
    write(folder, "wave", "equal", 1, 0.5)
    assert run.ratios(["wave"], folder)["dn"]["wave"] == float("inf")


def _lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(
    "given, folder",
    [
        ([], "suite"),
        (["--lbfgs", "10"], "suite-lbfgs"),
        (["--optimizer", "soap", "--lr", "3e-3"], "suite-soap"),
        (["--optimizer", "soap", "--lbfgs", "10"], "suite-soap-lbfgs"),
    ],
)
def test_each_optimizer_has_a_folder(given, folder, monkeypatch):
    """What is trained goes there, and what is shown comes from there."""
    trained, shown = [], []
    monkeypatch.setattr(ddb, "compare", lambda *_, **arguments: trained.append(arguments))
    monkeypatch.setattr(run, "tables", lambda _, out: shown.append(out))
    monkeypatch.setattr(sys, "argv", ["run", "equal", "--only", "harmonic", *given])
    run.main()
    assert shown[0] == run.RESULTS.parent / folder
    assert trained[0]["out"] == shown[0] / "harmonic"
    soap = "soap" in given
    assert trained[0]["optimizer"] == ("soap" if soap else "adam")
    assert trained[0]["lr"] == (3e-3 if "3e-3" in given else 1e-3)
    monkeypatch.setattr(sys, "argv", ["run", "--show", "--only", "harmonic", *given])
    run.main()
    assert shown[1] == shown[0]
    assert len(trained) == 1
