"""Checkpoints taken up by another process: a fresh model, other random numbers, another reason."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


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


class SaveAndStop(dde.callbacks.Callback):
    """The end of a time limit."""

    def __init__(self, iteration, path):
        super().__init__()
        self.iteration, self.path = iteration, path

    def on_epoch_end(self):
        if self.model.train_state.iteration == self.iteration:
            self.model.stop_training = True
            self.model.save(self.path)


@pytest.mark.parametrize("weights", [None, "db-mean"])
def test_a_run_that_was_stopped_goes_on(weights, tmp_path):
    def made():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
        return model

    unbroken, first, second = made(), made(), made()
    unbroken.train(iterations=9, display_every=4, verbose=0)
    saving = SaveAndStop(3, str(tmp_path / "run"))
    first.train(iterations=9, display_every=4, callbacks=[saving], verbose=0)
    assert first.train_state.step == 3
    second.restore(str(tmp_path / "run-3.pt"))
    second.train(iterations=6, display_every=4, verbose=0)
    assert second.losshistory.steps == unbroken.losshistory.steps
    assert torch.equal(scripts.parameters_of(second), scripts.parameters_of(unbroken))


def fractional(seed, distribution="pseudo"):
    """(-Delta)^0.9 u = f on a disk, with collocation points drawn at random."""
    dde.config.set_random_seed(seed)
    disk = dde.geometry.Disk([0, 0], 1)

    def residual(x, u, matrix):
        indices, values = matrix[0], matrix[1]
        matrix = torch.sparse_coo_tensor(
            torch.as_tensor(np.array(indices).T),
            torch.as_tensor(values),
            tuple(matrix[2]),
            check_invariants=False,
        )
        return torch.sparse.mm(matrix, u)[: len(x)] - 1

    bc = dde.icbc.DirichletBC(disk, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
    data = dde.data.FPDE(
        disk,
        residual,
        1.8,
        bc,
        [4, 10],
        num_domain=8,
        num_boundary=2,
        train_distribution=distribution,
    )
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="equal", verbose=0)
    return model


def test_fractional_points_stay_with_their_matrix(tmp_path):
    first = fractional(seed=1)
    first.train(iterations=2, verbose=0)
    path = first.save(str(tmp_path / "run"))
    second = fractional(seed=2)
    points = second.data.train_x
    with pytest.warns(UserWarning, match="training points are not put back"):
        second.restore(path)
    assert second.data.train_x is points
    second.train(iterations=2, verbose=0)
    same = fractional(seed=1)
    same.restore(path)  # and nothing is warned about


def operator(seed, cartesian, batch_size=None):
    """u_x = v for functions v, by a physics-informed DeepONet."""
    dde.config.set_random_seed(seed)
    geom = dde.geometry.Interval(0, 1)
    pde = dde.data.PDE(
        geom,
        lambda x, u, v: dde.grad.jacobian(u, x, j=0) - v,
        dde.icbc.DirichletBC(geom, lambda x: 0 * x, lambda _, on: on),
        num_domain=6,
        num_boundary=2,
        train_distribution="pseudo",
    )
    space, sensors = dde.data.PowerSeries(N=3), np.linspace(0, 1, 4)[:, None]
    if cartesian:
        data = dde.data.PDEOperatorCartesianProd(pde, space, sensors, 5, batch_size=batch_size)
        net = dde.nn.DeepONetCartesianProd([4, 8, 8], [1, 8, 8], "tanh", "Glorot normal")
    else:
        data = dde.data.PDEOperator(pde, space, sensors, 5)
        net = dde.nn.DeepONet([4, 8, 8], [1, 8, 8], "tanh", "Glorot normal")
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    return model


@pytest.mark.parametrize("cartesian", [True, False])
def test_the_functions_of_an_operator_are_put_back(cartesian, tmp_path):
    unbroken = operator(1, cartesian)
    unbroken.train(iterations=3, verbose=0)
    path = unbroken.save(str(tmp_path / "run"))
    unbroken.train(iterations=3, verbose=0)
    resumed = operator(2, cartesian)
    resumed.restore(path)
    resumed.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(resumed), scripts.parameters_of(unbroken))
    assert np.array_equal(resumed.data.pde.train_x, unbroken.data.pde.train_x)


def test_compile_draws_no_mini_batch():
    model = operator(1, cartesian=True, batch_size=2)
    drawn = model.data.train_sampler._index_in_epoch
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    assert model.data.train_sampler._index_in_epoch == drawn


def test_own_test_points_and_resampled_ones_after_restoring(tmp_path):
    """Test points that are DeepXDE's go on following the conditions' points; a script's stay."""
    for own in (False, True):
        models = []
        for _ in range(2):
            data = scripts.laplace(train_distribution="pseudo")
            if own:
                data.test_x = np.random.rand(40, 2).astype(np.float32)
            models.append(ddb.Model(data, scripts.network()))
            models[-1].compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
        first, second = models
        first.train(iterations=1, verbose=0)
        first.data.resample_train_points(bc_points=True)
        path = first.save(str(tmp_path / "run"))
        points = first.data.test_x
        second.restore(path)
        second.train(iterations=1, verbose=0)
        conditions = second.data.train_x_bc
        assert np.array_equal(conditions, first.data.train_x_bc)
        follows = np.array_equal(second.data.test_x[: len(conditions)], conditions)
        assert follows != own
        assert np.array_equal(second.data.test_x, points) == own
