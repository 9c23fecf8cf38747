"""The optimizers of compare and tune by name, above all SOAP."""

import importlib.util
from importlib.metadata import version

import deepxde as dde
import pytest
import torch
from _support.own_problem import build, build_with_solution
from pytorch_optimizer import SOAP

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.experiments.optimizers import optimizer_for
from deepxde_balance.results.record import Record


def by_hand(seed, iterations, lr, weights):
    """As a user writes it."""
    dde.config.set_random_seed(seed)
    data, net = build()
    model = ddb.Model(data, net)
    model.compile(SOAP(net.parameters(), lr=lr, weight_decay=0.0), loss_weights=weights, verbose=0)
    model.train(iterations=iterations, verbose=0)
    return model


def test_compare_with_soap(tmp_path):
    results = ddb.compare(
        build_with_solution, ["dn"], 20, seeds=2, out=tmp_path, optimizer="soap", lr=3e-3
    )
    for seed, run in enumerate(results.runs["dn"]):
        model = by_hand(seed, 20, 3e-3, "dn")
        last = dict(zip(model.loss_terms, model.losshistory.loss_train[-1], strict=True))
        assert {name: losses[-1] for name, losses in run.losses.items()} == last
        assert run.settings["optimizer"] == "soap"
        assert run.settings["lr"] == 3e-3
        assert run.versions["pytorch-optimizer"] == version("pytorch-optimizer")


def test_soap_then_lbfgs(tmp_path):
    results = ddb.compare(
        build_with_solution, ["equal"], 5, seeds=1, out=tmp_path, optimizer="soap",
        lbfgs_iterations=10,
    )  # fmt: skip
    assert results.runs["equal"][0].steps[-1] > 5


def test_another_optimizer_needs_another_folder(tmp_path):
    ddb.compare(build, ["equal"], 2, seeds=1, out=tmp_path, optimizer="soap")
    with pytest.raises(ValueError, match=r"optimizer.*soap"):
        ddb.compare(build, ["equal"], 2, seeds=1, out=tmp_path)


def test_tune_with_soap(tmp_path):
    tuned = ddb.tune(build, {"bc0": (1, 10)}, 2, 3, out=tmp_path, optimizer="soap", lr=3e-3)
    assert [run.settings["optimizer"] for call in tuned.calls for run in call.runs] == ["soap"] * 2


def test_an_unknown_name(tmp_path):
    with pytest.raises(ValueError, match=r"'shampoo' is not allowed: give one of adam.*, soap"):
        ddb.compare(build, ["equal"], 2, out=tmp_path, optimizer="shampoo")


@pytest.mark.parametrize("way", ["compare", "tune"])
def test_without_the_package(way, tmp_path, monkeypatch):
    """The error comes before anything is built or trained."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pytorch_optimizer" else find(name, *rest),
    )

    def never():
        raise AssertionError("built")

    what = ["equal"] if way == "compare" else {"bc0": (1, 10)}
    with pytest.raises(ImportError, match=r'pip install "deepxde-balance\[optimizers\]"'):
        getattr(ddb, way)(never, what, out=tmp_path / "out", optimizer="soap")
    assert not (tmp_path / "out").exists()


def test_deepxdes_own_stay_names():
    assert optimizer_for("rmsprop", 1e-3, build()[1], []) == "rmsprop"


def test_decay_of_the_network_and_none_of_the_unknowns():
    """A loss without gradient: what changes the parameters is the decay alone."""
    net = dde.nn.FNN([1, 3, 1], "tanh", "Glorot normal", regularization=["l2", 0.5])
    unknown = dde.Variable(2.0)
    soap = optimizer_for("soap", 0.1, net, [unknown])
    assert isinstance(soap, SOAP)
    before = [p.detach().clone() for p in net.parameters()]
    for _ in range(2):  # the first step of SOAP only prepares its bases
        for p in (*net.parameters(), unknown):
            p.grad = torch.zeros_like(p)
        soap.step()
    for p, was in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), was * (1 - 0.1 * 0.5))
    assert unknown.item() == 2.0


def script(tmp_path):
    path = tmp_path / "ode.py"
    path.write_text("from _support.own_problem import build\n")
    return f"{path}:build"


@pytest.mark.parametrize(
    "command",
    [["compare", "--weights", "equal"], ["tune", "--weights", "bc0=1:10", "--calls", "1"]],
)
def test_from_the_shell(command, tmp_path):
    given = ["--iterations", "2", "--seeds", "1", "--threads", "1", "--set", "lr=0.003"]
    out = ["--out", str(tmp_path / "out")]
    way, *options = command
    assert main([way, script(tmp_path), *options, *given, *out, "--optimizer", "soap"]) == 0
    (path,) = (tmp_path / "out").glob("*/seed0.json")
    settings = Record.load(path).settings
    assert (settings["optimizer"], settings["lr"]) == ("soap", 0.003)


def test_a_benchmark_problem_has_its_own_optimizer(tmp_path, capsys):
    given = ["compare", "harmonic", "--weights", "equal", "--out", str(tmp_path)]
    assert main([*given, "--optimizer", "soap"]) == 2
    assert "--optimizer is for a script" in capsys.readouterr().err
