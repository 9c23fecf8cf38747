"""The suite's tables, against records whose errors were chosen by hand."""

import sys
from dataclasses import replace

import marked
import pytest
import suite
from _support.records import write_user_run as write
from suite import PROBLEMS, criterion, run, tables

import deepxde_balance as ddb


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
    found = tables.ratios(["helmholtz", "wave", "cavity"], folder)
    expected = {
        "auto": {"helmholtz": 0.05, "wave": 1.0},
        "dn": {"helmholtz": 0.2, "wave": 0.8},
        "uw": {"helmholtz": 3.0, "wave": 1.4},
        "equal": {"helmholtz": 1.0, "wave": 1.0},
    }
    assert found == {name: pytest.approx(of) for name, of in expected.items()}


def test_ratios_at_the_best_step(folder):
    """The losses never fall: the first record is the best, and there all have the error 9."""
    found = tables.ratios(["helmholtz", "wave"], folder, tables.at_best_step)
    assert {ratio for of in found.values() for ratio in of.values()} == {1.0}


def test_the_pages_show_the_records_that_are_there():
    kinds = {name: PROBLEMS[name].kind for name in PROBLEMS}
    page = run.WHICH_STRATEGY.read_text(encoding="utf-8")
    assert tables.by_kind(kinds, run.RESULTS, run.ON_ALL) in page
    for half in ("choosing", "judging"):
        assert tables.summary(suite.names(half), run.RESULTS, points=False) in page
    at_best = tables.summary(
        suite.names("judging"), run.RESULTS, points=False, of_run=tables.at_best_step
    )
    assert at_best in page
    assert tables.few(run.FEW, run.RESULTS) in run.TOP_README.read_text(encoding="utf-8")


def test_the_short_table(folder):
    """In %: `equal` has 0.4 and 0.1, of which the geometric mean is 0.2."""
    rows = tables.few({"helmholtz": "Helmholtz", "advection": "not run"}, folder).splitlines()
    assert rows[2] == "| Helmholtz | 20 % | 2 % | 2 % `auto` |"
    assert _cells(rows[3:])["not run"] == ["", "", ""]


def test_ratios_by_kind(folder):
    """`auto` has 0.05 and 1 times equal's; on the cavity there is no `equal`."""
    kinds = {"helmholtz": "elliptic", "wave": "in time", "cavity": "system"}
    rows = _cells(tables.by_kind(kinds, folder, ("auto", "sa")).splitlines())
    assert rows["elliptic"] == ["1", "0.05 (0.05 to 0.05)", ""]
    assert rows["system"] == ["1", "", ""]
    one = dict.fromkeys(kinds, "all")
    rows = _cells(tables.by_kind(one, folder, ("auto",)).splitlines())
    assert rows["all"] == ["3", "0.22 (0.05 to 1)"]  # the root of 0.05


def test_close_to_the_best_other(folder):
    found = tables.ratios(["helmholtz", "wave"], folder)
    assert tables.close_to_best("auto", found) == [True, True]  # 0.05 to 0.2; 1 to 0.8
    assert tables.close_to_best("dn", found) == [False, True]  # 0.2 to 0.05; 0.8 to 1
    assert tables.close_to_best("uw", found) == [False, False]  # 1 to 0.05; 1.4 to 0.8


def test_a_diverged_strategy_is_close_to_none():
    inf = float("inf")
    found = {"auto": {"wave": inf}, "dn": {"wave": inf}}
    assert tables.close_to_best("auto", found) == [False]
    assert tables.close_to_best("uw", found | {"uw": {"wave": 3.0}}) == [True]


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
    assert tables.ratios(["wave"], folder)["dn"]["wave"] == float("inf")


@pytest.fixture
def with_points(folder):
    """Three problems with point weights: sqrt(2 x 0.5 x 0.25) is 0.63, of each over its strategy.

    Beside `auto` there is no seed in common, `uw` is no strategy to add to, and `dn` is alone.
    """
    write(folder, "cavity", "equal", 0, 1.0)
    for problem, error in {"helmholtz": 0.8, "wave": 0.25, "cavity": 0.25}.items():
        write(folder, problem, "equal+rba:eta=0.1", 0, error)
    write(folder, "wave", "equal+brdr", 0, 1.0)
    write(folder, "wave", "auto+brdr", 1, 0.1)
    write(folder, "wave", "auto+rba:eta=0.1", 0, 0.05)
    write(folder, "wave", "uw+brdr", 0, 0.1)
    return folder


ALL = ["helmholtz", "wave", "cavity"]


def test_what_point_weights_add(with_points):
    rows = _cells(tables.added(ALL, with_points).splitlines())
    assert rows["`brdr`"] == ["2, worst 2 (1)", "", ""]
    assert rows["`rba:eta=0.1`"] == ["0.63, worst 2 (3)", "0.1, worst 0.1 (1)", ""]
    assert next(iter(rows)) == "point weights" and len(rows) == 4  # with the rule below the titles


def test_seeds_that_one_of_both_lacks_do_not_count(with_points):
    """Helmholtz's seed 1, where equal has 0.1, and not its seed 0 of 0.4."""
    write(with_points, "helmholtz", "equal+brdr", 1, 0.05)
    assert _cells(tables.added(["helmholtz"], with_points).splitlines())["`brdr`"][0] == (
        "0.5, worst 0.5 (1)"
    )


def test_point_weights_where_one_of_both_diverged(with_points):
    write(with_points, "wave", "auto", 0, float("nan"))
    write(with_points, "cavity", "equal+rba:eta=0.1", 0, float("nan"))
    rows = _cells(tables.added(ALL, with_points).splitlines())
    assert rows["`rba:eta=0.1`"] == ["inf, worst inf (3)", "", ""]


def test_nothing_is_added_where_no_run_has_point_weights(folder):
    assert tables.added(ALL, folder) is None


def test_point_weights_in_the_tables_as_printed(with_points, monkeypatch, capsys):
    """In a table of their own, in the summary and last; the best other is without."""
    plain = tables.tables(["wave"], with_points)
    monkeypatch.setattr(sys, "argv", ["run", "--show", "--only", *ALL, "--out", str(with_points)])
    run.main()
    printed = capsys.readouterr().out
    assert "`equal+brdr`" in plain and "What point weights add:" in printed
    rows = _cells(line for line in printed.splitlines() if line.startswith("|"))
    assert rows["cavity"][0] == "0.25 (0.25)"  # the later of the two tables with problems
    # 2, 0.5 and 0.25 times equal's, of which the best other has 0.05, 0.8 and 0.5.
    assert rows["`equal+rba:eta=0.1`"] == ["3", "0.63", "2", "33%", "67%"]
    assert "+" not in tables.summary(ALL, with_points, points=False)


def test_errors_beside_those_with_adam(with_points, tmp_path):
    """By the seeds of both: `equal` has helmholtz's seeds 0 and 1, SOAP only 1; `sa` only SOAP."""
    soap = tmp_path / "soap"
    write(soap, "helmholtz", "equal", 1, 0.05)
    write(soap, "wave", "equal", 0, 1.0)
    write(soap, "wave", "equal+rba:eta=0.1", 0, 0.025)
    write(soap, "wave", "sa", 0, 0.1)
    rows = _cells(tables.beside_adam(ALL, with_points, soap).splitlines())
    assert rows.pop("problem") == ["`equal`", "`equal+rba:eta=0.1`"]
    assert rows["helmholtz"] == ["0.05 (0.5)", ""] and rows["wave"] == ["1 (2)", "0.025 (0.1)"]
    assert len(rows) == 3  # with the rule below the titles, without the cavity
    assert tables.beside_adam(["cavity"], with_points, soap) is None


def test_close_to_the_best_other_without_point_weights():
    found = {"equal": {"wave": 1.0}, "dn": {"wave": 2.0}, "dn+rba": {"wave": 0.1}}
    assert tables.close_to_best("equal", found) == [True]
    assert tables.close_to_best("dn+rba", found) == [True]


def test_the_criteria_are_judged_without_point_weights(with_points):
    (runs,) = criterion.by_seed("wave", with_points)
    assert sorted(one.weights for one in runs) == ["auto", "dn", "equal", "uw"]


AT_BEST_STEP = "judging at best step"
README = """\
<!-- choosing -->
<!-- end of choosing -->
<!-- judging -->
<!-- end of judging -->
<!-- what point weights add -->
as before
<!-- end of what point weights add -->
<!-- soap beside adam -->
as then
<!-- end of soap beside adam -->
"""


def test_what_is_written(with_points, folder, tmp_path, monkeypatch):
    path, which, top = (tmp_path / name for name in ("README.md", "which.md", "TOP.md"))
    for name, value in {
        "README": path, "WHICH_STRATEGY": which, "TOP_README": top, "RESULTS": with_points,
        "FEW": {"wave": "the wave"},
    }.items():  # fmt: skip
        monkeypatch.setattr(run, name, value)
    path.write_text(README)
    marks = "".join(f"<!-- {m} -->\n<!-- end of {m} -->\n" for m in ("kinds", AT_BEST_STEP))
    which.write_text(marks + README.partition("<!-- what")[0])
    top.write_text("<!-- few -->\n<!-- end of few -->\n")
    run.write()
    assert tables.added(list(PROBLEMS), with_points) in path.read_text()
    assert "as before" not in path.read_text() and "+rba" not in which.read_text()
    assert tables.summary(suite.names("judging"), with_points, points=False) in which.read_text()
    at_best = tables.summary(
        suite.names("judging"), with_points, points=False, of_run=tables.at_best_step
    )
    assert marked.replaced(which.read_text(), AT_BEST_STEP, at_best) == which.read_text()
    assert tables.few({"wave": "the wave"}, with_points) in top.read_text()
    assert "as then" in path.read_text()
    soap = with_points.with_name(f"{with_points.name}-soap")
    write(soap, "wave", "auto", 0, 0.1)
    monkeypatch.setattr(run, "folder", lambda *_: soap)
    run.write()
    assert tables.beside_adam(["wave"], with_points, soap) in path.read_text()
    assert "as then" not in path.read_text()
    monkeypatch.setattr(run, "RESULTS", tmp_path / "none")
    (tmp_path / "none").mkdir()
    write(tmp_path / "none", "helmholtz", "equal", 0, 1.0)
    write(tmp_path / "none", "kovasznay", "equal", 0, 1.0)
    path.write_text(README)
    run.write()
    assert "as before" in path.read_text()


def test_point_weights_that_a_problem_refuses_are_left_out(tmp_path, capsys):
    entry = replace(PROBLEMS["euler-beam"], iterations=2)
    given = ["equal+causal", "equal", "equal+rba"]
    run.train(entry, given, 1, 1, tmp_path)
    assert sorted(path.name for path in (tmp_path / "euler-beam").iterdir() if path.is_dir()) == [
        "equal",
        "equal_rba",
    ]
    printed = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(printed) == 1
    assert printed[0].startswith("euler-beam: equal+causal is left out. Causal weights order")
    run.train(entry, ["equal+causal"], 1, 1, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="Unknown point weighting 'rbaa'"):
        run.train(entry, ["equal+rbaa"], 1, 1, tmp_path / "other")
    assert run.fitting(PROBLEMS["harmonic"], given) == given  # it has time


def _cells(lines):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in rows}


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
