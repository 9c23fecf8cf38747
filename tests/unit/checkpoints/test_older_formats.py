"""Checkpoints of older formats, made from one of the present format."""

import torch
from _support import scripts

import deepxde_balance as ddb


def compiled():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=ddb.Auto(update_every=1), verbose=0)
    return model


def test_a_guard_of_format_7_sees_the_reference_from_the_next_update_on(tmp_path):
    first = compiled()
    first.train(iterations=5, verbose=0)
    path = first.save(str(tmp_path / "run"))
    content = torch.load(path, weights_only=True)
    content["deepxde_balance"]["format"] = 7
    state = content["deepxde_balance"]["weighting"]["state"]
    for name in ("guard.seen.logs", "guard.seen.largest_logs"):
        state[name] = state[name][1:]
    torch.save(content, path)
    second = compiled()
    second.restore(path)
    for model in (first, second):
        model.train(iterations=1, verbose=0)
    mean, expected = (model.weighting.guard.seen.mean() for model in (second, first))
    assert torch.equal(mean[1:], expected[1:])
    # That iteration's update saw the losses that the training recorded at its begin.
    residual = second.losshistory.loss_train[-2][0]
    torch.testing.assert_close(mean[0].item(), float(residual), rtol=1e-5, atol=0)
