"""What the package takes for granted of DeepXDE's insides.

Each entry names who depends on it. A failure means: DeepXDE has changed there. Compare the new code
with what is said, mend the package where it no longer holds, run the tests of `tests/parity`, and
enter the new fingerprint beside the old ones.
"""

from __future__ import annotations

import hashlib
import inspect

import deepxde as dde
import pytest
from deepxde.data.sampler import BatchSampler
from deepxde.model import LossHistory, Model, TrainState
from deepxde.optimizers.config import LBFGS_options
from deepxde.optimizers.pytorch.nncg import NNCG

ICBC = dde.icbc.boundary_conditions

#: A function; what takes it for granted; the fingerprints of its known versions.
CODE = [
    (
        Model.compile,
        "`Model.compile`, which calls it",
        ["c4b49d3e3edc", "5bbfcd2233ed"],
    ),
    (
        Model._compile_pytorch,
        "`training/step.py` and `training/build_step.py`: losses, optimizer, regularization",
        ["9c95a9f40bb4"],
    ),
    (
        Model.train,
        "`model.py`: what is done around a training",
        ["5701b4fc1ed5"],
    ),
    (
        Model._train_sgd,
        "`model.py`: the order of batches, steps, records and callbacks",
        ["eda146f87952"],
    ),
    (
        Model._train_pytorch_lbfgs,
        "`_deepxde/lbfgs.py`, which repeats it with another count",
        ["c54c633ac798"],
    ),
    (
        Model._test,
        "`_deepxde/test_points.py`: which points the records use",
        ["45c93ae2532d"],
    ),
    (
        Model.predict,
        "`callbacks` and `report`: it changes nothing in the model",
        ["23c5c964f5e1"],
    ),
    (
        Model.state_dict,
        "`checkpoints`: what is in DeepXDE's files",
        ["79c3651c37ce"],
    ),
    (
        Model.save,
        "`checkpoints`: names of files",
        ["2572e6d40670"],
    ),
    (
        Model.restore,
        "`checkpoints`: files of a stock model",
        ["e6229536d767"],
    ),
    (
        TrainState.update_best,
        "`checkpoints` and `training`: what the best step is",
        ["96674489e278"],
    ),
    (
        LossHistory.append,
        "`checkpoints` and `plots`",
        ["1e3a0a5aaaaa"],
    ),
    (
        dde.data.PDE.losses,
        "`gradients`: the losses in their order, and which points are whose",
        ["f9cec8f9cdab"],
    ),
    (
        dde.data.PDE.losses_train,
        "`_deepxde/stock_losses.py`, which replaces it for one evaluation",
        ["22dc049baf7f"],
    ),
    (
        dde.data.PDE.train_next_batch,
        "`_deepxde/sampled_points.py` and `_deepxde/batch.py`",
        ["ec5de6d6ae19"],
    ),
    (
        dde.data.PDE.test,
        "`_deepxde/test_points.py`: when test points are made",
        ["eceef6a65ee3"],
    ),
    (
        dde.data.PDE.bc_points,
        "`_deepxde/batch.py`: the conditions' points come first",
        ["76e0ada24186"],
    ),
    (
        dde.data.PDE.resample_train_points,
        "`_deepxde/target_cache.py`: new points are new arrays",
        ["0a30ea4362a1"],
    ),
    (
        dde.data.PDE.add_anchors,
        "`_deepxde/sampled_points.py`",
        ["a14e614add1e"],
    ),
    (
        dde.icbc.DirichletBC.error,
        "`_deepxde/condition_parts.py`: an error for each point",
        ["8b2dbef53dd3"],
    ),
    (
        dde.icbc.NeumannBC.error,
        "`_deepxde/condition_parts.py`: an error for each point",
        ["e1582a5fc4db"],
    ),
    (
        dde.icbc.RobinBC.error,
        "`_deepxde/condition_parts.py`: an error for each point",
        ["bc40d952482b"],
    ),
    (
        dde.icbc.OperatorBC.error,
        "`_deepxde/condition_parts.py`: an error for each point",
        ["4ac6c7aae42c"],
    ),
    (
        dde.icbc.IC.error,
        "`_deepxde/condition_parts.py`: an error for each point",
        ["e2a0cb45268a"],
    ),
    (
        dde.icbc.PeriodicBC.error,
        "`_deepxde/share.py`: an error for two points, half of the points apart",
        ["ac7f6e14ec54"],
    ),
    (
        dde.icbc.Interface2DBC.error,
        "`_deepxde/share.py`: an error for two points, half of the points apart",
        ["28d9c7ba5e6e"],
    ),
    (
        dde.icbc.PointSetBC.error,
        "`_deepxde/condition_parts.py`: `values` and `batch_indices`",
        ["a775dc8e6311"],
    ),
    (
        dde.icbc.PointSetOperatorBC.error,
        "`_deepxde/condition_parts.py`: `values` and `batch_indices`",
        ["8611af8c2d31", "6e53683dbc3e"],
    ),
    (
        ICBC.npfunc_range_autocache,
        "`_deepxde/target_cache.py`, which puts a cache of its own in its place",
        ["1954c97dc0d6"],
    ),
    (
        BatchSampler.get_next,
        "`_deepxde/sampled_points.py` and `checkpoints`: its state is its attributes",
        ["ddf97c161c3b"],
    ),
    (
        NNCG.step,
        "`_deepxde/nncg.py`: it is given a loss and differentiates it itself",
        ["f9bd7e0b9a28"],
    ),
    (
        dde.losses.mean_squared_error,
        "`gradients` and `point_weightings`: a mean over a term's points",
        ["493cc1045bcd"],
    ),
    (
        dde.callbacks.PDEPointResampler.on_epoch_end,
        "`gradients/compiled`: when points change",
        ["288a68e62917"],
    ),
    (
        dde.callbacks.ModelCheckpoint.on_epoch_end,
        "`checkpoints/last.py`: names of files",
        ["48fa3b6c8699"],
    ),
    (
        dde.callbacks.EarlyStopping.on_epoch_end,
        "`checkpoints/run_state.py`: its state is its attributes",
        ["d8fb017955cf"],
    ),
]


def fingerprint(function):
    """The first digits of a hash of the function's source without white space."""
    source = "".join(inspect.getsource(function).split())
    return hashlib.sha256(source.encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("function", "dependent", "known"), CODE, ids=[entry[0].__qualname__ for entry in CODE]
)
def test_the_code_is_one_that_we_know(function, dependent, known):
    now = fingerprint(function)
    assert now in known, (
        f"DeepXDE {dde.__version__} has changed {function.__qualname__} (fingerprint {now}). "
        f"deepxde_balance takes for granted: {dependent}. See the head of this file."
    )


@pytest.fixture(scope="module")
def trained():
    """A stock model after an iteration, with every kind of object that has attributes we touch."""
    geometry = dde.geometry.Interval(0, 1)
    conditions = [
        dde.icbc.DirichletBC(geometry, lambda x: 0, lambda x, on: on),
        dde.icbc.NeumannBC(geometry, lambda x: 0, lambda x, on: on),
        dde.icbc.PointSetBC([[0.5], [0.6]], [[1.0], [1.0]], batch_size=1),
    ]
    data = dde.data.PDE(geometry, lambda x, y: y, conditions, 5, 2, num_test=5)
    model = Model(data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3)
    model.train(iterations=1, verbose=0, display_every=1)
    return model


#: Of a trained model's objects: the attributes that are read or replaced.
ATTRIBUTES = {
    "": "net data opt opt_name lr_scheduler loss_weights losshistory train_state stop_training "
    "external_trainable_variables callbacks metrics outputs outputs_losses_train "
    "outputs_losses_test train_step batch_size",
    "data": "pde bcs geom num_bcs train_x_all train_x_bc train_x train_y train_aux_vars test_x "
    "test_y test_aux_vars anchors soln losses_train losses_test train_next_batch train_points "
    "bc_points test_points",
    "data.bcs.0": "func geom component on_boundary filter collocation_points error",
    "data.bcs.1": "func boundary_normal",
    "data.bcs.2": "points values component batch_size batch_sampler batch_indices",
    "data.bcs.2.batch_sampler": "shuffle get_next _indices _index_in_epoch",
    "train_state": "iteration step X_train y_train train_aux_vars X_test y_test test_aux_vars "
    "y_pred_train y_pred_test loss_train loss_test metrics_test best_step best_loss_train "
    "best_loss_test best_y best_metrics set_data_train set_data_test update_best",
    "losshistory": "steps loss_train loss_test metrics_test append",
}


@pytest.mark.parametrize("path", ATTRIBUTES)
def test_attributes_are_where_we_look_for_them(trained, path):
    owner = trained
    for name in filter(None, path.split(".")):
        owner = owner[int(name)] if name.isdigit() else getattr(owner, name)
    missing = [name for name in ATTRIBUTES[path].split() if not hasattr(owner, name)]
    assert not missing, (
        f"DeepXDE {dde.__version__}: {type(owner).__name__} no longer has {', '.join(missing)}."
    )


def test_lbfgs_has_the_options_that_we_set():
    assert {"maxcor", "maxiter", "iter_per_step", "fun_per_step"} <= LBFGS_options.keys()


def test_targets_are_made_once_for_the_same_points(trained):
    """`mend_targets` takes these caches out: where they are gone, it is needless."""
    dirichlet, neumann = trained.data.bcs[:2]
    assert hasattr(dirichlet.func, "__wrapped__")
    assert hasattr(neumann.boundary_normal, "__wrapped__")
