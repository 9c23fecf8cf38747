"""Training by L-BFGS that can be resumed in the middle, and its options."""

from __future__ import annotations

import math
import warnings

import deepxde as dde
import torch
from deepxde.optimizers.config import LBFGS_options

_ITERATIONS_PER_STEP = 100

#: An end before so many iterations is told, unless the gradient is as small as was asked for.
_FEW = 50


def limit_iterations(iterations: int) -> None:
    """Sets DeepXDE's options of L-BFGS, which are global: history 100, that many iterations.

    A step of DeepXDE then makes at most 100 iterations, so that callbacks are called often enough
    to save the model.

    Args:
        iterations: The largest number of iterations, at least 1.
    """
    steps = math.ceil(iterations / _ITERATIONS_PER_STEP)
    per_step = iterations // steps
    dde.optimizers.set_LBFGS_options(maxcor=100, maxiter=steps * per_step)
    # `set_LBFGS_options` does not set these two.
    LBFGS_options["iter_per_step"] = per_step
    # So many evaluations are hardly ever needed: `iter_per_step` is what ends a step.
    LBFGS_options["fun_per_step"] = 25 * per_step


def train(model: dde.Model, start: int, verbose: int, remedy: str) -> None:
    """Trains as DeepXDE's own L-BFGS loop does, but counts each iteration once.

    DeepXDE's loop counts the optimizer's iterations from earlier trainings again.

    Args:
        model: The model, after its callbacks' `on_train_begin`.
        start: The optimizer's iterations before this training. Training ends after
            ``LBFGS_options["maxiter"]`` further iterations.
        verbose: Above 0, losses are printed at each record.
        remedy: What a warning of an end at once advises first.
    """
    done = iterations(model.opt)
    while done - start < LBFGS_options["maxiter"] and not model.stop_training:
        model.callbacks.on_epoch_begin()
        model.callbacks.on_batch_begin()
        state = model.train_state
        state.set_data_train(*model.data.train_next_batch(model.batch_size))
        model._train_step(state.X_train, state.y_train, state.train_aux_vars)
        new = iterations(model.opt) - done
        if new <= 1:
            _warn_if_hardly_begun(model.opt, iterations(model.opt) - start, remedy)
            break
        done += new
        state.iteration += new
        state.step += new
        model._test(verbose=verbose)
        model.callbacks.on_batch_end()
        model.callbacks.on_epoch_end()


def _warn_if_hardly_begun(optimizer: torch.optim.LBFGS, made: int, remedy: str) -> None:
    """Tells of a training that ended after few iterations with a gradient that is not small.

    The line search then found no lower loss: in single precision, a loss has at most seven digits.
    """
    if made >= min(_FEW, LBFGS_options["maxiter"]):
        return
    if LBFGS_options["iter_per_step"] == 1 or LBFGS_options["ftol"] > 0:
        return  # DeepXDE then always ends at once; or a small change of the loss may have ended it
    parameters = optimizer.param_groups[0]["params"]
    largest = max(p.grad.abs().max().item() for p in parameters if p.grad is not None)
    if largest > LBFGS_options["gtol"]:
        warnings.warn(
            f"L-BFGS ended after {made} iterations, of {LBFGS_options['maxiter']}: its line search "
            f"found no lower loss, though a gradient is {largest:.2g} (gtol is "
            f"{LBFGS_options['gtol']:.2g}). The loss may have too few digits: try {remedy}"
            "dde.config.set_default_float('float64'), or more iterations before L-BFGS.",
            stacklevel=5,
        )


def iterations_per_step(optimizer: torch.optim.Optimizer) -> int | None:
    """The largest number of iterations in a step of L-BFGS; ``None`` for other optimizers."""
    if not isinstance(optimizer, torch.optim.LBFGS):
        return None
    most: int = optimizer.param_groups[0]["max_iter"]
    return most


def iterations(optimizer: torch.optim.Optimizer) -> int:
    """The number of iterations that an L-BFGS optimizer has made so far."""
    state = optimizer.state_dict()["state"]
    return state[0]["n_iter"] if state else 0
