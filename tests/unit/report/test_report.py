"""Records and the report made of them: numbers, texts, files."""

import json
from typing import Any

import numpy as np
import pytest
from _support.records import content, write_run
from matplotlib.image import imread

from deepxde_balance.report import report
from deepxde_balance.report.case import cases, summary, verdict
from deepxde_balance.report.figures import _fields, common_norm, shown
from deepxde_balance.report.tables import case_table, notes, percent, statement, summary_table
from deepxde_balance.results.record import Record, RecordError, read, write_json


def case_of(folder):
    (case,) = cases(read(folder))
    return case


def row(table, strategy):
    """A row of a Markdown table by column."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    (found,) = (line for line in lines if line[0] == f"`{strategy}`")
    return dict(zip(lines[0], found, strict=True))


# Records


def test_the_error_at_the_best_step(tmp_path):
    nan = float("nan")
    short: dict[str, Any] = {
        "steps": np.arange(4),
        "losses": {name: np.array([4, 1, 2, nan]) for name in ("pde0", "bc0", "bc1", "ic2", "ic3")},
        "errors": {"L2RE": np.array([0.9, 0.2, 0.1, nan]), "MAE": np.array([0.3, 0.6, 0.2, nan])},
        "loss_weights": {name: np.ones(4) for name in ("pde", "bc", "ic")},
    }
    write_run(tmp_path, **short, seed=0)
    (record,) = read(tmp_path)
    assert record.at_best_step() == 0.2 and record.at_best_step("MAE") == 0.6
    # At the third record the boundary weighs 10: 10 (1 + 1) + 3 at the second, 10 (0.5 + 0.5) + 8.
    heavy = short | {"losses": short["losses"] | {"bc0": np.array([4, 1, 0.5, nan])}}
    heavy["losses"] |= {"bc1": heavy["losses"]["bc0"], "pde0": np.array([4, 1, 4, nan])}
    heavy["loss_weights"] = short["loss_weights"] | {"bc": np.array([1, 1, 10, 10])}
    write_run(tmp_path, **heavy, seed=0)
    assert read(tmp_path)[0].at_best_step() == 0.1
    heavy["loss_weights"]["ic"] = np.array([1, -1, 1, 1])  # the sum of the losses is judged
    write_run(tmp_path, **heavy, seed=0)
    assert read(tmp_path)[0].at_best_step() == 0.2
    short["losses"]["bc1"] = np.full(4, nan)
    write_run(tmp_path, **short, seed=0)
    assert np.isnan(read(tmp_path)[0].at_best_step())


def test_the_median_error_over_the_last_fifth(tmp_path):
    errors = np.array([0.9, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6, 0.5, 0.1, 0.3])
    ones = np.ones(11)
    short: dict[str, Any] = {
        "steps": 10 * np.arange(11),
        "losses": {name: ones for name in ("pde0", "bc0", "bc1", "ic2", "ic3")},
        "errors": {"L2RE": errors, "MAE": errors / 10},
        "loss_weights": {name: ones for name in ("pde", "bc", "ic")},
    }
    write_run(tmp_path, **short, seed=0)
    (record,) = read(tmp_path)
    assert (record.over_last_fifth(), record.over_last_fifth("MAE")) == (0.3, 0.03)
    short["errors"]["L2RE"][-1] = np.nan
    write_run(tmp_path, **short, seed=0)
    assert np.isnan(read(tmp_path)[0].over_last_fifth())


def test_a_record_comes_back_as_it_was_written(tmp_path):
    run = content(seed=3, diverged_at=15000)
    write_json(tmp_path / "run.json", run)
    record = Record.load(tmp_path / "run.json")
    assert (record.problem, record.weights, record.seed) == ("klein-gordon", "db-kurtosis", 3)
    np.testing.assert_array_equal(record.losses["bc1"], run["losses"]["bc1"])
    np.testing.assert_array_equal(record.errors["L2RE"], run["errors"]["L2RE"])
    assert np.isnan(record.errors["L2RE"][-1])
    assert record.settings == run["settings"]
    assert record.diverged
    bc = run["losses"]["bc0"] + run["losses"]["bc1"]
    np.testing.assert_allclose(record.group_losses()["bc"], bc)


def test_numbers_that_are_not_finite_become_null_and_nothing_is_left_beside(tmp_path):
    values = {"b": np.array([1.5, np.nan]), "a": {"x": np.float32(np.inf), "y": None}, "c": (1,)}
    write_json(tmp_path / "x.json", values)
    text = (tmp_path / "x.json").read_text()
    assert text == '{\n"b": [1.5, null],\n"a": {"x": null, "y": null},\n"c": [1]\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"a": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert (tmp_path / "x.json").read_text() == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "prob', "not JSON"),
        ("[1, 2]", "no JSON object"),
        ('{"format": 7}', "its format is 7; this version reads 1"),
        ("{}", "its format is None"),
        ('{"format": 1, "problem": "x"}', "lacks coefficients, device, dtype"),
    ],
)
def test_a_damaged_record_is_named(tmp_path, text, message):
    path = tmp_path / "klein-gordon" / "equal" / "seed0.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(RecordError, match=message) as error:
        read(tmp_path)
    assert str(path) in str(error.value)


def test_a_record_with_values_that_do_not_fit_is_named(tmp_path):
    for changes, message in (
        ({"steps": [0, 1]}, r"losses\['pde0'\] has 41 values for 2 steps"),
        ({"losses": {"pde0": ["x"]}}, "a value is not what it should be"),
        ({"groups": {"pde": ["pde9"]}}, "lacks pde9"),
        ({"groups": {"pde": []}}, "group 'pde' has no terms"),
    ):
        write_json(tmp_path / "run.json", content(**changes))
        with pytest.raises(RecordError, match=message):
            Record.load(tmp_path / "run.json")


def test_arrays_missing_or_damaged(tmp_path):
    path = write_run(tmp_path)
    beside = path.with_suffix(".npz")
    np.savez(beside, points=np.zeros((1, 2)))
    with pytest.raises(RecordError, match=r"seed0.npz: lacks histogram_counts"):
        _ = Record.load(path).fields
    beside.write_bytes(b"no zip")
    with pytest.raises(RecordError, match=r"seed0.npz: can't be read"):
        _ = Record.load(path).fields
    beside.unlink()
    with pytest.raises(RecordError, match=r"seed0.npz: can't be read"):
        _ = Record.load(path).fields


def test_no_folder_and_no_record(tmp_path):
    with pytest.raises(RecordError, match="no such folder"):
        report(tmp_path / "none")
    with pytest.raises(ValueError, match="there is no record"):
        report(tmp_path)


# Tables


def test_mean_and_sample_standard_deviation():
    here = summary([0.01, 0.02, 0.06, float("nan")])
    # mean 0.03; squares 4e-4 + 1e-4 + 9e-4 = 1.4e-3 over 2: the root of 7e-4
    assert (here.mean, here.std) == pytest.approx((0.03, 7e-4**0.5))
    assert percent(here) == "3.000 ± 2.646 (1 of 4 diverged)"
    assert percent(summary([0.00885])) == "0.885"
    assert percent(summary([2e-5, 4e-5])) == "3.00e-03 ± 1.41e-03"
    assert percent(summary([float("nan")] * 2)) == "diverged (2 of 2)"


def test_table_at_full_settings(tmp_path):
    for seed, error in enumerate((0.006, 0.007, 0.008)):
        swinging = {"L2RE": np.array([*[2 * error] * 40, error]), "MAE": np.full(41, error / 3)}
        write_run(tmp_path, seed=seed, l2re=error, errors=swinging)
        write_run(tmp_path, weights="equal", seed=seed, l2re=20 * error)
    case = case_of(tmp_path)
    assert statement(case) == "**Shortened (†)** relative to the paper: 3 of 10 seeds."
    assert row(case_table(case), "db-kurtosis") == {
        "strategy": "`db-kurtosis`",
        "seeds †": "3",
        "L2RE % †": "0.700 ± 0.100",
        "published L2RE %": "0.636 ± 0.132",
        "verdict": "ok (3 of 10 seeds)",
        "last fifth % †": "1.400 ± 0.200",
        "at best step % †": "0.700 ± 0.100",
        "MAE % †": "0.233 ± 0.033",
        "published MAE %": "0.214 ± 0.049",
        "s / iteration †": "0.05",
    }
    assert row(case_table(case), "equal")["verdict"] == "worse (3 of 10 seeds)"
    assert notes(case) == ["Published: Zhou et al. 2025, table 1."]


def test_verdict_is_the_published_mean_plus_one_standard_deviation(tmp_path):
    for error, expected in ((0.00767, "ok"), (0.00769, "worse")):  # 0.636 + 0.132 = 0.768
        for seed in range(10):
            write_run(tmp_path, seed=seed, l2re=error)
        assert verdict(case_of(tmp_path), "db-kurtosis") == expected
        assert statement(case_of(tmp_path)) == "At the paper's full settings."
        assert "†" not in case_table(case_of(tmp_path))


def test_a_shortened_run_gets_no_verdict_and_says_what_is_shorter(tmp_path):
    for seed in range(2):
        write_run(tmp_path, seed=seed, points=0.1, iterations=2000)
    write_run(tmp_path, weights="equal", points=0.1, iterations=2000)
    case = case_of(tmp_path)
    assert verdict(case, "db-kurtosis") == "shortened"
    assert statement(case) == (
        "**Shortened (†)** relative to the paper: 10 % of the points (residual 1000 of 10000, "
        "boundary 100 of 1000, initial 100 of 1000), 2000 of 20000 iterations, "
        "1 to 2 of 10 seeds."
    )
    assert "| klein-gordon † |" in summary_table([case])


def test_published_values_are_of_the_strategy_as_it_was_run(tmp_path):
    corrected, as_published = "dn:beta=0.9", "dn:beta=0.9,bias_correction=false"
    for spec in (corrected, as_published):
        path = write_run(tmp_path, weights=spec)
        write_json(path, json.loads(path.read_text()) | {"problem": "burgers"})
    (case,) = cases(read(tmp_path))
    assert case.published(corrected, "L2RE") is None  # DN's default, in none of the tables
    assert case.published(as_published, "L2RE").mean == pytest.approx(12.70e-3)
    assert verdict(case, corrected) == ""


def test_the_settings_are_those_of_the_papers_strategies_only(tmp_path):
    """Updates as in the settings are what was published for DB; `uw` there learns in each."""
    for spec in ("db-mean:update_every=100", "uw:update_every=100", "uw"):
        write_run(tmp_path, weights=spec)
    (case,) = cases(read(tmp_path))
    assert case.settings["update_every"] == 100
    assert case.published("db-mean:update_every=100", "L2RE").mean == pytest.approx(0.885e-2)
    assert case.published("uw", "L2RE").mean == pytest.approx(1.450e-2)
    assert case.published("uw:update_every=100", "L2RE") is None


def test_a_diverged_run_keeps_its_strategy_from_being_the_best(tmp_path):
    write_run(tmp_path, seed=0, l2re=0.01)
    write_run(tmp_path, seed=1, diverged_at=15000)
    write_run(tmp_path, weights="equal", l2re=0.02)
    table = summary_table([case_of(tmp_path)])
    assert "| **2.000** |" in table
    assert "| 1.000 (1 of 2 diverged) |" in table


def test_other_settings_are_said_and_never_averaged_together(tmp_path):
    write_run(tmp_path, seed=0, l2re=0.01)
    write_run(tmp_path, seed=1, l2re=0.03, iterations=2000)
    path = write_run(tmp_path, seed=2, l2re=0.05)
    run = json.loads(path.read_text())
    write_json(path, run | {"settings": run["settings"] | {"lr": 0.01}})
    found = cases(read(tmp_path))
    assert [case.title for case in found] == [
        "klein-gordon",
        "klein-gordon (2)",
        "klein-gordon (3)",
    ]
    assert [case.slug for case in found][1] == "klein-gordon-2"
    cells = [row(case_table(case), "db-kurtosis")["L2RE % †"] for case in found]
    assert cells == ["1.000", "3.000", "5.000"]
    assert [verdict(case, "db-kurtosis") for case in found] == [
        "worse (1 of 10 seeds)",
        "shortened",
        "other settings",
    ]
    assert "lr 0.01 instead of 0.001" in statement(found[2])


def test_diverged_runs_are_counted_and_named(tmp_path):
    write_run(tmp_path, seed=0, l2re=0.001, diverged_at=10000)
    write_run(tmp_path, seed=1, l2re=0.001)
    write_run(tmp_path, weights="equal", seed=0, diverged_at=0)
    case = case_of(tmp_path)
    assert row(case_table(case), "db-kurtosis")["L2RE % †"] == "0.100 (1 of 2 diverged)"
    assert row(case_table(case), "equal")["L2RE % †"] == "diverged (1 of 1)"
    assert verdict(case, "db-kurtosis") == "worse (2 of 10 seeds)"
    assert "Diverged: `db-kurtosis`, seed 0, after iteration 9500." in notes(case)
    assert shown(case.strategies["db-kurtosis"]).seed == 1


def test_a_run_that_was_broken_off_is_named(tmp_path):
    half = content()
    cut = {"steps": half["steps"][:21]}
    for what in ("losses", "loss_weights", "errors"):
        cut[what] = {name: values[:21] for name, values in half[what].items()}
    write_run(tmp_path, **cut)
    assert notes(case_of(tmp_path))[1] == "Not finished: `db-kurtosis`, seed 0, at iteration 10000."


def test_errors_of_coefficients(tmp_path):
    for seed, c1 in enumerate((1.001, 0.997)):
        final = {"L2RE": 0.004, "MAE": 0.001, "C1": c1, "C2": 0.01 / np.pi + 2e-4}
        write_run(tmp_path, "burgers-inverse", seed=seed, final=final)
    cells = row(case_table(case_of(tmp_path)), "db-kurtosis")
    assert cells["error of C1, 1e-3 †"] == "2.000 ± 1.414"  # of 1 and 3
    assert cells["published error of C1, 1e-3"] == "0.248"
    assert cells["error of C2, 1e-3 †"] == "0.200 ± 0.000"
    assert "published MAE %" not in cells  # not in the paper


def test_the_column_published_for_the_alpha_that_was_used(tmp_path):
    for alpha, published in ((0.1, "0.205 ± 0.011"), (0.01, "0.206 ± 0.019")):
        path = write_run(tmp_path, weights="gw-mean")
        run = json.loads(path.read_text()) | {"problem": "poisson"}
        run["settings"]["gw_alpha"] = run["paper"]["gw_alpha"] = alpha
        write_json(path, run)
        cells = row(case_table(case_of(tmp_path)), "gw-mean")
        assert cells["published L2RE %"] == f"{published} (standard error)"


def test_strategies_in_the_registrys_order_and_the_best_bold(tmp_path):
    for weights, error in (("ntk-of-mine", 0.03), ("db-mean", 0.01), ("equal", 0.1)):
        write_run(tmp_path, weights=weights, l2re=error)
    case = case_of(tmp_path)
    assert list(case.strategies) == ["equal", "db-mean", "ntk-of-mine"]
    text = summary_table([case])
    assert row(text, "db-mean")["klein-gordon †"] == "**1.000**"
    assert row(text, "equal")["klein-gordon †"] == "10.000"


# The report


def test_report_writes_tables_and_figures(tmp_path):
    write_run(tmp_path, "burgers-inverse", iterations=500)
    path = report(tmp_path)
    assert path == tmp_path / "report" / "README.md"
    text = path.read_text()
    assert "500 of 5000 iterations, 1 of 10 seeds" in text
    assert "`db-kurtosis`" in text
    assert "deepxde_balance 0.1.0, deepxde 1.15.0, torch 2.13.0" in text
    assert "| cpu | Some Processor | float32 | 1 |" in text
    kinds = ["errors", "losses", "weights", "fields", "snapshots", "gradients", "trajectories"]
    files = {f"burgers-inverse-{kind}.png" for kind in [*kinds, "coefficients"]}
    assert {f.name for f in path.parent.iterdir()} == files | {"README.md"}
    for file in files:
        assert f"]({file})" in text
        image = imread(path.parent / file)
        assert min(image.shape[:2]) > 100
        assert image[..., :3].std() > 0.01  # something is drawn


def test_report_of_a_strategy_that_always_diverged(tmp_path):
    path = write_run(tmp_path, "harmonic", weights="dn:beta=0.9", diverged_at=0)
    beside = path.with_suffix(".npz")
    with np.load(beside) as arrays:
        nothing = np.full_like(arrays["prediction"], np.nan)
        np.savez(beside, **{**arrays, "prediction": nothing})
    written = report(tmp_path, tmp_path / "elsewhere")
    assert written == tmp_path / "elsewhere" / "README.md"
    text = written.read_text()
    assert "diverged (1 of 1)" in text
    assert "At the problem's full settings." in text
    assert "`dn:beta=0.9`" in text
    assert (tmp_path / "elsewhere" / "harmonic-fields.png").exists()


def test_without_the_arrays_their_figures_are_left_out(tmp_path):
    """Records alone, as they are kept in a repository."""
    write_run(tmp_path, weights="equal").with_suffix(".npz").unlink()
    write_run(tmp_path, weights="db-std")
    text = report(tmp_path).read_text()
    assert "klein-gordon-losses.png" in text and "klein-gordon-trajectories.png" in text
    for name in ("fields", "snapshots", "gradients"):
        assert f"klein-gordon-{name}" not in text


def test_error_maps_have_one_scale():
    errors = [np.array([1e-9, 2e-3, np.nan]), np.array([5.0, 0.1, 0.0])]
    norm = common_norm(errors)
    assert norm is not None
    assert norm.vmin == pytest.approx(5e-4) and norm.vmax == 5.0
    assert common_norm([np.array([0.0, np.nan])]) is None
    alone = common_norm([np.array([2.0, 2.0])])
    assert alone is not None
    assert alone.vmin == pytest.approx(0.2) and alone.vmax == 2.0


@pytest.mark.parametrize("problem", ["klein-gordon", "harmonic"])
def test_the_panels_of_errors_use_it(problem, tmp_path):
    """A strategy whose errors are a hundredth has the colours, or the axis, of the other."""
    for weights, factor in (("equal", 1.0), ("db-std", 0.01)):
        beside = write_run(tmp_path, problem, weights=weights).with_suffix(".npz")
        with np.load(beside) as arrays:
            solution = arrays["solution"]
            errors = np.linspace(1e-3, 1, solution.size).reshape(solution.shape)
            np.savez(beside, **{**arrays, "prediction": solution + factor * errors})
    (case,) = cases(read(tmp_path))
    (figure,) = _fields(case)
    panels = [ax for ax in figure.axes if ax.get_title().startswith("absolute error")]
    assert len(panels) == 2
    for ax in panels:
        if problem == "harmonic":
            assert ax.get_yscale() == "log"
            limits: Any = ax.get_ylim()
        else:
            (image,) = ax.collections
            limits = image.norm.vmin, image.norm.vmax
        assert limits == pytest.approx((1e-4, 1), rel=0.11)
