"""Training by L-BFGS, which can be taken up in its middle."""

from __future__ import annotations

import deepxde as dde
import torch
from deepxde.optimizers.config import LBFGS_options


def train(model: dde.Model, start: int, verbose: int) -> None:
    """DeepXDE's loop over steps of many iterations, but with each iteration counted once.

    Args:
        model: The model, when its training has begun.
        start: Iterations that the optimizer had made when this training began; it ends after
            ``LBFGS_options["maxiter"]`` more.
        verbose: Whether to print the records.
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
            break  # converged
        done += new
        state.iteration += new
        state.step += new
        model._test(verbose=verbose)
        model.callbacks.on_batch_end()
        model.callbacks.on_epoch_end()


def iterations(optimizer: torch.optim.Optimizer) -> int:
    """Iterations that an L-BFGS optimizer has made so far."""
    state = optimizer.state_dict()["state"]
    return state[0]["n_iter"] if state else 0
