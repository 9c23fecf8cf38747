"""The page about a training, against what the model and the monitor hold."""

import deepxde as dde
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

import deepxde_balance as ddb
from deepxde_balance import plots

OMEGA = 2 * np.pi


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def oscillator(strategy, model_class=ddb.Model):
    geom = dde.geometry.TimeDomain(0, 1)
    start = dde.icbc.IC(geom, lambda t: np.ones((len(t), 1)), lambda t, on: on)
    rest = dde.icbc.OperatorBC(
        geom, lambda t, u, _: dde.grad.jacobian(u, t), lambda t, on: on and t[0] == 0
    )

    def ode(t, u):
        return dde.grad.hessian(u, t) + OMEGA**2 * u

    data = dde.data.PDE(geom, ode, [start, rest], num_domain=12, num_boundary=2)
    model = model_class(data, dde.nn.FNN([1, 6, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0, **({} if strategy is None else strategy))
    return model


def lines(ax):
    """The curves by label: colour and values."""
    return {
        line.get_label(): (to_hex(line.get_color()), np.asarray(line.get_ydata()))
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_the_curves_are_those_of_the_monitor():
    model = oscillator({"loss_weights": "dn", "loss_groups": {"start": [0, 1]}})
    monitor = ddb.GradientMonitor(period=2)
    model.train(iterations=6, callbacks=[monitor], display_every=2, verbose=0)
    figure = plots.summary(model, monitor)
    quantities = (monitor.losses, monitor.weights, monitor.shares)
    for ax, of_monitor in zip(figure.axes, quantities, strict=False):
        drawn = lines(ax)
        assert list(drawn) == ["pde", "start"]
        for name, values in of_monitor.items():
            assert drawn[name][1] == pytest.approx(values)
        assert [color for color, _ in drawn.values()] == [c.lower() for c in plots.COLORS[:2]]
    (cosines,) = lines(figure.axes[3]).values()
    assert cosines[1] == pytest.approx(monitor.cosines["pde", "start"])
    assert "iteration 6" in figure.get_suptitle()


def test_without_a_monitor_losses_are_added_up_by_group_and_shares_are_of_now():
    model = oscillator({"loss_weights": "dn", "loss_groups": {"start": [0, 1]}})
    model.train(iterations=6, display_every=2, verbose=0)
    figure = plots.summary(model)
    losses = np.array(model.losshistory.loss_train)
    drawn = lines(figure.axes[0])
    assert drawn["pde"][1] == pytest.approx(losses[:, 0])
    assert drawn["start"][1] == pytest.approx(losses[:, 1] + losses[:, 2])
    shares = [bar.get_height() for bar in figure.axes[2].patches if isinstance(bar, Rectangle)]
    assert sum(shares) == pytest.approx(1) and len(shares) == 2
    last = ddb.diagnose(model)
    norms = np.array(last.weights) * np.array(last.gradient_norms)
    assert shares == pytest.approx(norms / norms.sum())


def test_the_residual_is_that_of_the_network(tmp_path):
    """A network that is 0 everywhere but for its last bias b: the residual is w^2 b."""
    model = oscillator(None, dde.Model)
    for parameter in model.net.parameters():
        parameter.data.zero_()
    list(model.net.parameters())[-1].data.fill_(-0.5)
    model.train(iterations=0, verbose=0)
    figure = plots.summary(model, coordinates=["t in s"])
    residual = figure.axes[4]
    assert residual.get_xlabel() == "t in s"
    assert residual.lines[0].get_ydata() == pytest.approx(0.5 * OMEGA**2, rel=1e-6)
    figure.savefig(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_in_the_plane_coordinates_have_names():
    problem = ddb.problems.get("klein-gordon", points=0.005)
    model = problem.model("equal", verbose=0)
    model.train(iterations=2, display_every=1, verbose=0)
    residual = plots.summary(model).axes[4]
    assert (residual.get_xlabel(), residual.get_ylabel()) == ("x", "t")
    offsets = residual.collections[0].get_offsets()
    assert np.shape(offsets)[0] == len(model.data.train_x_all)


def test_without_a_residual_a_panel_says_so():
    geom = dde.geometry.Interval(0, 1)
    x = np.linspace(0, 1, 5)[:, None]
    data = dde.data.PDE(geom, None, [dde.icbc.PointSetBC(x, x**2), dde.icbc.PointSetBC(x, x)])
    model = ddb.Model(data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=2, display_every=1, verbose=0)
    figure = plots.summary(model)
    assert "no residual" in figure.axes[4].texts[0].get_text()
    assert list(lines(figure.axes[0])) == ["data0", "data1"]


def test_what_is_refused():
    model = oscillator({"loss_weights": "dn"})
    model.train(iterations=2, verbose=0)
    with pytest.raises(TypeError, match="has no gradients"):
        plots.summary(model, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="coordinates=\\[\\] is not allowed"):
        plots.summary(model, coordinates=[])
    with pytest.raises(ValueError, match="not compiled"):
        plots.summary(ddb.Model(model.data, model.net))


def test_what_has_nothing_to_show_is_refused():
    model = oscillator({"loss_weights": "dn"})
    with pytest.raises(ValueError, match="not trained yet"):
        plots.summary(model)
    with pytest.raises(ValueError, match="monitor is empty"):
        plots.summary(model, ddb.GradientMonitor())
    with pytest.raises(TypeError, match="model=GradientMonitor is not allowed"):
        plots.summary(ddb.GradientMonitor(), model)


def test_with_auxiliary_variables_there_is_no_residual():
    geom = dde.geometry.Interval(0, 1)
    data = dde.data.PDE(
        geom,
        lambda x, u, f: dde.grad.hessian(u, x) - f,
        dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on),
        num_domain=20,
        num_boundary=2,
        auxiliary_var_function=np.sin,
    )
    model = ddb.Model(data, dde.nn.FNN([1, 5, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    monitor = ddb.GradientMonitor(period=2)
    model.train(iterations=4, callbacks=[monitor], verbose=0)
    figure = plots.summary(model, monitor)
    assert figure.axes[4].texts and not figure.axes[4].collections
