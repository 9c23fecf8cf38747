"""Checkpoints: a restored run is the unbroken one, and a wrong checkpoint changes nothing."""

import os
import shutil

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.resumed import (
    KillAt,
    assert_same,
    broken_and_unbroken,
    compiled,
    pseudo_random,
    resampler,
    strategy,
)
from _support.scripts import klein_gordon, laplace, network, parameters_of

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

DYNAMIC = [n for n in ddb.weightings.names() if n not in ("equal", "keep")]


@pytest.mark.parametrize("name", DYNAMIC)
def test_resumed_is_unbroken(name, tmp_path):
    make = lambda: compiled(strategy(name), data=klein_gordon(num_test=20))  # noqa: E731
    assert_same(*broken_and_unbroken(make, resampler, tmp_path))


@pytest.mark.parametrize("engine", ["one-pass", "per-group", None])
@pytest.mark.parametrize("weights", ["equal", None, [1, 2, 3, 4]])
def test_resumed_is_unbroken_with_fixed_weights(weights, engine, tmp_path):
    make = lambda: compiled(weights, gradient_engine=engine)  # noqa: E731
    assert_same(*broken_and_unbroken(make, resampler, tmp_path))


def test_resumed_with_unknowns_and_mini_batches(tmp_path):
    def make():
        dde.config.set_random_seed(1)
        unknown = dde.Variable(2.0)
        data = laplace(
            geom=(geom := dde.geometry.Rectangle([0, 0], [1, 1])),
            bcs=[
                dde.icbc.PointSetBC(
                    (points := geom.random_points(20)), points[:, 0:1], batch_size=6
                ),
                dde.icbc.OperatorBC(
                    geom, lambda x, u, _: u * unknown - x[:, 0:1], lambda _, on: on
                ),
            ],
            train_distribution="pseudo",
        )
        model = compiled(strategy("db-mean"), data, external_trainable_variables=unknown)
        model.unknown = unknown
        return model

    models = []

    def remembered():
        models.append(make())
        return models[-1]

    assert_same(*broken_and_unbroken(remembered, resampler, tmp_path))
    unbroken, _, resumed = (model.unknown.item() for model in models)
    assert unbroken == resumed != 2.0


def test_resumed_by_train_itself(tmp_path):
    unbroken = compiled()
    unbroken.train(iterations=7, verbose=0)
    unbroken.train(iterations=5, verbose=0)
    first = compiled()
    first.train(iterations=7, model_save_path=str(tmp_path / "run"), verbose=0)
    second = compiled()
    second.train(iterations=5, model_restore_path=str(tmp_path / "run-7.pt"), verbose=0)
    assert torch.equal(parameters_of(unbroken), parameters_of(second))
    assert second.weights == unbroken.weights
    assert second.losshistory.steps == unbroken.losshistory.steps == [0, 7, 7, 12]


@pytest.fixture
def lbfgs_of_four_steps(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=5)


def test_resumed_in_the_second_phase(tmp_path, lbfgs_of_four_steps):
    """Adam, then L-BFGS with the weights kept, interrupted in the middle of L-BFGS."""

    def phases(callbacks=()):
        model = compiled(strategy("db-kurtosis"))
        model.train(iterations=10, model_save_path=str(tmp_path / "adam"), verbose=0)
        kept = model.weights
        model.compile("L-BFGS", loss_weights="keep", verbose=0)
        model.train(callbacks=list(callbacks), verbose=0)
        assert model.weights == kept
        return model

    unbroken = phases()
    assert unbroken.train_state.step == 30
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "lbfgs"))
    with pytest.raises(KeyboardInterrupt):
        phases([saving, KillAt(25)])
    resumed = compiled(strategy("db-kurtosis"))
    resumed.restore(str(tmp_path / "adam-10.pt"))
    resumed.compile("L-BFGS", loss_weights="keep", verbose=0)
    resumed.restore(str(tmp_path / "lbfgs-20.pt"))
    resumed.train(verbose=0)
    assert resumed.train_state.step == 30
    assert torch.equal(parameters_of(unbroken), parameters_of(resumed))


def test_deepxde_and_a_plain_file_reader_read_ours(tmp_path):
    model = compiled()
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    assert path == str(tmp_path / "run-3.pt")
    torch.load(path, weights_only=True)
    stock = dde.Model(klein_gordon(), network(seed=5))
    stock.compile("adam", lr=1e-3, verbose=0)
    stock.restore(path)
    assert torch.equal(parameters_of(stock), parameters_of(model))
    assert_same(stock.opt.state_dict()["state"], model.opt.state_dict()["state"])


def test_a_plain_checkpoint_starts_the_weights_afresh(tmp_path):
    stock = dde.Model(klein_gordon(), network(seed=5))
    stock.compile("adam", lr=1e-3, verbose=0)
    stock.train(iterations=3, verbose=0)
    path = stock.save(str(tmp_path / "stock"))
    model = compiled()
    model.train(iterations=3, verbose=0)
    with pytest.warns(UserWarning, match="afresh") as warned:
        model.restore(path)
    assert len(warned) == 1
    assert torch.equal(parameters_of(stock), parameters_of(model))
    assert set(model.weights.values()) == {1.0}
    assert model.weighting.due()


def different(what):
    arguments = {
        "network": {"net": network((2, 9, 8, 1))},
        "depth": {"net": network((2, 8, 8, 8, 1))},
        "strategy": {"weights": "db-mean"},
        "guard": {"weights": "db-kurtosis:guard=growth"},
        "average": {"weights": ddb.GradientWeighting("kurtosis", "difficulty", ddb.EMA())},
        "equal": {"weights": "equal"},
        "groups": {"loss_groups": {"bc": [0], "ic": [1, 2]}},
        "scale": {"weights": ddb.DB("kurtosis", scale={"bc0": 2})},
        "decay": {"decay": None},
        "unknowns": {"external_trainable_variables": [dde.Variable(1.0)]},
    }
    return compiled(**arguments[what])


@pytest.mark.parametrize(
    "what, message",
    [
        ("network", r"linears.0.weight has shape \[8, 2\], the model's \[9, 2\]"),
        ("depth", "only the model has the parameter linears.3"),
        ("strategy", r"strategy is Kurtosis\(\) .*, the model's MaxMean\(\)"),
        ("guard", r"strategy is Kurtosis\(\) .*RunningMean, the model's .* x Growth"),
        ("average", "RunningMean, the model's .* x EMA"),
        ("equal", "the model's Equal"),
        ("groups", r"groups are .*'bc0': \['bc0'\].*, the model's .*'ic': \['ic1', "),
        ("scale", r"static factors are \[1.0, 1.0, 1.0, 1.0\], the model's \[1.0, 2.0"),
        ("decay", "decay of the learning rate is StepLR, the model's None"),
        ("unknowns", "0 external variable.*, the model has"),
    ],
)
def test_a_checkpoint_of_another_model(what, message, tmp_path):
    model = compiled()
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    other = different(what)
    other.train(iterations=2, verbose=0)
    before = [parameters_of(other), other.weights, other.opt.state_dict()["state"]]
    copies = [parameters_of(other).clone(), dict(other.weights), other.train_state.step]
    with pytest.raises(ddb.CheckpointError, match=message):
        other.restore(path)
    assert torch.equal(before[0], copies[0]) and torch.equal(parameters_of(other), copies[0])
    assert other.weights == copies[1] and other.train_state.step == copies[2]
    other.train(iterations=1, verbose=0)
    assert other.train_state.step == 3


def test_another_optimizer(tmp_path):
    model = compiled()
    path = model.save(str(tmp_path / "run"))
    model.compile("sgd", lr=1e-3, loss_weights="db-kurtosis", verbose=0)
    with pytest.raises(ddb.CheckpointError, match="optimizer is Adam, the model's SGD"):
        model.restore(path)


def test_the_network_alone_is_loaded_under_any_compile(tmp_path):
    model = compiled()
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    x = model.data.train_x_all
    for other in ("optimizer", "strategy", "problem", "none"):
        new = ddb.Model(laplace() if other == "problem" else klein_gordon(), network(seed=5))
        if other == "optimizer":
            new.compile("L-BFGS", loss_weights="db-kurtosis", verbose=0)
        elif other != "none":
            new.compile("adam", lr=1e-3, loss_weights="uw", verbose=0)
            new.train(iterations=1, verbose=0)
            with pytest.raises(ddb.CheckpointError, match=r"restore\(path, network_only=True\)"):
                new.restore(path)
        weights = new.weights
        new.restore(path, network_only=True)
        assert torch.equal(parameters_of(new), parameters_of(model)) and new.weights == weights
        assert new.train_state.step == (other in ("strategy", "problem"))
        if other != "none":
            np.testing.assert_array_equal(new.predict(x), model.predict(x))
    wider = ddb.Model(klein_gordon(), network((2, 9, 8, 1)))
    before = parameters_of(wider).clone()
    with pytest.raises(ddb.CheckpointError, match=r"of another network: its parameter lin.*9, 2\]"):
        wider.restore(path, network_only=True)
    assert torch.equal(parameters_of(wider), before)
    wider.compile("adam", lr=1e-3, loss_weights="db-kurtosis", verbose=0)
    with pytest.raises(ddb.CheckpointError) as refused:
        wider.restore(path)
    assert "network_only" not in str(refused.value)  # it would not help


def test_other_hyperparameters_are_told(tmp_path):
    path = compiled(ddb.DB("mean", update_every=10)).save(str(tmp_path / "run"))
    model = compiled(ddb.DB("mean", update_every=20))
    with pytest.warns(UserWarning, match="update_every=10 there, 20 here"):
        model.restore(path)
    assert model.weighting.update_every == 20


def truncate(path):
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) // 2)


def flip_a_bit_of_the_parameters(path):
    model = compiled()
    model.net.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"])
    with open(path, "rb") as file:
        content = bytearray(file.read())
    position = content.find(model.net.linears[1].weight.detach().numpy().tobytes())
    assert position > 0
    content[position + 3] ^= 1
    with open(path, "wb") as file:
        file.write(content)


def overwrite(path):
    with open(path, "w") as file:
        file.write("not a checkpoint")


def foreign(path):
    torch.save({"weights": torch.zeros(3)}, path)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit_of_the_parameters, overwrite, foreign])
def test_a_damaged_checkpoint(damage, tmp_path):
    model = compiled()
    model.train(iterations=2, verbose=0)
    path = model.save(str(tmp_path / "run"))
    damage(path)
    other = compiled()
    before = parameters_of(other)
    with pytest.raises(ddb.CheckpointError, match=r"run-2\.pt is (damaged or )?no checkpoint|dam"):
        other.restore(path)
    assert torch.equal(parameters_of(other), before)
    assert other.train_state.step == 0


def test_a_failure_half_way_leaves_the_model_untouched(tmp_path):
    """The optimizer's state is of the right kind, but has the wrong number of parameters."""
    model = compiled()
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["optimizer_state_dict"]["param_groups"][0]["params"].pop()
    torch.save(checkpoint, path)
    other = compiled()
    other.train(iterations=2, verbose=0)
    before = parameters_of(other)
    with pytest.raises(ddb.CheckpointError, match="can't be restored"):
        other.restore(path)
    assert torch.equal(parameters_of(other), before)
    assert other.train_state.step == 2


def test_no_checkpoint_and_not_compiled(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        compiled().restore(str(tmp_path / "nothing.pt"))
    with pytest.raises(ValueError, match="Compile the model"):
        ddb.Model(klein_gordon(), network()).restore(str(tmp_path / "nothing.pt"))


def test_a_killed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = compiled()
    path = model.save(str(tmp_path / "run"))
    shutil.copy(path, tmp_path / "copy")

    def killed(_, file):
        with open(file, "wb") as handle:
            handle.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        model.save(str(tmp_path / "run"))
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "run-0.pt").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["copy", "run-0.pt"]


def test_saved_again_before_training(tmp_path):
    """A restored model that is saved at once gives the same checkpoint."""
    make = lambda: compiled("db-mean", data=pseudo_random())  # noqa: E731
    unbroken = make()
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "a"), period=7)
    unbroken.train(iterations=14, callbacks=[*resampler(), saving], verbose=0)
    second = make()
    second.restore(str(tmp_path / "a-7.pt"))
    path = second.save(str(tmp_path / "b"))
    dde.config.set_random_seed(5)
    third = make()
    third.restore(path)
    third.train(iterations=7, callbacks=resampler(), verbose=0)
    assert torch.equal(parameters_of(third), parameters_of(unbroken))


def test_compiled_between_restore_and_train(tmp_path):
    """The second phase draws what it would have drawn without the break."""

    def second_phase(model):
        model.compile("sgd", lr=1e-4, loss_weights="keep", verbose=0)
        model.train(iterations=8, callbacks=resampler(), verbose=0)
        return parameters_of(model)

    model = compiled("db-mean", data=pseudo_random())
    model.train(iterations=7, callbacks=resampler(), verbose=0)
    path = model.save(str(tmp_path / "run"))
    expected = second_phase(model)
    dde.config.set_random_seed(5)
    other = compiled("db-mean", data=pseudo_random())
    other.restore(path)
    assert torch.equal(second_phase(other), expected)


def test_a_stock_checkpoint_of_another_optimizer(tmp_path):
    stock = dde.Model(klein_gordon(), network(seed=5))
    stock.compile("sgd", lr=1e-3, verbose=0)
    path = stock.save(str(tmp_path / "stock"))
    model = compiled()
    before = parameters_of(model)
    with pytest.raises(ddb.CheckpointError, match="its optimizer has the options"):
        model.restore(path)
    assert torch.equal(parameters_of(model), before)


@pytest.mark.parametrize("weights", ["dn", "sa"])
def test_a_phase_with_kept_weights(weights, tmp_path, optimizer_options):
    """Interrupted in the middle of L-BFGS; all that a new process has is that file."""
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=5)
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
    model.train(iterations=5, verbose=0)
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "lbfgs"))
    model.train(callbacks=[saving], verbose=0)

    fresh = ddb.Model(scripts.klein_gordon(), scripts.network(seed=3))
    fresh.compile("L-BFGS", verbose=0)
    fresh.restore(str(tmp_path / "lbfgs-15.pt"))
    assert fresh.weights == model.weights
    fresh.train(verbose=0)
    assert fresh.train_state.step == 25
    assert torch.equal(scripts.parameters_of(fresh), scripts.parameters_of(model))
    assert fresh.losshistory.loss_weights == model.losshistory.loss_weights

    with pytest.raises(ValueError, match="compile without loss_weights and restore it"):
        fresh = ddb.Model(scripts.klein_gordon(), scripts.network())
        fresh.compile("L-BFGS", loss_weights="keep", verbose=0)


def test_a_phase_with_kept_weights_of_other_conditions(tmp_path):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="dn", verbose=0)
    model.train(iterations=2, verbose=0)
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    path = model.save(str(tmp_path / "run"))
    other = ddb.Model(scripts.laplace(), scripts.network())
    other.compile("adam", lr=1e-3, verbose=0)
    step = other.train_step
    with pytest.raises(ddb.CheckpointError, match="ic1"):
        other.restore(path)
    assert other.train_step == step
    assert other.weights == {}


def test_another_format_is_refused_by_its_number_whatever_is_in_it(tmp_path):
    model = compiled()
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))
    saved = torch.load(path, weights_only=True)
    ours = saved["deepxde_balance"]
    ours["format"], ours["weights"] = 99, ours.pop("weighting")  # an entry has another name
    torch.save(saved, path)
    with pytest.raises(
        ddb.CheckpointError, match=r"format 99, this version reads the formats 4 to 9"
    ):
        compiled().restore(path)


def test_kept_weights_of_other_terms_are_refused_by_name(tmp_path):
    model = compiled()
    model.train(iterations=1, verbose=0)
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))
    other = ddb.Model(laplace(), network())
    other.compile("adam", lr=1e-3, verbose=0)
    with pytest.raises(
        ddb.CheckpointError, match=r"weights are of the terms .*ic1.* model's terms"
    ):
        other.restore(path)
