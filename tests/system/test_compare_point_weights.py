"""Point weights in comparisons: trained as by hand, recorded, resumed, refused, from the shell."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import Any

import deepxde as dde
import numpy as np
import pytest
from _support.own_problem import build, build_with_solution, by_hand, l2re
from _support.run_files import KillAt, content, files, without_times

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.experiments.run import OtherRunError
from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.results.record import RecordError

compare = partial(ddb.compare, threads=1)


@pytest.mark.parametrize(
    "strategy, name, loss_weights, point_weights",
    [
        ("equal+rba", "equal+rba", "equal", "rba"),
        (
            (ddb.DN(update_every=3), ddb.BRDR(beta_w=0.9)),
            "dn:update_every=3+brdr:beta_w=0.9",
            "dn:update_every=3",
            ddb.BRDR(beta_w=0.9),
        ),
    ],
)
def test_records_hold_what_training_by_hand_gives(
    strategy, name, loss_weights, point_weights, tmp_path
):
    """Bit for bit, the means and the largest of the point weights, too."""
    results = compare(build_with_solution, ["equal", strategy], 35, 1, out=tmp_path)
    assert list(results.runs) == ["equal", name]
    (plain,), (run,) = results.runs["equal"], results.runs[name]
    model = by_hand(loss_weights, 0, 35, point_weights=point_weights)
    history = model.losshistory
    assert run.steps.tolist() == history.steps == [0, 10, 20, 30, 35]
    for i, term in enumerate(["pde", "bc0", "bc1"]):
        assert run.losses[term].tolist() == np.array(history.loss_train)[:, i].tolist()
        assert run.test_losses[term].tolist() == np.array(history.loss_test)[:, i].tolist()
        assert run.loss_weights[term].tolist() == [w[term] for w in history.loss_weights]
    assert run.losses["pde"][-1] != plain.losses["pde"][-1]
    assert run.weights_now == model.weights
    assert run.score == pytest.approx(l2re(model), rel=1e-5)
    weights = model.point_weights
    assert "pde" in weights and run.point_weights_now == {
        term: {"mean": float(of.mean()), "largest": float(of.max())} for term, of in weights.items()
    }
    assert plain.point_weights_now == {} and "point_weights_now" not in content(plain.path)


def test_point_weights_are_kept_under_lbfgs(tmp_path, optimizer_options):
    results = compare(build, ["equal+rba"], 20, 1, out=tmp_path, lbfgs_iterations=5)
    (run,) = results.runs["equal+rba"]
    model = by_hand("equal", 0, 20, point_weights="rba")
    after_adam = model.point_weights["pde"]
    dde.optimizers.set_LBFGS_options(maxcor=100, maxiter=5)
    optimizer_options.lbfgs.update(iter_per_step=5, fun_per_step=125)
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    model.train(display_every=1, verbose=0)
    assert run.steps.tolist() == model.losshistory.steps == [0, 10, 20, 20, 25]
    assert run.losses["pde"].tolist() == [row[0] for row in model.losshistory.loss_train]
    assert run.point_weights_now == {
        "pde": {"mean": float(after_adam.mean()), "largest": float(after_adam.max())}
    }


@pytest.mark.parametrize("killed_at", [17, 30, 36])
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
    strategies = ["db-mean:update_every=4+brdr", "equal+rba"]
    monkeypatch.setattr(KillAt, "armed", False)
    compare(built, strategies, out=tmp_path / "unbroken", **arguments)
    monkeypatch.setattr(KillAt, "armed", True)
    with pytest.raises(KeyboardInterrupt):
        compare(built, strategies, out=tmp_path / "killed", **arguments)
    assert not list((tmp_path / "killed").rglob("seed*.json"))
    assert list((tmp_path / "killed").rglob("*.pt"))
    monkeypatch.setattr(KillAt, "armed", False)
    compare(built, strategies, out=tmp_path / "killed", **arguments)
    assert files(tmp_path / "killed") == files(tmp_path / "unbroken")
    records = [name for name in files(tmp_path / "killed") if name.endswith(".json")]
    assert records == ["db-mean_update_every=4_brdr/seed0.json", "equal_rba/seed0.json"]
    for name in records:
        assert without_times(tmp_path / "killed" / name) == without_times(
            tmp_path / "unbroken" / name
        )


def test_records_of_other_point_weights_are_not_read(tmp_path):
    """A folder takes strategies with and without point weights; neither is taken for another."""
    compare(build, ["equal"], 10, 1, out=tmp_path)
    path = tmp_path / "equal" / "seed0.json"
    before = path.stat().st_mtime_ns
    results = compare(build, ["equal", "equal+rba", "equal+rba:eta=0.1"], 10, 1, out=tmp_path)
    assert path.stat().st_mtime_ns == before
    assert len({runs[0].losses["pde"][-1] for runs in results.runs.values()}) == 3
    moved = tmp_path / "equal_brdr" / "seed0.json"
    moved.parent.mkdir()
    (tmp_path / "equal_rba" / "seed0.json").rename(moved)
    with pytest.raises(OtherRunError, match=r"weights there equal\+rba, here equal\+brdr"):
        compare(build, ["equal+brdr"], 10, 1, out=tmp_path)


def test_point_weights_of_the_problem_are_those_of_all_strategies(tmp_path):
    point_weights: dict[str, Any] = {"bc0": lambda x: 3 + 0 * x[:, 0]}

    def built():
        return *build(), {"compile": {"point_weights": dict(point_weights)}}

    results = compare(built, ["equal", "dn"], 20, 1, out=tmp_path)
    for name, (run,) in results.runs.items():
        model = by_hand(name, 0, 20, point_weights=point_weights)
        losses = np.array(model.losshistory.loss_train)
        assert run.losses["bc0"].tolist() == losses[:, 1].tolist()
        assert run.point_weights_now == {"bc0": {"mean": 3.0, "largest": 3.0}}
    point_weights["bc0"] = "brdr"
    with pytest.raises(OtherRunError, match="untrained network and points"):
        compare(built, ["equal", "dn"], 20, 1, out=tmp_path)


@pytest.mark.parametrize(
    "strategy, message",
    [
        ("sa+rba", '"sa" has point weights of its own: leave point_weights out'),
        ("equal+causal", "Causal weights order the points by time, but this problem has no time"),
        ("equal+rbaa", "Unknown point weighting 'rbaa'"),
        ("equal+", "write a strategy and its point weighting"),
        (("equal", ddb.Causal()), "this problem has no time"),
    ],
)
def test_wrong_point_weights_are_told_before_anything_is_trained(strategy, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        compare(build, ["equal", strategy], 10, 1, out=tmp_path)
    assert not files(tmp_path)


def test_point_weights_in_both_places(tmp_path):
    def built():
        return *build(), {"compile": {"point_weights": "brdr"}}

    with pytest.raises(ValueError, match=r"build: compile has point_weights, and .* RBA, too"):
        compare(built, ["equal", "equal+rba"], 10, 1, out=tmp_path)
    assert not files(tmp_path)


def test_damaged_point_weights_in_a_record(tmp_path):
    (run,) = compare(build, ["equal+rba"], 10, 1, out=tmp_path).runs["equal+rba"]
    good = content(run.path)
    run.path.write_text(json.dumps(good | {"point_weights_now": {"pde": {"mean": None}}}))
    assert np.isnan(UserRecord.load(run.path).point_weights_now["pde"]["mean"])
    for damaged in ([1], {"pde": 1}, {"pde": {"mean": "low"}}):
        run.path.write_text(json.dumps(good | {"point_weights_now": damaged}))
        with pytest.raises(RecordError, match="its point_weights_now are damaged"):
            UserRecord.load(run.path)


SCRIPT = """\
import deepxde as dde

def build():
    geom = dde.geometry.Interval(0, 1)
    pde = lambda x, u: dde.grad.hessian(u, x) - 2
    ends = dde.icbc.DirichletBC(geom, lambda x: 1 + x**2, lambda x, on: on)
    data = dde.data.PDE(geom, pde, [ends], num_domain=20, num_boundary=2)
    return data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal"), {"solution": lambda x: 1 + x**2}
"""


def test_from_the_shell_killed_and_again(tmp_path):
    """Killed for good in the middle of a run; the unbroken ones run in workers at a time."""
    (tmp_path / "my_script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "deepxde_balance", "compare", "my_script.py:build"]
    command += ["--weights", "equal+brdr", "equal", "--iterations", "600"]
    command += ["--checkpoint-every", "0.1", "--threads", "1", "--set", "lbfgs_iterations=20"]
    environment = {**os.environ, "DDE_BACKEND": "pytorch", "MPLBACKEND": "Agg"}
    start = partial(
        subprocess.Popen, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=environment,
    )  # fmt: skip
    with start(command) as process:
        while not list(tmp_path.rglob("adam-*.pt")) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("seed*.json"))
    for out, jobs in (("runs", "1"), ("unbroken", "2")):
        with start([*command, "--out", out, "--jobs", jobs]) as process:
            printed, error = process.communicate()
        assert process.returncode == 0, error
        assert "| equal+brdr " in printed and "| equal " in printed
    for folder in ("equal_brdr", "equal"):
        again, unbroken = (tmp_path / out / folder / "seed0.json" for out in ("runs", "unbroken"))
        assert without_times(again) == without_times(unbroken)
    assert UserRecord.load(again).point_weights_now == {}


@pytest.mark.parametrize(
    "word, message",
    [
        ("auto+rbaa", "Unknown point weighting 'rbaa'. Did you mean 'rba'"),
        ("auto+", "write a strategy and its point weighting"),
        ("auto+rba+brdr", "it has 2 point weightings"),
        ("sa+rba", '"sa" has point weights of its own'),
        ("equal+causal", "this problem has no time coordinate"),
        ("brdr", "brdr weighs points, so give it beside a strategy, as in 'equal+brdr'"),
    ],
)
def test_wrong_words_at_the_shell(word, message, tmp_path, monkeypatch, capsys):
    (tmp_path / "of_points.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    try:
        assert main(["compare", "of_points.py:build", "--weights", "equal", word]) == 2
    finally:
        for name in set(sys.modules) - modules:
            del sys.modules[name]
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not list(tmp_path.rglob("*.json"))


def test_the_point_weightings_are_listed(capsys):
    assert main(["list"]) == 0
    assert "With point weights (rba, brdr, causal, sa)" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "compare"])
@pytest.mark.parametrize("word", ["auto+rba", "dn:beta=0.9+rba"])
def test_the_packages_own_problems_take_no_point_weights(command, word, tmp_path, capsys):
    arguments = [command, "harmonic", "--weights", word, "--out", str(tmp_path)]
    assert main([*arguments, "--iterations", "2"]) == 2
    error = capsys.readouterr().err
    strategy = word.split("+")[0]
    assert f"give loss_weights='{strategy}', point_weights='rba'" in error
    assert "for one's own problem" in error
    assert not files(tmp_path)
