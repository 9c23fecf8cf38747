"""Training on a device that is not the CPU, and whether an iteration waits for it.

The device has no values (see `no_values`), so no GPU is needed. The engines' comparisons, which
read values where points are new, are left out. With pytest's option ``--device cuda``, the tests
marked `device` run on a GPU, where PyTorch makes an error of each wait.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import deepxde as dde
import pytest
import torch
from _support import features, scripts
from _support.no_values import host_copies

import deepxde_balance as ddb
from deepxde_balance._deepxde import target_cache
from deepxde_balance.gradients import one_pass, stacking
from deepxde_balance.gradients.checked import CheckedEngine
from deepxde_balance.gradients.compiled.iteration import CompiledIteration

pytestmark = pytest.mark.skipif(
    torch.__version__ < "2.4", reason="Adam of PyTorch 2.3 reads the number of its steps"
)

STRATEGIES = [name for name in ddb.weightings.names() if name not in ("equal", "keep")]
POINT_WEIGHTS = ["rba", "brdr", "causal", "causal:tolerance=ladder", "sa", {"bc0": [1.0] * 12}]


@pytest.fixture(autouse=True)
def on_the_device(monkeypatch, compilations, request):
    device = request.config.getoption("--device")
    if device == "meta":
        same = SimpleNamespace(differs=lambda: torch.zeros(1, device="cpu"))
        monkeypatch.setattr(CheckedEngine, "_difference", lambda *_: None)
        monkeypatch.setattr(CompiledIteration, "compare", lambda _: same)
        monkeypatch.setattr(target_cache, "_depends_on", lambda *_: False)
    with torch.device(device):
        yield


@contextmanager
def watched() -> Iterator[list[str]]:
    """Yields the copies from the host in the context; on a GPU, a wait is an error instead."""
    if torch.get_default_device().type == "meta":
        with host_copies() as copies:
            yield copies
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield []
    finally:
        torch.cuda.set_sync_debug_mode("default")


class SeveralEvaluations(torch.optim.LBFGS):
    """Evaluates the loss several times in a step, without the line search, which reads it."""

    def step(self, closure):  # type: ignore[override]
        for _ in range(3):
            loss = closure()
            with torch.no_grad():
                for p in self._params:
                    p.sub_(1e-3 * p.grad)
        return loss


def klein_gordon():
    return features.Script(scripts.klein_gordon(), scripts.network((2, 4, 1)))


def iterate(script, optimizer="adam", model_class=ddb.Model, restored=None, **compile_args):
    """One iteration after two that prepare what stays; the model, and the iteration's copies."""
    model = model_class(script.data, script.net)
    args = {"lr": 1e-3, "verbose": 0} | script.compile | compile_args
    model.compile(optimizer, **args)
    if restored is not None:
        path, device = restored
        model.restore(path, device=device)
    batch = script.data.train_next_batch()
    for _ in range(2):
        model.train_step(*batch)
    with watched() as copies:
        model.train_step(*batch)
    trained = [*script.net.parameters(), *model.external_trainable_variables]
    assert {p.grad.device.type for p in trained if p.grad is not None} == {
        torch.get_default_device().type
    }
    return model, copies


def updating_always(strategy):
    return ddb.weightings.get(strategy, update_every=1)


def assert_stays_on_the_device(script, engine="one-pass", **compile_args):
    model, copies = iterate(script, gradient_engine=engine, **compile_args)
    assert model.gradient_engine == engine
    assert not copies
    assert {tensor.device.type for tensor in model.weighting.buffers()} == {
        torch.get_default_device().type
    }


@pytest.mark.device
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_strategy_waits_for_the_device(strategy):
    assert_stays_on_the_device(klein_gordon(), loss_weights=updating_always(strategy))


@pytest.mark.device
@pytest.mark.parametrize("given", POINT_WEIGHTS, ids=str)
def test_no_point_weights_wait_for_the_device(given):
    weights = updating_always("db-kurtosis")
    assert_stays_on_the_device(klein_gordon(), loss_weights=weights, point_weights=given)


@pytest.mark.device
@pytest.mark.parametrize("strategy", ["db-kurtosis", "relobralo"])
def test_a_compiled_iteration_does_not_wait_for_the_device(strategy, compilations):
    weights = updating_always(strategy)
    assert_stays_on_the_device(klein_gordon(), "compiled", loss_weights=weights)
    assert len(compilations) == 1


@pytest.mark.parametrize("strategy", ["db-kurtosis", "relobralo", "sa"])
def test_the_per_group_engine_copies_what_deepxde_copies(strategy):
    """DeepXDE copies the points in each evaluation."""
    _, of_deepxde = iterate(klein_gordon(), model_class=dde.Model)
    weights = updating_always(strategy)
    _, copies = iterate(klein_gordon(), loss_weights=weights, gradient_engine="per-group")
    assert copies and set(copies) == set(of_deepxde)


@pytest.mark.device
@pytest.mark.parametrize(
    "feature",
    [
        features.periodic,
        features.robin,
        features.several_residuals,
        features.a_residual_and_a_condition_in_one_group,
        features.auxiliary_variables,
        features.inverse_problem,
        features.l1_regularization,
        features.frozen_layers,
    ],
    ids=lambda feature: feature.__name__,
)
def test_no_kind_of_problem_waits_for_the_device(feature):
    script = feature()
    weights = updating_always("gw-std")
    assert_stays_on_the_device(script, loss_weights=weights, loss_groups=script.loss_groups)


@pytest.mark.device
def test_conditions_evaluated_as_one_stack_do_not_wait_for_the_device(monkeypatch):
    stacks = []

    def stacked(*args):
        outputs = stacking.stacked_outputs(*args)
        stacks.append(len(outputs))
        return outputs

    monkeypatch.setattr(one_pass, "WORTH_STACKING", 2)
    monkeypatch.setattr(one_pass, "stacked_outputs", stacked)
    assert_stays_on_the_device(klein_gordon(), loss_weights=updating_always("gw-std"))
    assert stacks == [2, 2, 2]


@pytest.mark.device
@pytest.mark.parametrize("weights", ["equal", [1.0, 2.0, 3.0, 4.0]], ids=str)
def test_fixed_weights_do_not_wait_for_the_device(weights):
    assert_stays_on_the_device(klein_gordon(), loss_weights=weights)


@pytest.mark.device
@pytest.mark.filterwarnings("ignore:The point weights of RBA grow from 0")
def test_several_evaluations_in_a_step_do_not_wait_for_the_device():
    script = klein_gordon()
    optimizer = SeveralEvaluations(script.net.parameters())
    weights = updating_always("db-kurtosis")
    assert_stays_on_the_device(
        script, optimizer=optimizer, lr=None, loss_weights=weights, point_weights="rba"
    )


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
@pytest.mark.parametrize("given", [None, "brdr", "causal", "sa"])
def test_a_run_restored_from_the_cpu_stays_on_the_device(given, tmp_path):
    """Whichever device `restore` is given: scripts give "cpu"."""
    arguments = {"loss_weights": "db-kurtosis", "point_weights": given}
    with torch.device("cpu"):
        script = klein_gordon()
        saved = ddb.Model(script.data, script.net)
        saved.compile("adam", lr=1e-3, gradient_engine="one-pass", verbose=0, **arguments)
        step: Any = saved.train_step
        step(*script.data.train_next_batch())
        path = saved.save(str(tmp_path / "model"))
    for device in (None, "cpu"):
        assert_stays_on_the_device(klein_gordon(), restored=(path, device), **arguments)


class ReadsALoss(ddb.FromLosses):
    def update(self, losses):
        self.weights = self.weights * losses[0].item()


class MakesWeightsOnTheHost(ddb.FromLosses):
    def update(self, losses):
        self.weights = self.weights + torch.ones(len(losses), device="cpu")


class CopiesNumbers(ddb.FromLosses):
    def update(self, losses):
        self.weights = self.weights * losses.new_tensor([1.0] * len(losses))


class CopiesATensor(ddb.FromLosses):
    def update(self, losses):
        self.weights = torch.ones(len(losses), device="cpu").to(losses)


@pytest.mark.parametrize("strategy", [ReadsALoss, MakesWeightsOnTheHost])
def test_a_strategy_that_reads_or_mixes_fails_on_the_device(strategy):
    with pytest.raises(RuntimeError, match="meta"):
        iterate(klein_gordon(), loss_weights=strategy())


@pytest.mark.parametrize("strategy", [CopiesNumbers, CopiesATensor])
def test_a_strategy_that_copies_from_the_host_is_noticed(strategy):
    script = klein_gordon()
    _, copies = iterate(script, loss_weights=strategy(), gradient_engine="one-pass")
    assert copies and all("4" in copy for copy in copies)
