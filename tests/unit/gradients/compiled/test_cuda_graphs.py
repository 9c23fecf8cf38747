"""What surrounds a CUDA graph, without a GPU: its choice, and results that are overwritten."""

import dataclasses
import math
from typing import Any

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.engines import assert_same_parameters

import deepxde_balance as ddb
from deepxde_balance.gradients import choose


@dataclasses.dataclass
class Compiler:
    """In place of ``torch.compile``: as in a CUDA graph, results are always in the same memory."""

    modes: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, graph, *, mode, **_):
        self.modes.append(mode)
        memory: list[torch.Tensor] = []

        def replay(*tensors):
            if not memory:
                memory.extend(torch.empty_like(result) for result in graph(*tensors))
            for kept in memory:
                kept.fill_(math.nan if kept.is_floating_point() else 0)
            for kept, result in zip(memory, graph(*tensors), strict=True):
                kept.copy_(result)
            return memory

        return replay


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(choose, "_reason_against_cuda_graphs", lambda _: None)
    stand_in = Compiler()
    monkeypatch.setattr(torch, "compile", stand_in)
    return stand_in


def test_results_outlive_the_next_replay(float64, compiler):
    models = []
    for engine in ("cuda-graphs", "per-group"):
        dde.config.set_random_seed(0)
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        arguments: dict[str, Any] = {"gradient_engine": engine, "point_weights": "rba"}
        model.compile("adam", lr=1e-2, loss_weights="db-kurtosis", verbose=0, **arguments)
        model.train(iterations=7, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert compiler.modes == ["reduce-overhead"]
    assert_same_parameters(*models)
    assert models[0].weights == pytest.approx(models[1].weights)


@pytest.mark.parametrize("weights", ["equal", "db-kurtosis", None])
def test_a_cpu_is_refused(weights):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(ValueError, match="'cuda-graphs' can't be used here: the network is on cpu"):
        model.compile("adam", lr=1e-3, loss_weights=weights, gradient_engine="cuda-graphs")
    assert model.opt is None


def test_a_failure_names_the_engine(compiler, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such graph")

    monkeypatch.setattr(torch, "compile", fail)
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="equal", gradient_engine="cuda-graphs", verbose=0)
    with pytest.warns(UserWarning, match=r'gradient_engine="cuda-graphs" can\'t .*no such graph'):
        model.train(iterations=3, verbose=0)
    assert model.gradient_engine == "one-pass"
