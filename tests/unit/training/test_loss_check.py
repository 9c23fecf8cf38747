"""Losses that are not finite, in a run that goes back; more in system/test_faults.py."""

import math
import warnings

import deepxde as dde
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb


class Broken(dde.callbacks.Callback):
    """Makes a parameter nan after iteration 8, and interrupts the run after iteration 10."""

    def on_epoch_end(self):
        if self.model.train_state.step == 8:
            with torch.no_grad():
                next(self.model.net.parameters()).fill_(math.nan)
        if self.model.train_state.step == 10:
            raise KeyboardInterrupt


def test_losses_from_before_a_restore_are_forgotten(tmp_path):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    model.train(iterations=5, verbose=0)
    path = model.save(str(tmp_path / "model"))
    with pytest.raises(KeyboardInterrupt):
        model.train(iterations=100, display_every=50, callbacks=[Broken()], verbose=0)
    model.restore(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(iterations=10, display_every=5, verbose=0)
