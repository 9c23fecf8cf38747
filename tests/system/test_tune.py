"""Weights and options searched on a user's own problem: trained, resumed, from the shell."""

import json
import math
import os
import re
from functools import partial
from pathlib import Path

import deepxde as dde
import numpy as np
import pytest
from _support.own_problem import build, build_with_solution, by_hand, l2re
from skopt.space import Categorical

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.experiments.run import OtherRunError

tune = partial(ddb.tune, threads=1)
BC = {"bc0": (1, 1e4), "bc1": (1, 1e4)}


class Trainings(dde.callbacks.Callback):
    """Notes each training; Ctrl-C or an error at the start of some."""

    begun: list[dict[str, float]] = []
    stop_at: int | None = None
    fail_if = staticmethod(lambda weights: False)

    def on_train_begin(self):
        weights = self.model.weights
        if self.stop_at == len(self.begun):
            raise KeyboardInterrupt
        if self.fail_if(weights):
            raise RuntimeError("out of order")
        self.begun.append(weights)


@pytest.fixture(autouse=True)
def trainings(monkeypatch):
    monkeypatch.setattr(Trainings, "begun", [])
    return Trainings


def bowl(model):
    """A metric with its minimum of 1 at bc0 = 100, bc1 = 10, whatever the network."""
    logs = {name: math.log10(weight) for name, weight in model.weights.items()}
    return 1 + (logs.get("bc0", 0) - 2) ** 2 + (logs.get("bc1", 0) - 1) ** 2


def with_bowl():
    return *build(), {"metric": bowl, "callbacks": [Trainings()]}


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def points(tuned):
    return [call.point for call in tuned.calls]


def test_it_finds_the_best_weights(tmp_path):
    tuned = tune(with_bowl, BC, 16, 1, out=tmp_path, random_state=2)
    assert tuned.quantity == "metric" and len(tuned.calls) == 16
    assert tuned.calls[0].loss_weights == [1.0, 1.0, 1.0]
    for call, weights in zip(tuned.calls, Trainings.begun, strict=True):
        assert weights == {"pde": 1.0, **{k: pytest.approx(v) for k, v in call.point.items()}}
        logs = math.log10(call.point["bc0"]), math.log10(call.point["bc1"])
        assert call.value == pytest.approx(1 + (logs[0] - 2) ** 2 + (logs[1] - 1) ** 2, rel=1e-5)
    assert tuned.value == min(call.value for call in tuned.calls) < 1.05
    assert tuned.best == [1.0, tuned.best_point["bc0"], tuned.best_point["bc1"]]
    assert {"search.json", "tuning.md", "tuning.png"} <= set(files(tmp_path))


def test_a_call_is_what_training_by_hand_gives(tmp_path):
    """With fixed weights as a list, and with a strategy's word."""
    tuned = tune(build_with_solution, {"bc0": (1, 100), "pde": [0.1, 1]}, 3, 15, out=tmp_path / "a")
    assert tuned.quantity == "L2RE"
    for call in tuned.calls:
        assert call.loss_weights == [call.point["pde"], call.point["bc0"], 1.0]
        assert call.value == pytest.approx(l2re(by_hand(call.loss_weights, 0, 15)), rel=1e-4)
    options = ("dn:max_weight=50", {"beta": (0.5, 0.999), "update_every": (1, 10)})
    tuned = tune(build_with_solution, options, 3, 15, seeds=2, out=tmp_path / "b")
    assert tuned.calls[0].loss_weights == "dn:beta=0.99,max_weight=50,update_every=10"
    for call in tuned.calls:
        errors = [l2re(by_hand(call.loss_weights, seed, 15)) for seed in (0, 1)]
        assert call.value == pytest.approx(np.mean(errors), rel=1e-5)
        assert [run.seed for run in call.runs] == [0, 1]
    assert tuned.best == min(tuned.calls, key=lambda call: call.value).loss_weights


def test_groups_of_ones_own_and_no_solution(tmp_path):
    def grouped():
        return *build(), {"compile": {"loss_groups": {"both": [0, 1]}}}

    tuned = tune(grouped, {"both": Categorical([1, 25])}, 9, 10, out=tmp_path)
    assert tuned.quantity == "criterion" and "criterion (a proxy)" in str(tuned)
    assert [call.loss_weights for call in tuned.calls] == [[1, 1, 1], [1, 25, 25]]
    losses = np.array(by_hand([1, 25, 25], 0, 10).losshistory.loss_test)
    # A list of numbers weighs the losses that DeepXDE shows; the quotients are the same.
    assert tuned.calls[1].value == pytest.approx((losses[-1] / losses.max(axis=0)).max(), rel=1e-4)


@pytest.mark.parametrize("stopped", [0, 3, 7])
def test_a_stopped_search_goes_on(stopped, tmp_path, monkeypatch):
    unbroken = tune(with_bowl, BC, 9, 1, out=tmp_path / "unbroken")
    weights = list(Trainings.begun)
    Trainings.begun.clear()
    monkeypatch.setattr(Trainings, "stop_at", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(with_bowl, BC, 9, 1, out=tmp_path / "stopped")
    assert "tuning.md" not in files(tmp_path / "stopped")
    monkeypatch.setattr(Trainings, "stop_at", None)
    tuned = tune(with_bowl, BC, 9, 1, out=tmp_path / "stopped")
    assert Trainings.begun == weights  # none trained twice
    assert points(tuned) == points(unbroken)
    assert [call.value for call in tuned.calls] == [call.value for call in unbroken.calls]
    assert files(tmp_path / "stopped") == files(tmp_path / "unbroken")
    again = tune(with_bowl, BC, 9, 1, out=tmp_path / "stopped")
    assert points(again) == points(tuned) and Trainings.begun == weights


def test_more_calls_later(tmp_path):
    few = tune(with_bowl, BC, 7, 1, out=tmp_path)
    more = tune(with_bowl, BC, 9, 1, out=tmp_path)
    assert points(more)[:7] == points(few) and len(Trainings.begun) == 9


def test_several_at_a_time(tmp_path):
    """Two points by two processes; with as many seeds as processes, one point."""
    space = {"bc0": (1, 100)}
    two = tune(build, space, 5, 1, jobs=2, out=tmp_path / "two")
    sizes = [
        len(batch)
        for batch in json.loads((tmp_path / "two" / "search.json").read_text())["batches"]
    ]
    assert sizes == [2, 2, 1] and len(two.calls) == 5
    for call in two.calls:
        assert call.runs[0].weights_now["bc0"] == pytest.approx(call.point["bc0"])
    one = tune(build, space, 2, 1, seeds=2, jobs=2, out=tmp_path / "one")
    batches = json.loads((tmp_path / "one" / "search.json").read_text())["batches"]
    assert [len(batch) for batch in batches] == [1, 1]
    assert [len(call.runs) for call in one.calls] == [2, 2]


def test_calls_that_fail_do_not_end_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainings, "fail_if", staticmethod(lambda weights: weights["bc0"] > 100))
    tuned = tune(with_bowl, BC, 9, 1, out=tmp_path)
    failed = [call for call in tuned.calls if call.failed]
    assert 0 < len(failed) < 9
    for call in tuned.calls:
        assert bool(call.failed) == (call.point["bc0"] > 100) == math.isnan(call.value)
    assert failed[0].failed == {0: "RuntimeError: out of order"}
    assert tuned.best_point["bc0"] <= 100 and "1 failed of 1" in tuned.table()
    assert "- failed: call" in (tmp_path / "tuning.md").read_text()
    monkeypatch.setattr(Trainings, "fail_if", staticmethod(lambda weights: False))
    trained = len(Trainings.begun)
    again = tune(with_bowl, BC, 9, 1, out=tmp_path)
    assert points(again) == points(tuned) and len(Trainings.begun) == trained
    (tmp_path / "search.json").unlink()
    mended = tune(with_bowl, BC, 9, 1, out=tmp_path)
    assert not any(call.failed for call in mended.calls)


def test_failed_runs_of_worker_processes(tmp_path):
    def failing():
        class Fails(dde.callbacks.Callback):
            def on_train_begin(self):
                if self.model.weights["bc0"] == 10:
                    raise RuntimeError("out of order")

        return *build(), {"callbacks": [Fails()]}

    tuned = tune(failing, {"bc0": [1, 10, 100]}, 3, 1, jobs=3, out=tmp_path)
    reasons = {call.point["bc0"]: dict(call.failed) for call in tuned.calls}
    assert reasons == {1: {}, 10: {0: "RuntimeError: out of order"}, 100: {}}


def test_all_calls_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainings, "fail_if", staticmethod(lambda weights: True))
    for _ in range(2):
        with pytest.raises(
            RuntimeError, match=r"All 3 calls failed. .*1.0, 1.0.*, seed 0: Runtime"
        ):
            tune(with_bowl, BC, 3, 1, out=tmp_path)
    monkeypatch.setattr(Trainings, "fail_if", staticmethod(lambda weights: False))
    assert len(tune(with_bowl, BC, 3, 1, out=tmp_path).calls) == 3


@pytest.mark.filterwarnings("ignore:The loss of:UserWarning")  # it is not finite
def test_all_calls_diverge(tmp_path):
    with pytest.raises(RuntimeError, match=r"All 2 calls failed. .*seed 0: its L2RE is nan"):
        tune(build_with_solution, BC, 2, 10, out=tmp_path, lr=1e20)


def test_a_metric_that_diverges_for_some(tmp_path):
    def metric(model):
        return math.nan if model.weights.get("bc0", 1) > 100 else bowl(model)

    tuned = tune(lambda: (*build(), {"metric": metric}), BC, 9, 1, out=tmp_path)
    for call in tuned.calls:
        assert math.isnan(call.value) == (call.point["bc0"] > 100) and not call.failed
    assert "1 diverged of 1" in tuned.table() and tuned.best_point["bc0"] <= 100


def test_in_the_folder_of_a_comparison(tmp_path):
    ddb.compare(build_with_solution, ["equal"], 10, seeds=1, threads=1, out=tmp_path)
    before = files(tmp_path)
    tuned = tune(build_with_solution, {"bc0": (1, 100)}, 1, 10, out=tmp_path)
    assert set(before) < set(files(tmp_path))
    results = ddb.compare(build_with_solution, ["equal"], 10, seeds=1, threads=1, out=tmp_path)
    assert tuned.value == pytest.approx(results.mean("equal"), rel=1e-4)  # weight 1 for all


@pytest.mark.parametrize(
    "change, message",
    [
        ({"iterations": 2}, "'iterations': 1.* here .*'iterations': 2"),
        ({"space": {"bc0": (1, 1e4)}}, "search.json is of another run: space there"),
        ({"space": ("dn", {"beta": (0.5, 0.9)})}, "strategy there fixed, here dn"),
        ({"random_state": 1}, "random_state there 0, here 1"),
        ({"seeds": 2}, "'seeds': 1.* here .*'seeds': 2"),
    ],
)
def test_another_search_in_the_folder(change, message, tmp_path):
    given = {"build": build, "space": BC, "calls": 1, "iterations": 1, "out": tmp_path}
    tune(**given)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(OtherRunError, match=message):
        tune(**(given | change))
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize(
    "given, message",
    [
        ({"space": {}}, "space is empty"),
        ({"space": ("dn", {})}, "space is empty"),
        ({"space": {"bc": (1, 10)}}, "Unknown group in space 'bc'. .* Known: pde, bc0, bc1"),
        ({"space": {"bc0": (10, 10)}}, "the first number must be below the second"),
        ({"space": {"bc0": 10}}, r"space\['bc0'\]=10 is not allowed"),
        ({"space": "dn"}, "space='dn' is not allowed"),
        ({"space": ("db-kurt", {"beta": (0.5, 0.9)})}, "Did you mean 'db-kurtosis'"),
        ({"space": ("dn", {"bta": (0.5, 0.9)})}, "'dn' has no parameter 'bta'"),
        ({"space": ("dn", {"beta": (0.5, 1.5)})}, "beta=1.5 is not allowed"),
        ({"calls": 0}, "calls=0 is not allowed: it must be an integer of at least 1"),
        ({"calls": 2.5}, "calls=2.5 is not allowed"),
        ({"random_state": -1}, "random_state=-1 is not allowed"),
        ({"random_state": None}, "random_state=None is not allowed"),
        ({"seeds": 0}, "seeds=0 is not allowed"),
        ({"jobs": 0}, "jobs=0 is not allowed"),
        ({"iterations": 0}, "iterations=0 is not allowed"),
        ({"optimizer": "L-BFGS"}, "optimizer='L-BFGS' is not allowed"),
        ({"build": build()}, "give a function"),
        ({"build": lambda: (*build(), {"metric": lambda m: "low"})}, "metric gave 'low'"),
    ],
)
def test_wrong_input_is_told_before_anything_is_trained(given, message, tmp_path):
    arguments = {"build": with_bowl, "space": BC, "iterations": 1, "out": tmp_path / "out"}
    with pytest.raises((ValueError, TypeError), match=message):
        tune(**(arguments | given))
    assert not Trainings.begun and not (tmp_path / "out").exists()


def test_a_strategy_that_can_not_balance_the_problem(tmp_path):
    def without_conditions():
        data, net = build()
        return dde.data.PDE(data.geom, data.pde, [], num_domain=20), net

    with pytest.raises(ValueError, match=r"'dn:beta=0\.5' has nothing to weigh"):
        tune(without_conditions, ("dn", {"beta": (0.5, 0.9)}), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_scikit_optimize(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "deepxde-balance\[tune\]"'):
        tune(build, BC, out=tmp_path)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"import sys\nsys.path.insert(0, {os.path.dirname(__file__)!r} + '/..')\n")
    with path.open("a") as file:
        file.write("from _support.own_problem import build_with_solution as build\n")
    return path


def test_from_the_shell(script, tmp_path, capsys):
    shared = ["--iterations", "5", "--threads", "1", "--calls", "3"]
    out = tmp_path / "a"
    given = ["--weights", "bc0=1:1e4", "bc1=1,10", *shared, "--out", str(out)]
    assert main(["tune", f"{script}:build", *given]) == 0
    printed = capsys.readouterr().out
    assert (
        "| call |" in printed and "3 calls. Best by L2RE: call" in printed and str(out) in printed
    )
    same = tune(build_with_solution, {"bc0": (1, 1e4), "bc1": [1, 10]}, 3, 5, out=tmp_path / "same")
    assert same.table() in printed
    options = ["beta=.5:0.999", "update_every=1:100", "p=1,inf"]
    given = ["--strategy", "dn", "--options", *options, *shared, "--out", str(tmp_path / "b")]
    assert main(["tune", f"{script}:build", *given]) == 0
    printed = capsys.readouterr().out
    space = ("dn", {"beta": (0.5, 0.999), "update_every": (1, 100), "p": [1, math.inf]})
    same = tune(build_with_solution, space, 3, 5, out=tmp_path / "same_b")
    assert str(same) in printed


@pytest.mark.parametrize(
    "given, message",
    [
        (["klein-gordon", "--weights", "bc0=1:2"], "klein-gordon: give your own problem"),
        (["SCRIPT"], "give either --weights or --strategy"),
        (["SCRIPT", "--weights", "bc0=1:2", "--strategy", "dn"], "give either --weights or"),
        (["SCRIPT", "--strategy", "dn"], "give --strategy and --options together"),
        (["SCRIPT", "--weights", "bc0=1:2", "--options", "p=1,2"], "--strategy and --options"),
        (["SCRIPT", "--weights", "bc0=1:2", "bc0=1:3"], "a range is given twice"),
        (["SCRIPT", "--weights", "bx=1:2"], "Unknown group in space 'bx'"),
        (["SCRIPT", "--weights", "bc0=2:1"], "the first number must be below"),
        (["SCRIPT", "--weights", "bc0=a:b"], "give a tuple of two numbers"),
        (["SCRIPT", "--weights", "bc0=1:2", "--set", "width=3"], "Unknown setting of a script"),
    ],
)
def test_wrong_input_from_the_shell(given, message, script, tmp_path, capsys):
    given = [f"{script}:build" if part == "SCRIPT" else part for part in given]
    assert main(["tune", *given, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tune", "compare"])
def test_the_help_names_the_settings_of_a_script(command, script, tmp_path, capsys):
    """And each setting in it is taken, of tune no other."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    options = " ".join(capsys.readouterr().out.partition("options:")[2].split())
    helped = options.partition(" --set ")[2].partition(" --out ")[0]
    of_script = re.findall(r"\b(\w+=[\d.]+)", helped.partition("of a script only")[2] or helped)
    assert [setting.partition("=")[0] for setting in of_script] == ["lr", "lbfgs_iterations"]
    weights = ["bc0=1,10"] if command == "tune" else ["equal"]
    given = ["--weights", *weights, "--iterations", "1", "--threads", "1", "--set"]
    settings = [setting.replace("1000", "1") for setting in of_script]
    calls = ["--calls", "1"] if command == "tune" else []
    out = ["--out", str(tmp_path / "out")]
    assert main([command, f"{script}:build", *given, *settings, *calls, *out]) == 0


@pytest.mark.parametrize("text", ["bc0", "bc0=5", "=1:2", "bc0:1:2"])
def test_what_is_no_range(text, capsys):
    with pytest.raises(SystemExit):
        main(["tune", "a.py:build", "--weights", text])
    assert "write name=low:high, e.g. bc0=1:1e4, or name=choice,choice" in capsys.readouterr().err


def test_the_shell_tells_of_failures(tmp_path, capsys, monkeypatch):
    script = tmp_path / "fails.py"
    script.write_text(
        "from _support.own_problem import build as plain\nimport deepxde as dde\n"
        "class Fails(dde.callbacks.Callback):\n"
        "    def on_train_begin(self):\n"
        "        if self.model.weights['bc0'] > LIMIT:\n            raise RuntimeError('no')\n"
        "def build():\n    return *plain(), {'callbacks': [Fails()]}\n"
        "LIMIT = 5\n"
    )
    given = [f"{script}:build", "--weights", "bc0=1,10", "--iterations", "1", "--threads", "1"]
    assert main(["tune", *given, "--out", str(tmp_path / "a")]) == 1
    assert "1 failed of 1" in capsys.readouterr().out
    script.write_text(script.read_text().replace("LIMIT = 5", "LIMIT = 0"))
    other = script.with_name("fails_always.py")
    other.write_text(script.read_text())
    assert main(["tune", f"{other}:build", *given[1:], "--out", str(tmp_path / "b")]) == 1
    assert "All 2 calls failed." in capsys.readouterr().err
