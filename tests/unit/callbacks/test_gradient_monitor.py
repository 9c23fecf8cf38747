"""GradientMonitor against plain autograd on DeepXDE's own losses, and that it changes nothing."""

import csv
import random
import sys
import types

import deepxde as dde
import matplotlib
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.diagnostics import observation
from deepxde_balance.diagnostics.gradient_log import CsvFile, GradientLog
from deepxde_balance.terms.find_terms import find_terms

matplotlib.use("Agg")

NAMES = ["pde", "bc0", "ic1", "ic2"]


def compiled(kind=ddb.Model, optimizer="adam", lr=1e-2, **compile_args):
    model = kind(scripts.klein_gordon(), scripts.network())
    model.compile(optimizer, lr=lr, verbose=0, **compile_args)
    return model


def autograd(model):
    """Losses and their gradients of the terms at the model's parameters, by a stock model."""
    stock = dde.Model(scripts.klein_gordon(), model.net)
    stock.compile("adam", lr=1.0, verbose=0)
    _, losses = stock.outputs_losses_train(*stock.data.train_next_batch())
    parameters = list(model.net.parameters())
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        flat = [
            (torch.zeros_like(p) if g is None else g).flatten()
            for g, p in zip(found, parameters, strict=True)
        ]
        rows.append(torch.cat(flat).numpy())
    return losses.detach().numpy(), np.array(rows)


def check(monitor, losses, gradients, weights, names):
    """The last entries against numbers by name, in plain NumPy."""
    norms = np.sqrt((gradients**2).sum(axis=1))
    shares = abs(weights) * norms / (abs(weights) * norms).sum()
    for series, expected in (
        (monitor.losses, losses),
        (monitor.gradient_norms, norms),
        (monitor.weights, weights),
        (monitor.shares, shares),
    ):
        assert list(series) == list(names)
        assert [series[name][-1] for name in names] == pytest.approx(list(expected), rel=1e-9)
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            cosine = gradients[i] @ gradients[j] / (norms[i] * norms[j])
            assert monitor.cosines[a, names[j]][-1] == pytest.approx(cosine, abs=1e-9)


@pytest.mark.parametrize("how", ["stock", "equal", "numbers", "stock numbers", "dn", "callback"])
def test_numbers_are_those_of_plain_autograd(how, float64):
    kind = dde.Model if how in ("stock", "stock numbers", "callback") else ddb.Model
    numbers = [1.0, 20.0, 3.0, 0.5]
    given = {"numbers": numbers, "stock numbers": numbers, "dn": "dn"}.get(how)
    model = compiled(kind, loss_weights=given)
    monitor = ddb.GradientMonitor(period=4)
    weighting = ddb.LossWeighting("dn")
    callbacks = [monitor, weighting] if how == "callback" else [monitor]
    model.train(iterations=8, verbose=0, callbacks=callbacks)
    assert monitor.steps == [0, 4, 8]
    weights = np.array(numbers if "numbers" in how else [1.0] * 4)
    if how in ("dn", "callback"):
        weights = np.array(list(model.losshistory.loss_weights[-1].values()))
        assert len(set(weights)) == 4
        assert monitor.weights["bc0"][0] == 1
    losses, gradients = autograd(model)
    check(monitor, losses, gradients, weights, NAMES)


def test_other_groups_than_the_strategys(float64):
    """A group of terms with different weights: the norm of its weighted gradient is exact."""
    model = compiled(loss_weights=ddb.DN(scale={"ic2": 5.0}))
    monitor = ddb.GradientMonitor(4, loss_groups={"all": [0, 2], "ic": [1]})
    model.train(iterations=4, verbose=0, callbacks=[monitor])
    losses, g = autograd(model)
    losses, g = losses * [1, 1, 1, 5], g * np.array([[1, 1, 1, 5]]).T
    w = np.array(list(model.weights.values()))
    together = g[1] + g[3]
    effective = np.linalg.norm(w[1] * g[1] + w[3] * g[3]) / np.linalg.norm(together)
    check(
        monitor,
        np.array([losses[0], losses[1] + losses[3], losses[2]]),
        np.array([g[0], together, g[2]]),
        np.array([1, effective, w[2]]),
        ["pde", "all", "ic"],
    )


def test_unweighted_terms_are_shown_too(float64):
    model = compiled(loss_weights="dn", loss_groups={"bc": [0, 1], "unweighted": [2]})
    monitor = ddb.GradientMonitor(4)
    model.train(iterations=4, verbose=0, callbacks=[monitor])
    losses, g = autograd(model)
    check(
        monitor,
        np.array([losses[0], losses[1] + losses[2], losses[3]]),
        np.array([g[0], g[1] + g[2], g[3]]),
        np.array([1, model.weights["bc"], 1]),
        ["pde", "bc", "unweighted"],
    )


def states():
    return (
        random.getstate(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize(
    "how", ["stock", "stock lbfgs", "callback", "equal", "db-std", "lbfgs", "dropout"]
)
@pytest.mark.filterwarnings("ignore:The one-pass engine")  # which dropout rules out
def test_training_is_the_same_to_the_last_bit(how, optimizer_options):
    def trained(watched):
        lbfgs = "lbfgs" in how
        model = compiled(
            ddb.Model if how in ("equal", "db-std", "lbfgs", "dropout") else dde.Model,
            *(("L-BFGS", None) if lbfgs else ("adam", 1e-2)),
            loss_weights="db-std" if how in ("db-std", "dropout") else None,
        )
        if how == "dropout":
            model.net.apply_output_transform(lambda x, u: torch.nn.functional.dropout(u))
        # A stock model's targets go stale when conditions get new points, as memory happens to be.
        resampled = "stock" not in how
        callbacks = [dde.callbacks.PDEPointResampler(period=3, bc_points=resampled)]
        callbacks += [ddb.LossWeighting("db-std")] if how == "callback" else []
        callbacks += [ddb.GradientMonitor(1, {"c": [0, 1, 2]})] if watched else []
        callbacks += [ddb.GradientMonitor(2)] if watched else []
        model.train(iterations=None if lbfgs else 8, verbose=0, callbacks=callbacks)
        return scripts.parameters_of(model), states(), model.losshistory.loss_train

    optimizer_options.lbfgs.update(iter_per_step=3, fun_per_step=20, maxiter=6)
    (seen, state, losses), (unseen, other, others) = trained(True), trained(False)
    assert torch.equal(seen, unseen)
    assert state == other
    np.testing.assert_array_equal(losses, others)


def test_in_a_stock_model_deepxdes_caches_hold_deepxdes_arrays_only():
    """It caches targets by an array's id, which one of ours, once gone, would leave behind."""
    calls = []

    def target(x):
        calls.append(len(x))
        return x[:, 0:1] * x[:, 1:2]

    geom = scripts.laplace().geom
    data = scripts.laplace(geom, [dde.icbc.DirichletBC(geom, target, lambda _, on: on)])
    model = dde.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, verbose=0)
    model.train(iterations=1, verbose=0)
    before = len(calls)
    model.train(iterations=3, verbose=0, callbacks=[ddb.GradientMonitor(1)])
    ddb.diagnose(model, verbose=0)
    assert before > 0
    assert len(calls) == before


def test_under_lbfgs_it_looks_after_steps_that_cross_the_period(optimizer_options):
    optimizer_options.lbfgs.update(iter_per_step=3, fun_per_step=75, maxiter=12)
    model = compiled(optimizer="L-BFGS", lr=None)
    monitor = ddb.GradientMonitor(period=5)
    model.train(verbose=0, callbacks=[monitor])
    assert monitor.steps == [0, 6, 12]


def test_what_it_needs_is_built_once(monkeypatch):
    found = []
    original = find_terms
    monkeypatch.setattr(observation, "find_terms", lambda m: (found.append(1), original(m))[1])
    monitor = ddb.GradientMonitor(period=1)
    compiled(dde.Model).train(iterations=5, verbose=0, callbacks=[monitor])
    assert len(monitor.steps) == 6
    assert len(found) == 1


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_holds_all_of_it(tmp_path):
    path = tmp_path / "gradients.csv"
    monitor = ddb.GradientMonitor(2, csv=path)
    compiled(loss_weights="gw-std").train(iterations=4, verbose=0, callbacks=[monitor])
    rows = read(path)
    assert len(rows) == 3 * (4 * 4 + 6)
    for row in rows:
        i = monitor.steps.index(int(row["iteration"]))
        if row["quantity"] == "cosine":
            series = monitor.cosines[row["group"], row["other"]]
        else:
            names = {"loss": "losses", "gradient_norm": "gradient_norms"}
            attribute = names.get(row["quantity"], f"{row['quantity']}s")
            series = getattr(monitor, attribute)[row["group"]]
        assert float(row["value"]) == series[i]


def test_a_resumed_run_has_the_record_of_the_unbroken_one(tmp_path):
    def run(name):
        monitor = ddb.GradientMonitor(5, csv=tmp_path / f"{name}.csv", warn_ratio=1.001)
        return compiled(loss_weights="db-std"), monitor

    (whole, unbroken), (first, broken), (second, resumed) = run("a"), run("b"), run("b")
    with pytest.warns(UserWarning, match="has been more than 1.001 times"):
        whole.train(iterations=60, verbose=0, callbacks=[unbroken])
    saver = dde.callbacks.ModelCheckpoint(str(tmp_path / "m"), period=40)
    with pytest.warns(UserWarning, match="has been more than 1.001 times"):
        first.train(iterations=48, verbose=0, callbacks=[broken, saver])  # its looks go on to 45
    second.restore(str(tmp_path / "m-40.pt"))
    with pytest.warns(UserWarning, match="has been more than 1.001 times"):
        second.train(iterations=20, verbose=0, callbacks=[resumed])
    assert resumed.steps == unbroken.steps == list(range(0, 61, 5))
    assert resumed.log == unbroken.log
    assert (tmp_path / "b.csv").read_text() == (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize("cut", range(1, 26))
def test_a_last_row_that_was_not_written_to_its_end_is_dropped(cut, tmp_path):
    """Cut in its number, it may still read as one, and as another."""
    path = tmp_path / "gradients.csv"
    whole = "iteration,quantity,group,other,value\r\n0,loss,pde,,1.5\r\n"
    path.write_text((whole + "5,loss,pde,,1.2345678e-05\r\n")[:-cut], newline="")
    log = GradientLog.read(path)
    assert (log.steps, log.losses) == ([0], {"pde": [1.5]})
    CsvFile(path).append([(10, "loss", "pde", "", 0.25)])
    assert path.read_bytes().decode() == whole + "10,loss,pde,,0.25\r\n"


def test_another_model_begins_another_record(tmp_path):
    monitor = ddb.GradientMonitor(2, csv=tmp_path / "gradients.csv")
    for _ in range(2):
        compiled().train(iterations=2, verbose=0, callbacks=[monitor])
    assert monitor.steps == [0, 2]
    assert [row["iteration"] for row in read(tmp_path / "gradients.csv")] == ["0"] * 22 + ["2"] * 22


def test_a_second_training_goes_on_with_other_groups():
    model, monitor = compiled(loss_weights="db-std"), ddb.GradientMonitor(2)
    model.train(iterations=3, verbose=0, callbacks=[monitor])
    model.compile("adam", lr=1e-3, loss_weights="dn", loss_groups={"c": [0, 1, 2]}, verbose=0)
    model.train(iterations=1, verbose=0, callbacks=[monitor])
    assert monitor.steps == [0, 2, 3, 4]
    assert np.isnan(monitor.losses["bc0"]).tolist() == [False, False, True, True]
    assert np.isnan(monitor.cosines["pde", "c"]).tolist() == [True, True, False, False]


def test_it_warns_once_and_names_the_groups():
    model = compiled(loss_weights=[1.0, 1.0, 1e-5, 1.0])
    monitor = ddb.GradientMonitor(1, warn_after=3, warn_ratio=2000)
    model.train(iterations=1, verbose=0, callbacks=[monitor])
    with pytest.warns(UserWarning) as caught:
        model.train(iterations=6, verbose=0, callbacks=[monitor])
    (message,) = (str(w.message) for w in caught)
    assert "of 'ic1' has been more than 2000 times smaller than that of" in message
    assert "in 3 observations in a row, at iteration 2 " in message
    assert all(word in message for word in ('"auto"', "split_bc", "update_every"))


def weighted_ratio(monitor):
    """The largest of the groups' weighted gradient norms over the smallest, in the last look."""
    norms = [monitor.gradient_norms[n][-1] * monitor.weights[n][-1] for n in monitor.weights]
    return max(norms) / min(norms)


def test_it_does_not_warn_where_the_weights_even_it_out():
    """A factor of 1e-5 on a loss, which the strategy makes up for and numbers do not."""

    def trained(weights):
        monitor = ddb.GradientMonitor(1, warn_after=3, warn_ratio=2000)
        compiled(loss_weights=weights).train(iterations=5, verbose=0, callbacks=[monitor])
        return monitor

    with pytest.warns(UserWarning, match="of 'ic1' has been more than 2000 times"):
        assert weighted_ratio(trained([1.0, 1.0, 1e-5, 1.0])) > 2000
    strategy = ddb.EqualNorms(alpha=1.0, update_every=1, scale={"ic1": 1e-5})
    assert weighted_ratio(trained(strategy)) < 1000  # and its warning would be an error


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"period": 0}, "period=0 is not allowed"),
        ({"warn_ratio": 1}, "warn_ratio=1 is not allowed"),
        ({"warn_after": 2.5}, "warn_after=2.5 is not allowed"),
        ({"csv": __file__}, "is no CSV of a GradientMonitor"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ddb.GradientMonitor(**arguments)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ddb.GradientMonitor(csv=tmp_path / "none" / "gradients.csv")


def test_groups_that_do_not_fit():
    with pytest.raises(ValueError, match="no group for ic1, ic2"):
        compiled().train(iterations=1, verbose=0, callbacks=[ddb.GradientMonitor(1, {"bc": [0]})])


def test_tensorboard_gets_every_number(monkeypatch, tmp_path):
    written, purged = {}, []

    class SummaryWriter:
        def __init__(self, log_dir, purge_step):
            purged.append((log_dir, purge_step))

        def add_scalar(self, tag, value, step):
            written[tag, step] = value

        def flush(self):
            pass

        close = flush

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monitor = ddb.GradientMonitor(2, tensorboard=tmp_path)
    compiled().train(iterations=2, verbose=0, callbacks=[monitor])
    assert purged == [(str(tmp_path), 0)]
    assert len(written) == 2 * (4 * 4 + 6)
    assert written["gradient_norm/bc0", 2] == monitor.gradient_norms["bc0"][1]
    assert written["cosine/pde, bc0", 0] == monitor.cosines["pde", "bc0"][0]


def test_without_tensorboard(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"deepxde-balance\[tensorboard\]"):
        ddb.GradientMonitor(tensorboard=tmp_path)


def test_plots_take_a_monitor_and_its_csv(tmp_path):
    from deepxde_balance import plots

    path = tmp_path / "gradients.csv"
    monitor = ddb.GradientMonitor(1, csv=path)
    compiled(loss_weights="db-std").train(iterations=3, verbose=0, callbacks=[monitor])
    for source in (monitor, str(path), path):
        for plot, series in (
            (plots.plot_losses, monitor.losses),
            (plots.plot_weights, monitor.weights),
            (plots.plot_gradient_norms, monitor.gradient_norms),
            (plots.plot_cosines, monitor.cosines),
        ):
            ax = plot(source)
            assert len(ax.get_lines()) >= len(series) > 0
            for line, (name, values) in zip(ax.get_lines(), series.items(), strict=False):
                assert line.get_xdata().tolist() == monitor.steps
                assert line.get_ydata().tolist() == values
                assert line.get_label() == (name if isinstance(name, str) else ", ".join(name))
            matplotlib.pyplot.close("all")
    with pytest.raises(TypeError, match="int has no gradients"):
        plots.plot_cosines(3)
