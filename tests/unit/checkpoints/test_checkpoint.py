"""Checkpoints: a restored run is the unbroken one, and a wrong checkpoint changes nothing."""

import copy
import os
import shutil

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.scripts import klein_gordon, laplace, network, parameters_of

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

DYNAMIC = [n for n in ddb.weightings.names() if n not in ("equal", "keep")]
TERMS = 4


def compiled(weights="db-kurtosis", data=None, net=None, **arguments):
    model = ddb.Model(data or klein_gordon(), net or network())
    arguments = {"lr": 1e-3, "decay": ("step", 7, 0.5), "verbose": 0} | arguments
    model.compile("adam", loss_weights=weights, **arguments)
    return model


def strategy(name):
    """Updates every 4 iterations, so that a checkpoint after 17 is between two updates."""
    return ddb.weightings.get(name, update_every=4)


def everything(model):
    """All that two equal runs have in common; copies, for a model may go on or back."""
    history, weighting = model.losshistory, model.weighting
    state = {
        "parameters": parameters_of(model),
        "optimizer": model.opt.state_dict(),
        "learning rate": model.opt.param_groups[0]["lr"],
        "weights": model.weights,
        "weighting": weighting.state_dict() if weighting and weighting.dynamic else None,
        "points": [model.data.train_x, model.data.train_x_bc],
        "steps": history.steps,
        "losses": [*history.loss_train, *history.loss_test],
        "recorded weights": history.loss_weights,
        "iteration": (model.train_state.iteration, model.train_state.step),
        "best": (model.train_state.best_step, model.train_state.best_loss_train),
        "random": (np.random.rand(3), torch.rand(3)),
    }
    return copy.deepcopy(state)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b)
    else:
        assert a == b


class StopAt(dde.callbacks.Callback):
    """Stands for a kill: ends training before the iteration that it was to end with."""

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_end(self):
        self.model.stop_training = self.model.train_state.iteration >= self.iteration


class KillAt(dde.callbacks.Callback):
    """Ends everything, as Ctrl-C does, before the checkpoint of that iteration."""

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_end(self):
        if self.model.train_state.iteration >= self.iteration:
            raise KeyboardInterrupt


def broken_and_unbroken(make, callbacks, folder, total=30, stop=17):
    """Trains once through, and once killed after a checkpoint and taken up by a fresh model."""
    unbroken = make()
    unbroken.train(iterations=total, display_every=5, callbacks=callbacks(), verbose=0)
    expected = everything(unbroken)
    first = make()
    saving = dde.callbacks.ModelCheckpoint(str(folder / "run"), period=stop)
    first.train(
        iterations=total,
        display_every=5,
        callbacks=[saving, *callbacks(), StopAt(stop + 2)],
        verbose=0,
    )
    dde.config.set_random_seed(99)  # another process
    second = make()
    second.restore(str(folder / f"run-{stop}.pt"))
    assert second.train_state.step == stop
    second.train(iterations=total - stop, display_every=5, callbacks=callbacks(), verbose=0)
    return expected, everything(second)


def resampler():
    return [dde.callbacks.PDEPointResampler(period=6, bc_points=True)]


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


def test_lbfgs_trained_twice_counts_each_iteration_once(lbfgs_of_four_steps):
    model = compiled("equal")
    model.compile("L-BFGS", loss_weights="equal", verbose=0)
    model.train(verbose=0)
    model.train(verbose=0)
    assert model.train_state.step == 40


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


def test_early_stopping_and_best_go_on(tmp_path):
    """EarlyStopping counts on: with patience 20 both runs stop at the same iteration."""

    def run(*more, resume=None):
        model = compiled("db-mean", lr=0.5, decay=None)
        if resume is not None:
            model.restore(str(resume))
        model.train(
            iterations=200 - model.train_state.step,
            display_every=2,
            callbacks=[dde.callbacks.EarlyStopping(patience=20), *more],
            verbose=0,
        )
        return model

    unbroken = run()
    stopped = unbroken.train_state.step
    assert 20 < stopped < 200
    saved_at = stopped - 5
    run(dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=saved_at))
    resumed = run(resume=tmp_path / f"run-{saved_at}.pt")
    assert resumed.train_state.step == stopped
    assert resumed.train_state.best_step == unbroken.train_state.best_step


def pseudo_random():
    """A problem of two conditions whose points are drawn anew, from NumPy's random state."""
    dde.config.set_random_seed(42)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1] * x[:, 1:2], lambda _, on: on),
        dde.icbc.OperatorBC(
            geom, lambda x, u, _: dde.grad.jacobian(u, x, j=0) - x[:, 1:2], lambda _, on: on
        ),
    ]
    return laplace(geom, bcs, num_domain=40, num_boundary=24, train_distribution="pseudo")


@pytest.mark.parametrize("resampled_every, stop", [(5, 5), (4, 8), (6, 17)])
@pytest.mark.parametrize("name", ["sa", "db-norm"])
def test_resumed_at_a_resample(name, resampled_every, stop, tmp_path):
    def make():
        return compiled(strategy(name), data=pseudo_random())

    def callbacks():
        return [dde.callbacks.PDEPointResampler(period=resampled_every, bc_points=True)]

    assert_same(*broken_and_unbroken(make, callbacks, tmp_path, stop=stop))


@pytest.mark.parametrize("name", ["sa", "db-mean", "uw"])
def test_a_model_goes_back_to_its_checkpoint(name, tmp_path):
    model = compiled(strategy(name), data=pseudo_random())
    model.train(iterations=6, callbacks=resampler(), verbose=0)
    path = model.save(str(tmp_path / "run"))
    model.train(iterations=9, callbacks=resampler(), verbose=0)
    expected = everything(model)
    model.restore(path)
    assert model.train_state.step == 6
    model.train(iterations=9, callbacks=resampler(), verbose=0)
    assert_same(expected, everything(model))


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


def test_between_two_trains_the_second_begins_as_ever(tmp_path):
    """EarlyStopping starts to count afresh in each train, also after a restore."""

    def stopping():
        return [dde.callbacks.EarlyStopping(patience=3)]

    def first():
        model = compiled("db-mean", lr=0.5, decay=None)
        model.train(iterations=6, callbacks=stopping(), verbose=0)
        return model

    unbroken = first()
    unbroken.train(iterations=20, callbacks=stopping(), verbose=0)
    path = first().save(str(tmp_path / "run"))
    resumed = compiled("db-mean", lr=0.5, decay=None)
    resumed.restore(path)
    resumed.train(iterations=20, callbacks=stopping(), verbose=0)
    assert resumed.train_state.step == unbroken.train_state.step


def test_buffers_of_the_network_are_those_of_the_unbroken_run(tmp_path):
    class Normalized(torch.nn.Module):
        regularizer = None
        auxiliary_vars = None

        def __init__(self):
            super().__init__()
            dde.config.set_random_seed(0)
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(2, 8),
                torch.nn.BatchNorm1d(8),
                torch.nn.Tanh(),
                torch.nn.Linear(8, 1),
            )

        def forward(self, x):
            return self.layers(x)

    models = []

    def make():
        models.append(compiled("db-norm", data=pseudo_random(), net=Normalized()))
        return models[-1]

    expected, found = broken_and_unbroken(make, lambda: [], tmp_path)
    assert_same(expected["parameters"], found["parameters"])
    for a, b in zip(models[0].net.buffers(), models[2].net.buffers(), strict=True):
        assert torch.equal(a, b)


def test_other_numbers_of_points_are_told(tmp_path):
    path = compiled(data=laplace(num_domain=40), weights="dn").save(str(tmp_path / "run"))
    model = compiled(data=laplace(num_domain=80), weights="dn")
    with pytest.warns(UserWarning, match=r"training points, of shape \(88, 2\), replace"):
        model.restore(path)


def test_a_stock_checkpoint_of_another_optimizer(tmp_path):
    stock = dde.Model(klein_gordon(), network(seed=5))
    stock.compile("sgd", lr=1e-3, verbose=0)
    path = stock.save(str(tmp_path / "stock"))
    model = compiled()
    before = parameters_of(model)
    with pytest.raises(ddb.CheckpointError, match="its optimizer has the options"):
        model.restore(path)
    assert torch.equal(parameters_of(model), before)


def test_a_callback_whose_state_cannot_be_saved(tmp_path):
    class Odd(dde.callbacks.Callback):
        def state_dict(self):
            return {"where": tmp_path}

    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=1)
    with pytest.raises(TypeError, match="state_dict of the callback Odd can't be saved"):
        compiled().train(iterations=2, callbacks=[Odd(), saving], verbose=0)
    assert not os.listdir(tmp_path)


def test_a_failed_compile_leaves_the_model_as_it_was():
    model = compiled("db-mean")
    before = dict(vars(model))
    with pytest.raises(NotImplementedError):
        model.compile("adam", lr=1e-3, loss_weights=[1, 2, 3, 4], decay=("none", 1), verbose=0)
    assert all(vars(model)[name] is value for name, value in before.items())
