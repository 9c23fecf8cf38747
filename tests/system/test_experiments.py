"""Runs: resumed to the very record of an unbroken one; wrong input changes nothing."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import deepxde as dde
import numpy as np
import pytest
from filelock import FileLock

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.experiments import OtherRunError, Run, Sweep, finished, train
from deepxde_balance.results.record import Record
from deepxde_balance.weightings import words

SHORT: dict[str, Any] = {"points": 0.01, "settings": {"iterations": 40, "update_every": 7}}
TIMES = ("seconds", "seconds_per_iteration")


def without_times(path):
    content = json.loads(path.read_text())
    return {name: value for name, value in content.items() if name not in TIMES}


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class KillAt(dde.callbacks.Callback):
    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_end(self):
        if self.model.train_state.iteration == self.iteration:
            raise KeyboardInterrupt


def test_a_record_holds_what_training_by_hand_gives(tmp_path):
    record = train(Run("Klein_Gordon", "DB-mean", seed=3, **SHORT), tmp_path)
    problem = ddb.problems.get("klein-gordon", points=0.01, **SHORT["settings"])
    model = problem.model("db-mean", seed=3, verbose=0)
    history, _ = model.train(iterations=40, display_every=10, verbose=0)
    assert record.path == tmp_path / "klein-gordon" / "db-mean" / "seed3.json"
    assert (record.problem, record.weights, record.seed) == ("klein-gordon", "db-mean", 3)
    assert record.final == problem.errors(model)
    assert record.weights_now == model.weights
    assert record.steps.tolist() == history.steps == [0, 10, 20, 30, 40]
    losses = np.array(history.loss_train)
    for i, term in enumerate(model.loss_terms):
        assert np.array_equal(record.losses[term], losses[:, i])
    assert record.loss_weights["bc"].tolist() == [w["bc"] for w in history.loss_weights]
    assert len(record.errors["L2RE"]) == 5 and record.errors["L2RE"][-1] == record.final["L2RE"]
    assert record.groups == {"pde": ["pde"], "bc": ["data0", "data1"], "ic": ["ic2", "ic3"]}
    assert record.settings["num_points"]["residual"] == 100
    assert record.paper["num_points"]["residual"] == 10000
    assert np.array_equal(record.fields.prediction, model.predict(problem.evaluation_points))
    assert np.array_equal(record.fields.solution, problem.solution(problem.evaluation_points))
    parameters = sum(p.numel() for p in model.net.parameters())
    assert record.fields.histogram_steps.tolist() == [0, 10, 20, 40]
    assert record.fields.histogram_groups.tolist() == ["pde", "bc", "ic"]
    # The residual depends on every parameter but the last bias, which only u^3 sees.
    assert record.fields.histogram_counts[0, 1].sum() == parameters
    assert files(tmp_path) == [f"klein-gordon/db-mean/seed3.{e}" for e in ("json", "npz")]


@pytest.mark.parametrize("killed_at", [1, 23, 40])
def test_a_killed_run_ends_in_the_unbroken_record(killed_at, tmp_path):
    run = Run("klein-gordon", "db-kurtosis", **SHORT)
    expected = train(run, tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path / "killed", checkpoint_every=0, callbacks=[KillAt(killed_at)])
    assert finished(run, tmp_path / "killed") is None
    found = train(run, tmp_path / "killed")
    assert without_times(found.path) == without_times(expected.path)
    for name, array in vars(expected.fields).items():
        assert np.array_equal(array, getattr(found.fields, name))


@pytest.mark.parametrize("killed_at", [20, 40])
def test_a_run_killed_in_its_second_phase(killed_at, tmp_path, optimizer_options):
    """Adam to 20, then L-BFGS to 40 in one step of DeepXDE's."""
    settings = {"iterations": 20, "lbfgs_iterations": 20, "update_every": 7}
    run = Run("burgers-inverse", "db-mean", points=0.05, settings=settings)
    expected = train(run, tmp_path / "unbroken")
    assert expected.steps[-1] == 40
    assert set(expected.final) == {"L2RE", "MAE", "C1", "C2"}
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path / "killed", checkpoint_every=0, callbacks=[KillAt(killed_at)])
    found = train(run, tmp_path / "killed")
    assert without_times(found.path) == without_times(expected.path)


def test_a_run_that_another_process_trains_is_left_alone(tmp_path, capsys):
    run = Run("harmonic", "equal", settings={"iterations": 1000000})
    arguments = ["train", "harmonic", "--weights", "equal", "--iterations", "1000000"]
    arguments += ["--out", str(tmp_path), "--checkpoint-every", "1"]
    command = [sys.executable, "-m", "deepxde_balance", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as other:
        try:
            while not list(run.unfinished(tmp_path).glob("adam-*.pt")) and other.poll() is None:
                time.sleep(0.1)
            with pytest.raises(BlockingIOError, match="another process is training this run"):
                train(run, tmp_path)
            assert main(arguments) == 2
            assert "another process is training" in capsys.readouterr().err
            assert other.poll() is None
        finally:
            other.kill()
    with FileLock(run.unfinished(tmp_path) / "lock").acquire(timeout=10):
        pass  # what a killed process held is free


def test_a_finished_run_is_not_trained_again(tmp_path):
    run = Run("klein-gordon", "equal", **SHORT)
    first = train(run, tmp_path)
    before = first.path.stat().st_mtime_ns
    again = train(run, tmp_path, callbacks=[KillAt(1)])
    assert again.path.stat().st_mtime_ns == before


def test_parameters_of_a_strategy(tmp_path):
    run = Run("klein-gordon", "dn:bias_correction=false,beta=0.5", **SHORT)
    assert run.weights == "dn:beta=0.5,bias_correction=false"
    weighting = run.weighting(run.make_problem())
    assert weighting.average.alpha == 0.5 and weighting.update_every == 7
    other = Run("klein-gordon", "gw-mean:alpha=0.25,update_every=3", **SHORT)
    weighting = other.weighting(other.make_problem())
    assert (weighting.average.alpha, weighting.update_every) == (0.25, 3)
    plain = Run("klein-gordon", "gw-mean", points=0.01)
    weighting = plain.weighting(plain.make_problem())
    assert (weighting.average.alpha, weighting.update_every) == (0.5, 100)
    assert run.record(tmp_path).parent.name == "dn_beta=0.5_bias_correction=false"


@pytest.mark.parametrize(
    "spellings",
    [
        ["dn:max_weight=10000", "dn:max_weight=1e4", "dn-l2:max_weight=10000.0"],
        ["dn-l1:beta=0.9", "dn:p=1,beta=0.9", "DN:beta=.9,p=1.0", "dn-linf:p=1,beta=0.90"],
        ["dn-linf", "dn:p=inf", "dn:p=Infinity", "dn-l1:p=inf"],
        ["dn", "dn:p=2", "dn-l1:p=2"],
        ["dn:p=3", "dn-linf:p=3.0"],
        ["ntk-exact", "ntk:exact=true", "ntk:exact=True"],
        ["ntk:probes=4", "ntk-exact:exact=false,probes=4"],
        ["gw-mean:alpha=0.1", "lra:alpha=.1", "ma:alpha=1e-1"],
        ["db-mean:average=ema", "db_mean:average=EMA", 'db-mean:average="ema"'],
    ],
)
def test_many_spellings_are_one_run(spellings):
    runs = [Run("klein-gordon", spelling) for spelling in spellings]
    assert {run.weights for run in runs} == {spellings[0]}
    of = [run.weighting(run.make_problem()) for run in runs]
    assert all(w.hyperparameters == of[0].hyperparameters for w in of)


def test_records_keep_their_names():
    results = Path(__file__).parents[2] / "benchmarks" / "results"
    folders = {path.parent for path in results.glob("*/*/*/seed*.json")}
    assert len(folders) > 100
    for folder in folders:
        record = json.loads(next(folder.glob("seed*.json")).read_text())
        if not folder.parents[1].name.startswith("suite"):  # its problems are no benchmark problems
            assert Run(record["problem"], record["weights"]).weights == record["weights"]
        assert words.file_name(record["weights"]) == folder.name


@pytest.mark.parametrize(
    "weights, every, name",
    [
        ("grad-norm", 10, "grad-norm:update_every=10"),  # the paper's, not the strategy's
        ("uw", 7, "uw:update_every=7"),
        ("config:update_every=3", 7, "config:update_every=3"),
        ("db-mean", 7, "db-mean"),
        ("equal", 7, "equal"),
    ],
)
def test_a_record_tells_an_update_every_that_was_given(weights, every, name):
    run = Run("helmholtz", weights, settings={"update_every": every})
    assert run.weights == name
    assert dataclasses.replace(run, seed=1).weights == name
    assert Run("helmholtz", weights).weights == weights


@pytest.mark.parametrize("started_only", [True, False])
def test_another_run_in_the_same_place(started_only, tmp_path):
    run = Run("klein-gordon", "equal", **SHORT)
    callbacks = [KillAt(5)] if started_only else []
    try:
        train(run, tmp_path, checkpoint_every=0, callbacks=callbacks)
    except KeyboardInterrupt:
        assert started_only
    before = files(tmp_path)
    other = Run("klein-gordon", "equal", points=0.02, settings=SHORT["settings"])
    with pytest.raises(OtherRunError, match=r"'residual': 100.* here .*'residual': 200"):
        train(other, tmp_path)
    assert files(tmp_path) == before


@pytest.mark.filterwarnings("ignore:The loss of .* not finite")
def test_a_sweep_reports_failures_and_goes_on(tmp_path, monkeypatch):
    """A diverging run is recorded, with errors that are no numbers; a failing one is told."""
    runs = [
        Run("klein-gordon", "equal", **SHORT),
        Run("klein-gordon", "equal", seed=1, points=0.01, settings={"iterations": 40, "lr": 1e20}),
    ]
    assert Sweep(runs, tmp_path).train() == []
    diverged = finished(runs[1], tmp_path)
    assert diverged.diverged and not finished(runs[0], tmp_path).diverged
    assert '"L2RE": null' in diverged.path.read_text()

    def broken(self, model):
        raise RuntimeError("out of order")

    monkeypatch.setattr(ddb.problems.Problem, "errors", broken)
    third = Run("klein-gordon", "equal", seed=2, **SHORT)
    assert Sweep([third], tmp_path).train() == [(third, "RuntimeError: out of order")]


COMPARE = ["compare", "klein-gordon", "--points", "0.01", "--iterations", "20", "--weights"]


def test_compare_and_report(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert main([*COMPARE, "equal", "db-mean", "--seeds", "2", *out]) == 0
    shown = capsys.readouterr()
    rows = [line for line in shown.out.splitlines() if line.startswith("| klein-gordon")]
    assert [row.split(" | ")[1:3] for row in rows] == [
        ["equal", "0"], ["db-mean", "0"], ["equal", "1"], ["db-mean", "1"],
    ]  # fmt: skip
    assert main(["report", str(tmp_path)]) == 0
    assert os.path.exists(capsys.readouterr().out.split("Report: ")[1].strip())


def test_list_and_train(tmp_path, capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in ddb.problems.names())
    arguments = ["--points", "0.01", "--iterations", "20", "--weights", "gw-std", "--seed", "4"]
    assert main(["train", "klein-gordon", *arguments, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "klein-gordon" / "gw-std" / "seed4.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([*COMPARE, "db-kurt"], "Did you mean 'db-kurtosis'"),
        (["train", "klein-gordan"], "Did you mean 'klein-gordon'"),
        ([*COMPARE, "equal", "--device", "cuda"], "PyTorch sees 0 GPU"),
        ([*COMPARE, "equal", "--device", "gpu"], "'gpu' is not allowed: give cpu"),
        ([*COMPARE, "equal", "--backend", "dask"], "give Dask both"),
        ([*COMPARE, "keep"], "'keep' keeps the weights of a phase before"),
        ([*COMPARE, "dn:beta=2"], "beta=2 is not allowed"),
        ([*COMPARE, "dn:beta"], "write a strategy with parameters as dn:parameter=value"),
        ([*COMPARE, "dn:gamma=1"], "'dn' has no parameter 'gamma': it takes p, beta"),
        ([*COMPARE, "equal:foo=1"], "'equal' has no parameter 'foo': it takes none"),
        ([*COMPARE, "equal", "--set", "widht=10"], "Did you mean 'width'"),
        ([*COMPARE, "equal", "--set", "points=0.1"], "Unknown setting 'points'"),
        ([*COMPARE, "equal", "--set", "name=3"], "Unknown setting 'name'"),
        ([*COMPARE, "equal", "--set", 'num_points={"residual":9}'], "'residual', 'boundary', 'in"),
        (["train", "helmholtz", "--points", "200"], "a 1001 x 1001 grid, so at most 1002001"),
        ([*COMPARE, "dn:scale=5"], "scale=5 is not allowed: give one number per loss term"),
        ([*COMPARE, "dn:scale=bc"], "scale='bc' is not allowed"),
        ([*COMPARE, "equal", "--points", "-1"], "points=-1.0 is not allowed"),
        ([*COMPARE, "equal", "--points", "inf"], "points=inf is not allowed"),
        ([*COMPARE, "equal", "--set", "width=2.5"], "width=2.5 is not allowed"),
        ([*COMPARE, "equal", "--set", "betas=3"], "betas=3 is not allowed"),
        ([*COMPARE, "equal", "--set", "width=3", "--set", "width=4"], "width is given twice"),
        ([*COMPARE, "equal", "--set", "iterations=4", "--iterations", "3"], "iterations is given"),
        ([*COMPARE, "equal", "--jobs", "0"], "give 1 job or more"),
        ([*COMPARE, "equal", "--backend", "threading"], "no threads"),
        ([*COMPARE, "equal", "--device", "meta"], "'meta' is not allowed"),
        ([*COMPARE, "dn:beta=0.9,beta=0.5"], "it has beta twice"),
        (["report", "nowhere"], "nowhere: there is no such folder"),
        (["report", "."], "there is no record of a benchmark problem in it."),
        (
            ["train", "burgers-inverse", "--weights", "config", "--points", "0.01"],
            "weights='config' has no weights that L-BFGS could keep",
        ),
    ],
)
def test_wrong_input(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "required: COMMAND"),
        (["compare", "klein-gordon"], "required: --weights"),
        ([*COMPARE, "equal", "--seeds", "0"], "0 is not allowed: at least 1"),
        ([*COMPARE, "equal", "--set", "width"], "write setting=number"),
        ([*COMPARE, "equal", "--engine", "fast"], "invalid choice: 'fast'"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as status:
        main(arguments)
    assert status.value.code == 2
    assert message in capsys.readouterr().err


def test_numbers_as_python_writes_them(tmp_path):
    arguments = ["train", "harmonic", "--iterations", "2", "--weights", "gw-std:alpha=.25"]
    assert main([*arguments, "--set", "lr=.002", "--out", str(tmp_path)]) == 0
    record = Record.load(tmp_path / "harmonic" / "gw-std_alpha=0.25" / "seed0.json")
    assert record.settings["lr"] == 0.002


def test_a_folder_that_is_none(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main([*COMPARE, "equal", "--out", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_the_gradient_engine_is_recorded(tmp_path):
    for arguments, engine in (([], "per-group"), (["--engine", "one-pass"], "one-pass")):
        assert main([*COMPARE, "db-std", *arguments, "--out", str(tmp_path / engine)]) == 0
        path = tmp_path / engine / "klein-gordon" / "db-std" / "seed0.json"
        assert Record.load(path).gradient_engine == engine
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "gradient_engine" not in line))
    assert Record.load(path).gradient_engine == ""  # as records were before


def test_a_damaged_record(tmp_path, capsys):
    arguments = [*COMPARE, "equal", "--out", str(tmp_path)]
    assert main(arguments) == 0
    path = tmp_path / "klein-gordon" / "equal" / "seed0.json"
    path.write_text(path.read_text()[:300])
    before = path.read_bytes()
    capsys.readouterr()
    for command in (arguments, ["report", str(tmp_path)]):
        assert main(command) == 2
        assert "seed0.json: not JSON" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_damaged_checkpoint(tmp_path, capsys):
    run = Run("klein-gordon", "equal", points=0.01, settings={"iterations": 20})
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, checkpoint_every=0, callbacks=[KillAt(5)])
    (path,) = run.unfinished(tmp_path).glob("adam-*.pt")
    with path.open("r+b") as file:
        file.truncate(1000)
    assert main([*COMPARE, "equal", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{path.name} is damaged" in error and len(error.splitlines()) == 1
    assert path.stat().st_size == 1000


def start(folder, *more, iterations=150):
    """The command as a user types it, in a process group of its own."""
    arguments = ["--points", "0.02", "--iterations", str(iterations)]
    arguments += ["--weights", "equal", "db-mean"]
    return subprocess.Popen(
        [sys.executable, "-m", "deepxde_balance", "compare", "klein-gordon", *arguments,
         "--seeds", "2", "--jobs", "2", "--threads", "1", "--out", str(folder), *more],
        env={**os.environ, "DDE_BACKEND": "pytorch"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_ten_random_moments(tmp_path):
    assert start(tmp_path / "unbroken").wait() == 0
    rng = random.Random(0)
    for i in range(10):
        folder = tmp_path / str(i)
        process = start(folder, "--checkpoint-every", "0.2")
        time.sleep(rng.uniform(5, 25))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert start(folder, "--checkpoint-every", "0.2").wait() == 0
        assert files(folder) == files(tmp_path / "unbroken")
        for name in files(folder):
            if name.endswith(".json"):
                assert without_times(folder / name) == without_times(tmp_path / "unbroken" / name)


@pytest.mark.slow
def test_ctrl_c_ends_cleanly(tmp_path):
    process = start(tmp_path, "--checkpoint-every", "5", iterations=100000)
    while not list(tmp_path.rglob("adam-*.pt")):
        time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error and "Stopped. Finished runs are kept" in error


@pytest.mark.slow
def test_a_dask_cluster(tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    # Points enough that the workers, too, take the engine that the tests are set to take.
    compare = [*COMPARE, "equal", "db-mean", "--threads", "1", "--points", "0.05"]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1) as cluster:
        dask = ["--backend", "dask", "--scheduler", cluster.scheduler_address, "--jobs", "-1"]
        assert main([*compare, *dask, "--out", str(tmp_path / "dask")]) == 0
    assert main([*compare, "--out", str(tmp_path / "here")]) == 0
    for name in files(tmp_path / "here"):
        if name.endswith(".json"):
            there, here = (without_times(tmp_path / f / name) for f in ("dask", "here"))
            assert there == here


def test_a_mistyped_command_does_not_block_the_right_one(tmp_path):
    """A run that never came to a checkpoint holds its place for none."""
    wrong = Run("klein-gordon", "equal", points=0.01, settings={"iterations": 40, "width": 7})
    with pytest.raises(KeyboardInterrupt):
        train(wrong, tmp_path, callbacks=[KillAt(1)])
    right = train(Run("klein-gordon", "equal", **SHORT), tmp_path)
    assert right.settings["width"] == 50


def test_the_same_run_twice_is_one(tmp_path, capsys):
    assert main([*COMPARE, "gw-mean", "ma", "lra", "--out", str(tmp_path)]) == 0
    assert files(tmp_path) == [f"klein-gordon/gw-mean/seed0.{e}" for e in ("json", "npz")]
    assert capsys.readouterr().out.count("| klein-gordon |") == 1
