"""Strategies compared on a user's own problem: recorded, resumed, refused, from the shell."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.own_problem import build, build_with_solution, by_hand, l2re
from _support.run_files import KillAt, content, files, without_times

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.experiments.run import OtherRunError
from deepxde_balance.experiments.user_record import UserRecord

compare = partial(ddb.compare, threads=1)


def test_records_hold_what_training_by_hand_gives(tmp_path, capsys):
    strategies: list[Any] = ["equal", ddb.DN(beta=0.9, update_every=3)]
    results = compare(build_with_solution, strategies, 35, seeds=2, out=tmp_path)
    assert results.quantity == "L2RE"
    assert list(results.runs) == ["equal", "dn:beta=0.9,update_every=3"]
    for name, runs in results.runs.items():
        for seed, run in enumerate(runs):
            assert run.path == tmp_path / name.replace(":", "_").replace(",", "_") / (
                f"seed{seed}.json"
            )
            model = by_hand(name, seed, 35)
            history = model.losshistory
            assert run.steps.tolist() == history.steps == [0, 10, 20, 30, 35]
            for i, term in enumerate(["pde", "bc0", "bc1"]):
                assert run.losses[term].tolist() == np.array(history.loss_train)[:, i].tolist()
                assert run.test_losses[term].tolist() == np.array(history.loss_test)[:, i].tolist()
                assert run.loss_weights[term].tolist() == [w[term] for w in history.loss_weights]
            assert run.groups == {"pde": ["pde"], "bc0": ["bc0"], "bc1": ["bc1"]}
            assert run.score == run.final["L2RE"] == pytest.approx(l2re(model), rel=1e-5)
            assert run.errors["L2RE"][-1] == run.score and len(run.errors["L2RE"]) == 5
            assert run.weights_now == model.weights
            recorded = content(run.path)
            assert recorded["settings"]["lr"] == 1e-3 and recorded["settings"]["iterations"] == 35
            assert {"deepxde", "torch", "numpy", "python"} <= recorded["versions"].keys()
    means = [np.mean([l2re(by_hand(name, seed, 35)) for seed in (0, 1)]) for name in results.runs]
    assert results.best == list(results.runs)[int(np.argmin(means))]
    assert {"comparison.md", "errors.png", "losses.png", "weights.png"} <= set(files(tmp_path))
    assert main(["report", str(tmp_path)]) == 2
    assert "no record of a benchmark problem in it, but some of a script" in capsys.readouterr().err


def test_strategies_start_from_the_same_network_and_points(tmp_path):
    results = compare(build, ["equal", "dn", "db-mean"], 10, seeds=2, out=tmp_path)
    first = {
        (run.seed, *(run.losses[term][0] for term in run.losses))
        for runs in results.runs.values()
        for run in runs
    }
    assert len(first) == 2
    key = "untrained network and points"
    checksums = {run.settings[key] for runs in results.runs.values() for run in runs}
    assert len(checksums) == 2


def test_the_criterion_ranks_where_no_solution_is_known(tmp_path):
    results = compare(build, ["equal", "dn"], 30, seeds=1, out=tmp_path)
    assert results.quantity == "criterion"
    for name, (run,) in results.runs.items():
        losses = np.array(by_hand(name, 0, 30).losshistory.loss_test)
        expected = (losses / np.maximum.accumulate(losses)).max(axis=1)
        np.testing.assert_allclose(run.errors["criterion"], expected)
        assert run.score == pytest.approx(expected[-1])
    assert "criterion (a proxy)" in results.table()
    assert "criterion.png" in files(tmp_path)


def test_two_phases_and_more_of_build(tmp_path, optimizer_options):
    """Adam, then L-BFGS with kept weights, with options of compile and callbacks of one's own."""
    seen = []

    class Seen(dde.callbacks.Callback):
        def on_train_begin(self):
            seen.append(type(self.model.opt))

    def built():
        options = {
            "compile": {"loss": "MAE", "loss_groups": {"both": [0, 1]}},
            "metric": lambda model: float(np.abs(model.predict(np.zeros((1, 1)))).item()),
            "callbacks": [Seen()],
        }
        return *build(), options

    before = dict(optimizer_options.lbfgs)
    results = compare(built, ["dn:update_every=2"], 20, 1, out=tmp_path, lbfgs_iterations=5)
    assert dict(optimizer_options.lbfgs) == before
    assert seen == [torch.optim.Adam, torch.optim.LBFGS]
    (run,) = results.runs["dn:update_every=2"]
    groups = {"both": [0, 1]}
    model = by_hand("dn:update_every=2", 0, 20, loss="MAE", loss_groups=groups)
    dde.optimizers.set_LBFGS_options(maxcor=100, maxiter=5)
    optimizer_options.lbfgs.update(iter_per_step=5, fun_per_step=125)
    model.compile("L-BFGS", loss="MAE", loss_weights="keep", verbose=0)
    model.train(display_every=1, verbose=0)
    assert run.steps.tolist() == model.losshistory.steps == [0, 10, 20, 20, 25]
    assert run.losses["pde"].tolist() == [row[0] for row in model.losshistory.loss_train]
    assert run.weights_now == model.weights and set(model.weights) == {"pde", "both"}
    assert run.final["metric"] == abs(model.predict(np.zeros((1, 1)))).item() == run.score


@pytest.mark.parametrize("killed_at", [1, 17, 30, 36])
def test_a_killed_comparison_ends_in_the_unbroken_records(killed_at, tmp_path, monkeypatch):
    """Also where it is killed in its second phase, from iteration 30 to 36."""

    def built():
        options = build_with_solution()[2]
        return *build(), options | {"callbacks": [KillAt(killed_at)]}

    arguments: dict[str, Any] = {
        "iterations": 30,
        "seeds": 1,
        "lbfgs_iterations": 6,
        "checkpoint_every": 0,
    }
    strategies = ["db-mean:update_every=4", "equal"]
    monkeypatch.setattr(KillAt, "armed", False)
    compare(built, strategies, out=tmp_path / "unbroken", **arguments)
    monkeypatch.setattr(KillAt, "armed", True)
    with pytest.raises(KeyboardInterrupt):
        compare(built, strategies, out=tmp_path / "killed", **arguments)
    assert not list((tmp_path / "killed").rglob("seed*.json"))
    assert list((tmp_path / "killed").rglob("*.pt")) or killed_at == 1
    monkeypatch.setattr(KillAt, "armed", False)
    monkeypatch.setattr(KillAt, "began", [])
    compare(built, strategies, out=tmp_path / "killed", **arguments)
    assert (
        KillAt.began
        == {
            1: [0, 30, 0, 30],
            17: [16, 30, 0, 30],
            30: [29, 30, 0, 30],
            36: [30, 30, 0, 30],
        }[killed_at]
    )
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")
    for name in files(tmp_path / "killed"):
        if name.endswith(".json"):
            assert without_times(tmp_path / "killed" / name) == without_times(
                tmp_path / "unbroken" / name
            )


def test_finished_runs_are_not_trained_again_and_others_are_added(tmp_path):
    compare(build, ["equal"], 10, seeds=1, out=tmp_path)
    path = tmp_path / "equal" / "seed0.json"
    before = path.stat().st_mtime_ns
    results = compare(build, ["dn", "equal"], 10, seeds=2, out=tmp_path)
    assert path.stat().st_mtime_ns == before
    assert {name: len(runs) for name, runs in results.runs.items()} == {"dn": 2, "equal": 2}
    assert results.reference == "equal"
    fewer = compare(build, ["equal"], 10, seeds=1, out=tmp_path)
    assert [run.path for run in fewer.runs["equal"]] == [path]


def test_a_build_that_sets_the_float_type(tmp_path, float64):
    """The first call finds DeepXDE in single precision, the second one in double precision."""

    def in_double():
        dde.config.set_default_float("float64")
        return build()

    dde.config.set_default_float("float32")
    first = compare(in_double, ["equal"], 10, seeds=1, out=tmp_path)
    assert first.runs["equal"][0].settings["float_type"] == "float64"
    again = compare(in_double, ["equal", "dn"], 10, seeds=1, out=tmp_path)
    assert list(again.runs) == ["equal", "dn"]


def other_points():
    data, net = build()
    data.train_x[0] += 0.001
    return data, net


def other_residual():
    data, net = build()
    pde = data.pde
    data.pde = lambda x, u: pde(x, u) + 1
    return data, net


@pytest.mark.parametrize(
    "change, message",
    [
        ({"iterations": 20}, "'iterations': 10.* here .*'iterations': 20"),
        ({"lr": 1e-4}, "'lr': 0.001.* here .*'lr': 0.0001"),
        ({"build": other_points}, "problem there build, here other_points"),
        ({"build": lambda: None}, "returned None"),
    ],
)
def test_runs_with_other_settings_in_the_folder(change, message, tmp_path):
    given = {"build": build, "iterations": 10, "seeds": 1, "out": tmp_path}
    compare(strategies=["equal"], **given)
    before = files(tmp_path)
    for strategies in (["equal", "dn"], ["dn"]):
        with pytest.raises((ValueError, TypeError), match=message):
            compare(strategies=strategies, **(given | change))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "other, message",
    [
        (other_points, "'untrained network and points'"),
        (other_residual, "is of another problem: the untrained network's loss of 'pde' is"),
    ],
)
def test_a_build_that_was_changed(other, message, tmp_path):
    compare(build, ["equal"], 10, seeds=1, out=tmp_path)
    other.__name__ = "build"
    for strategy in ("equal", "dn"):
        with pytest.raises(OtherRunError, match=message):
            compare(other, [strategy], 10, seeds=1, out=tmp_path)


def test_a_build_that_gives_another_network_each_time(tmp_path):
    def unsteady():
        dde.config.set_random_seed(time.perf_counter_ns() % 2**32)
        return build()

    with pytest.raises(ValueError, match=r"unsteady\(\) gave another network or other points"):
        compare(unsteady, ["equal", "dn"], 10, out=tmp_path)
    assert not files(tmp_path)


def test_a_build_that_gives_another_network_later(tmp_path):
    """Not when it is checked, but for the second of the strategies."""
    calls = []

    def changing():
        calls.append(1)
        data, net = build()
        with torch.no_grad():
            net.linears[0].weight += len(calls) == 4
        return data, net

    results = compare(changing, ["equal", "dn"], 10, seeds=1, out=tmp_path)
    assert list(results.failed) == ["dn"]
    assert "changing() gave another network" in results.failed["dn"][0]
    assert not (tmp_path / "dn" / "seed0.json").exists()


@pytest.mark.parametrize(
    "given, message",
    [
        ({"strategies": []}, "strategies is empty"),
        ({"strategies": ["equal", "db-kurt"]}, "Did you mean 'db-kurtosis'"),
        ({"iterations": 0}, "iterations=0 is not allowed"),
        ({"iterations": 1.5}, "iterations=1.5 is not allowed"),
        ({"seeds": 0}, "seeds=0 is not allowed"),
        ({"jobs": 0}, "jobs=0 is not allowed"),
        ({"jobs": -2}, "jobs=-2 is not allowed"),
        ({"lr": 0}, "lr=0 is not allowed"),
        ({"lbfgs_iterations": -1}, "lbfgs_iterations=-1 is not allowed"),
        (
            {"strategies": ["equal", "config"], "lbfgs_iterations": 5},
            "'config' has no weights that L-BFGS could keep",
        ),
        ({"threads": 0}, "threads=0 is not allowed"),
        ({"checkpoint_every": -1}, "checkpoint_every=-1 is not allowed"),
        ({"optimizer": "L-BFGS"}, "optimizer='L-BFGS' is not allowed: give one of adam"),
        ({"device": "gpu"}, "device='gpu' is not allowed"),
        ({"device": 1}, "device=1 is not allowed"),
        ({"out": 3}, "out=3 is not allowed"),
        ({"out": __file__}, r"out='.*test_compare.py' is not allowed: there is a file"),
        ({"gradient_engine": "fast"}, "Unknown gradient_engine 'fast'"),
        ({"build": lambda: (*build(), {"metric": lambda m: "low"})}, "metric gave 'low'"),
        ({"build": lambda n: build()}, r"takes arguments \(n\)"),
        ({"build": build()}, "give a function"),
        (
            {"build": lambda: (*build(), {"compile": {"loss_groups": {"bc": [7]}}})},
            "7",
        ),
    ],
)
def test_wrong_input_is_told_before_anything_is_trained(given, message, tmp_path):
    arguments = {"build": build, "strategies": ["equal", "dn"], "iterations": 10, "out": tmp_path}
    with pytest.raises((ValueError, TypeError), match=message):
        compare(**(arguments | given))
    assert not files(tmp_path)


def test_a_strategy_that_can_not_balance_the_problem(tmp_path):
    def without_conditions():
        data, net = build()
        return dde.data.PDE(data.geom, data.pde, [], num_domain=20), net

    with pytest.raises(ValueError, match="'dn' has nothing to weigh"):
        compare(without_conditions, ["equal", "dn"], 10, out=tmp_path)
    assert not files(tmp_path)


@pytest.mark.filterwarnings("ignore:The loss of:UserWarning")  # it is not finite
def test_runs_that_diverge_or_fail(tmp_path):
    class Breaks(dde.callbacks.Callback):
        def on_batch_end(self):
            if self.model.weighting is not None and self.model.weighting.dynamic:
                raise RuntimeError("out of order")

    def built():
        return *build_with_solution()[:2], build_with_solution()[2] | {"callbacks": [Breaks()]}

    results = compare(built, ["equal", "dn"], 10, seeds=1, out=tmp_path / "failing")
    assert results.failed == {"dn": {0: "RuntimeError: out of order"}} and results.best == "equal"
    assert "1 failed of 1" in results.table()
    assert "failed: dn, seed 0" in (tmp_path / "failing" / "comparison.md").read_text()
    with pytest.raises(RuntimeError, match=r"All runs failed. dn, seed 0: .*out of order"):
        compare(built, ["dn"], 10, seeds=1, out=tmp_path / "failing")
    results = compare(build_with_solution, ["equal"], 10, 1, out=tmp_path / "diverging", lr=1e20)
    assert results.best is None and "1 diverged of 1" in results.table()


def test_a_problem_as_an_object(tmp_path):
    """As the suite's: it measures its own error."""

    def built():
        data, net = build()
        return SimpleNamespace(data=data, net=net, compile={}, error=l2re, callbacks=())

    results = compare(built, ["equal"], 10, seeds=1, out=tmp_path)
    (run,) = results.runs["equal"]
    assert run.score == float(l2re(by_hand("equal", 0, 10))) == run.final["metric"]


BUILD = """
import deepxde as dde
import deepxde_balance as ddb

def build():
    geom = dde.geometry.Interval(0, 1)
    left = dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5)
    right = dde.icbc.NeumannBC(geom, lambda x: 2, lambda x, on: on and x[0] > 0.5)
    def pde(x, u):
        return dde.grad.hessian(u, x) - 2
    data = dde.data.PDE(geom, pde, [left, right], num_domain=20, num_boundary=2)
    net = dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")
    return data, net, {"solution": lambda x: 1 + x**2}
"""

SCRIPT = f"""{BUILD}
dde.config.set_default_float("float64")

class Tenfold(ddb.FromLosses):
    def update(self, losses):
        self.weights[1:] = 10.0

ddb.register("tenfold", Tenfold)

if __name__ == "__main__":
    strategies = ["equal", "tenfold", Tenfold(update_every=3)]
    print(ddb.compare(build, strategies, 15, seeds=1, jobs=2, out="own"))
"""


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=folder,
        env={**os.environ, "DDE_BACKEND": "pytorch", "MPLBACKEND": "Agg"},
    )  # fmt: skip


def test_from_the_shell_and_as_a_script(tmp_path):
    """In two processes, which import the script by themselves, and with its own strategy."""
    (tmp_path / "my_script.py").write_text(SCRIPT)
    command = ["-m", "deepxde_balance", "compare", "my_script.py:build", "--iterations", "15"]
    command += ["--weights", "equal", "tenfold", "--seeds", "1", "--jobs", "2", "--out", "runs"]
    result = run(tmp_path, *command)
    assert result.returncode == 0, result.stderr
    assert "| equal " in result.stdout and "| tenfold " in result.stdout
    there = UserRecord.load(tmp_path / "runs" / "tenfold" / "seed0.json")
    assert there.problem == "my_script.py:build" and there.dtype == "float64"
    assert there.weights_now == {"pde": 1.0, "bc0": 10.0, "bc1": 10.0}
    result = run(tmp_path, "my_script.py")
    assert result.returncode == 0, result.stderr
    assert "| tenfold:update_every=3 " in result.stdout
    here = UserRecord.load(tmp_path / "own" / "tenfold" / "seed0.json")
    for name, losses in there.losses.items():
        np.testing.assert_allclose(here.losses[name], losses, rtol=1e-9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none.py:build"], "none.py: there is no such script"),
        (["ode.py:bulid"], "Unknown function of ode.py 'bulid'. Did you mean 'build'"),
        (["ode.py"], "ode.py: name the function, too: "),
        (["ode.py:build", "klein-gordon"], "give one script and no other problem"),
        (["ode.py:build", "--points", "0.1"], "are for the package's own problems"),
        (["ode.py:build", "--set", "width=20"], "Unknown setting of a script 'width'"),
        (["ode.py:build", "--jobs", "0"], "jobs=0 is not allowed"),
    ],
)
def test_wrong_input_at_the_shell(arguments, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "ode.py").write_text("def build():\n    return None\n")
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    try:
        assert main(["compare", *arguments, "--weights", "equal"]) == 2
    finally:
        for name in set(sys.modules) - modules:
            del sys.modules[name]
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not list(tmp_path.rglob("*.json"))


def test_at_the_shell_all_runs_fail(tmp_path, monkeypatch, capsys):
    breaking = BUILD.replace("solution", "metric").replace(
        "1 + x**2", "1 / (x.train_state.step < 1)"
    )
    (tmp_path / "breaking.py").write_text(breaking)
    monkeypatch.chdir(tmp_path)
    command = ["compare", "breaking.py:build", "--weights", "equal", "--threads", "1"]
    assert main([*command, "--iterations", "10"]) == 1
    error = capsys.readouterr().err
    assert "All runs failed. equal, seed 0: ZeroDivisionError: division by zero" in error
    assert "Traceback" not in error


def test_ctrl_c_at_the_shell_and_again(tmp_path, monkeypatch):
    (tmp_path / "my_script.py").write_text(BUILD)
    command = ["compare", "my_script.py:build", "--weights", "equal", "--iterations", "4000"]
    command += ["--checkpoint-every", "0.1", "--threads", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "deepxde_balance", *command],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background jobs, and what they start, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        env={**os.environ, "DDE_BACKEND": "pytorch"},
    ) as process:  # fmt: skip
        while not list(tmp_path.rglob("adam-*.pt")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error and "Finished runs are kept" in error
    assert not list(tmp_path.rglob("seed*.json")) and list(tmp_path.rglob("*.pt"))
    monkeypatch.chdir(tmp_path)
    assert main(command) == main([*command, "--out", "unbroken"]) == 0
    again, unbroken = (
        tmp_path / folder / "equal" / "seed0.json" for folder in ("runs", "unbroken")
    )
    assert without_times(again) == without_times(unbroken)
