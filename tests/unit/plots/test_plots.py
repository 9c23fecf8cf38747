"""What the plots draw, against the data and against values worked by hand."""

import math

import deepxde as dde
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from _support.records import content, write_run
from _support.scripts import klein_gordon, network

import deepxde_balance as ddb
from deepxde_balance import plots
from deepxde_balance.results.record import Record, write_json


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def record_of(folder, name="run.json", **kwargs):
    write_json(folder / name, content(**kwargs))
    return Record.load(folder / name)


def with_errors(folder, seed, values, steps=(0, 10, 20)):
    """A record whose L2RE are these; None where it had diverged."""
    n = len(steps)
    series = {"losses": {"pde0": [1.0] * n}, "groups": {"pde": ["pde0"]}, "loss_weights": {}}
    errors = {"L2RE": values, "MAE": values}
    changes = {"steps": steps, "errors": errors, "final": {"L2RE": values[-1]}, **series}
    return record_of(folder, f"{seed}.json", seed=seed, **changes)


def x_of(line):
    return np.asarray(line.get_xdata())


def y_of(line):
    return np.asarray(line.get_ydata())


def xy_of(line):
    return np.asarray(line.get_xydata())


def curves(ax):
    return {line.get_label(): y_of(line) for line in ax.lines}


def test_point_weights_over_the_domain():
    model = ddb.Model(klein_gordon(), network())
    model.compile(
        "adam", lr=1e-3, point_weights={"pde": "rba", "bc0": lambda x: 1 + x[:, 0]}, verbose=0
    )
    with pytest.raises(ValueError, match="no point weights yet"):
        plots.plot_point_weights(model)
    model.train(iterations=3, verbose=0)
    ax = plots.plot_point_weights(model)
    (scattered,) = ax.collections
    np.testing.assert_allclose(np.asarray(scattered.get_offsets()), model.data.train_x_all)
    np.testing.assert_array_equal(scattered.get_array(), model.point_weights["pde"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "t")
    (scattered,) = plots.plot_point_weights(model, "bc0").collections
    points = np.asarray(scattered.get_offsets())
    np.testing.assert_allclose(np.asarray(scattered.get_array()), 1 + points[:, 0])
    with pytest.raises(ValueError, match="give one of pde, bc0"):
        plots.plot_point_weights(model, "ic")


def test_point_weights_of_a_stock_model():
    model = dde.Model(klein_gordon(), network())
    model.compile("adam", lr=1e-3, verbose=0)
    callback = ddb.LossWeighting("equal", point_weights={"bc0": lambda x: 1 + x[:, 0]})
    model.train(iterations=1, callbacks=[callback], verbose=0)
    (scattered,) = plots.plot_point_weights(model).collections
    points = np.asarray(scattered.get_offsets())
    np.testing.assert_allclose(np.asarray(scattered.get_array()), 1 + points[:, 0])


def test_point_weights_in_one_dimension():
    model = ddb.problems.get("harmonic").model("equal", verbose=0)
    model.compile("adam", lr=1e-3, point_weights={"pde": lambda t: t[:, 0] ** 2}, verbose=0)
    model.train(iterations=1, verbose=0)
    ax = plots.plot_point_weights(model, coordinates=["t"])
    t, weights = np.asarray(ax.collections[0].get_offsets()).T
    np.testing.assert_allclose(weights, t**2, rtol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("t", "weight of pde")


def test_losses_and_weights_of_a_record(tmp_path):
    record = record_of(tmp_path)
    drawn = curves(plots.plot_losses(record))
    assert list(drawn) == ["pde0", "bc0", "bc1", "ic2", "ic3"]
    for name, values in drawn.items():
        np.testing.assert_array_equal(values, record.losses[name])
    ax = plots.plot_weights(record)
    np.testing.assert_array_equal(curves(ax)["ic"], record.loss_weights["ic"])
    np.testing.assert_array_equal(x_of(ax.lines[0]), record.steps)
    assert ax.get_yscale() == "log"


def test_losses_and_weights_of_a_model_and_of_its_history():
    model = ddb.Model(klein_gordon(), network())
    model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    history, _ = model.train(iterations=4, display_every=2, verbose=0)
    drawn = curves(plots.plot_losses(model))
    assert list(drawn) == model.loss_terms
    np.testing.assert_array_equal(list(drawn.values()), np.array(history.loss_train).T)
    np.testing.assert_array_equal(
        list(curves(plots.plot_losses(history)).values()), list(drawn.values())
    )
    for source in (model, history):
        drawn = curves(plots.plot_weights(source))
        assert list(drawn) == list(model.weights)
        assert [w[-1] for w in drawn.values()] == list(model.weights.values())


def test_losses_of_a_mapping_and_of_nonsense():
    ax = plots.plot_losses({"pde": [3.0, 2.0], "bc": [1.0, 0.5]})
    np.testing.assert_array_equal(curves(ax)["bc"], [1.0, 0.5])
    np.testing.assert_array_equal(x_of(ax.lines[0]), [0, 1])
    with pytest.raises(TypeError, match="int is no source of curves"):
        plots.plot_losses(3)
    with pytest.raises(ValueError, match="'bc' has shape"):
        plots.plot_losses({"pde": [3.0, 2.0], "bc": [1.0]})


def test_errors_mean_and_range(tmp_path):
    runs = [with_errors(tmp_path, s, v) for s, v in enumerate(([4, 2, 1], [6, 4, 1], [8, 3, 4]))]
    ax = plots.plot_errors(runs, label="here")
    np.testing.assert_allclose(curves(ax)["here"], [6, 3, 2])
    assert edges_of_band(ax) == {0: (4, 8), 10: (2, 4), 20: (1, 4)}
    assert ax.get_yscale() == "log"


def test_errors_band_of_one_standard_deviation(tmp_path):
    runs = [with_errors(tmp_path, s, v) for s, v in enumerate(([4, 2, 1], [6, 4, 1], [8, 3, 4]))]
    ax = plots.plot_errors(runs, band=plots.mean_std)
    band = edges_of_band(ax)
    assert band[0] == pytest.approx((4, 8))  # mean 6, squares 4 + 0 + 4 over n - 1 = 2
    assert band[10] == pytest.approx((2, 4))
    assert band[20] == pytest.approx((2 - math.sqrt(3), 2 + math.sqrt(3)))
    assert [edge.tolist() for edge in plots.mean_std(np.array([[5.0]]))] == [[5.0], [5.0]]


def test_errors_without_a_band(tmp_path):
    runs = [with_errors(tmp_path, s, v) for s, v in enumerate(([4, 2, 1], [6, 4, 1]))]
    ax = plots.plot_errors(runs, band=None, label="here")
    np.testing.assert_allclose(curves(ax)["here"], [5, 3, 1])
    assert not ax.collections


def test_errors_of_a_diverged_run_count_as_long_as_it_lasts(tmp_path):
    runs = [with_errors(tmp_path, 0, [4, 2, 1]), with_errors(tmp_path, 1, [8, 6, None])]
    ax = plots.plot_errors(runs, label="here")
    line, cross = ax.lines
    assert line.get_label() == "here (1 of 2 diverged)"
    np.testing.assert_allclose(y_of(line), [6, 4, 1])
    assert (cross.get_marker(), *x_of(cross), *y_of(cross)) == ("x", 10, 6)
    with pytest.raises(ValueError, match="without 'L3'; there is: L2RE, MAE"):
        plots.plot_errors(runs, "L3")


def edges_of_band(ax):
    vertices = ax.collections[0].get_paths()[0].vertices
    found: dict[float, list[float]] = {}
    for x, y in vertices:
        found.setdefault(int(x), []).append(y)
    return {x: (min(ys), max(ys)) for x, ys in found.items()}


def test_coefficients_and_their_true_values(tmp_path):
    record = record_of(tmp_path, problem="burgers-inverse")
    c1, true1, c2, true2 = plots.plot_coefficients(record).lines
    np.testing.assert_array_equal(y_of(c1), record.coefficients["C1"])
    np.testing.assert_array_equal(y_of(c2), record.coefficients["C2"])
    assert set(y_of(true1)) == {1.0}
    assert set(y_of(true2)) == {0.01 / np.pi}
    assert true2.get_linestyle() == "--"
    assert true2.get_color() == c2.get_color() != c1.get_color()


def test_loss_trajectory_sums_groups_and_marks_both_ends():
    losses = {"pde": [8.0, 4.0, 2.0], "bc": [3.0, 2.0, math.nan], "ic": [9.0, 1.0, 0.5]}
    ax = plots.plot_loss_trajectory(losses)
    path, start, end = ax.lines[3:]
    np.testing.assert_array_equal(xy_of(path), [[8, 9], [4, 1], [2, 0.5]])
    assert (start.get_marker(), *xy_of(start)[0]) == ("o", 8, 9)
    assert (end.get_marker(), *xy_of(end)[0]) == ("p", 2, 0.5)
    assert tuple(xy_of(ax.lines[2])[0]) == (4, 2)  # the last finite one of bc
    assert ax.get_xscale() == ax.get_yscale() == "log"
    brightness = np.asarray(ax.collections[1].get_facecolor())[:, :3].sum(axis=1)
    assert brightness[0] > brightness[1] > brightness[2]
    with pytest.raises(ValueError, match="one of pde, bc, ic"):
        plots.plot_loss_trajectory(losses, "r")


def test_loss_trajectory_of_a_record_sums_the_terms_of_a_group(tmp_path):
    record = record_of(tmp_path)
    expected = record.losses["bc0"] + record.losses["bc1"]
    path = plots.plot_loss_trajectory(record).lines[0]
    np.testing.assert_array_equal(x_of(path), record.losses["pde0"])
    np.testing.assert_allclose(y_of(path), expected, rtol=1e-15)


def test_gradient_norms_and_cosines():
    ax = plots.plot_gradient_norms([0, 5], {"pde": [3.0, 1.0], "bc": [0.1, 0.2]})
    np.testing.assert_array_equal(curves(ax)["bc"], [0.1, 0.2])
    np.testing.assert_array_equal(x_of(ax.lines[1]), [0, 5])
    ax = plots.plot_cosines([0, 5], {("pde", "bc"): [0.5, -0.5]})
    np.testing.assert_array_equal(curves(ax)["pde, bc"], [0.5, -0.5])
    assert ax.get_ylim() == (-1.05, 1.05)


def test_a_pair_without_a_cosine_is_not_in_the_legend():
    ax = plots.plot_cosines([0, 5], {("a", "b"): [np.nan] * 2, ("a", "c"): [np.nan, 0.5]})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a, c"]


def test_gradient_histograms_are_densities():
    ax = plots.plot_gradient_histograms(
        [[-2, 0, 1, 2], [-1, 0, 1, 2]], [[2, 1, 1], [1, 0, 3]], "ab"
    )
    np.testing.assert_allclose(xy_of(ax.lines[0]), [[-1, 0.25], [0.5, 0.25], [1.5, 0.25]])
    np.testing.assert_allclose(xy_of(ax.lines[1]), [[-0.5, 0.25], [1.5, 0.75]])
    assert ax.get_xscale() == "linear"
    wide = plots.plot_gradient_histograms([[-100, 0, 100], [-1, 0, 1]], [[1, 1], [1, 1]], "ab")
    assert wide.get_xscale() == "symlog"
    with pytest.raises(ValueError, match="don't fit 1 groups"):
        plots.plot_gradient_histograms([[0, 1]], [[1], [1]], "a")


GRID = np.array([[x, t] for x in (0.0, 1.0, 2.0) for t in (0.0, 0.5)])


def test_field_in_two_dimensions():
    ax = plots.plot_field(GRID, np.arange(6.0), coordinates=("x", "y"))
    # rows of the mesh are the second coordinate: values x-major 0 1 | 2 3 | 4 5
    np.testing.assert_array_equal(ax.collections[0].get_array(), [[0, 2, 4], [1, 3, 5]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")
    assert ax.get_xlim() == (-0.5, 2.5)


def test_field_in_one_dimension():
    ax = plots.plot_field(GRID[::2, :1], np.array([[3.0], [4.0], [5.0]]))
    np.testing.assert_array_equal(xy_of(ax.lines[0]), [[0, 3], [1, 4], [2, 5]])


@pytest.mark.parametrize(
    ("points", "values", "message"),
    [
        (GRID[:5], np.zeros(5), "no full tensor grid"),
        (GRID[::-1], np.zeros(6), "no full tensor grid"),
        (GRID, np.zeros(5), r"values of shape \(5,\) don't fit 6 points"),
        (np.zeros((4, 3)), np.zeros(4), r"points of shape \(4, 3\)"),
    ],
)
def test_field_refuses(points, values, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_field(points, values)


def test_snapshots_take_the_nearest_grid_line():
    prediction, solution = np.arange(6.0), np.arange(6.0) + 0.1
    ax = plots.plot_snapshots(GRID, prediction, solution, at=[0.1, 0.4])
    solved, predicted, _, later = ax.lines
    np.testing.assert_allclose(xy_of(predicted), [[0, 0], [1, 2], [2, 4]])
    np.testing.assert_allclose(y_of(solved), [0.1, 2.1, 4.1])
    np.testing.assert_allclose(y_of(later), [1, 3, 5])
    assert (predicted.get_label(), later.get_label()) == ("t = 0", "t = 0.5")
    assert predicted.get_linestyle() == "--"


def test_snapshots_in_one_dimension_and_of_a_record(tmp_path):
    fields = Record.load(write_run(tmp_path, "harmonic")).fields
    ax = plots.plot_snapshots(fields.points, fields.prediction, fields.solution)
    np.testing.assert_array_equal(y_of(ax.lines[0]), np.cos(10 * fields.points[:, 0]))
    np.testing.assert_array_equal(y_of(ax.lines[1]), fields.prediction[:, 0])


def test_draws_into_the_axes_given_and_leaves_settings_alone():
    before, backend = dict(mpl.rcParams), mpl.get_backend()
    _, given = plt.subplots()
    assert plots.plot_losses({"pde": [1.0]}, ax=given) is given
    assert plots.plot_losses({"pde": [1.0]}) is not given
    assert dict(mpl.rcParams) == before
    assert mpl.get_backend() == backend


def test_fifteen_lines_can_be_told_apart():
    ax = plots.plot_losses({f"loss {i}": [1.0, 0.5] for i in range(15)})
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 15


def test_axes_of_the_user_get_our_colours():
    ax = plt.figure().add_subplot()
    plots.plot_gradient_norms([0, 1], {"a": [1.0, 2.0], "b": [2.0, 3.0]}, ax=ax)
    assert [line.get_color() for line in ax.lines] == ["#0072B2", "#D55E00"]


def test_weights_are_drawn_as_held_between_records():
    (line,) = plots.plot_weights({"bc": [1.0, 30.0, 5.0]}).lines
    assert line.get_drawstyle() == "steps-post" and line.get_marker() == "."
    (line,) = plots.plot_weights({"bc": np.ones(101)}).lines
    assert line.get_drawstyle() == "steps-post" and line.get_marker() in ("", "None")
