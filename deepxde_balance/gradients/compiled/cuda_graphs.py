"""The compiled engine, its iteration replayed as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .engine import CompiledEngine
from .trace import Traced


class CudaGraphsEngine(CompiledEngine):
    """The compiled engine, whose kernels a GPU starts by itself, without the host.

    Small networks keep a GPU busy for less time than Python takes to start each kernel. A CUDA
    graph starts all kernels of the losses and gradients at once. The weights and the optimizer's
    step stay outside. Everything else is as in :class:`CompiledEngine`.

    Not tried on a GPU yet: only what surrounds ``torch.compile`` is tested, on the CPU.
    """

    asked = "cuda-graphs"

    def _compile(self, traced: Traced) -> Callable[..., list[Tensor]]:
        return compile_cuda_graph(traced)


def compile_cuda_graph(traced: Traced) -> Callable[..., list[Tensor]]:
    """Compiles the graph, and lets PyTorch record it as a CUDA graph in the first calls."""
    function: Any = torch.compile(
        traced.graph, fullgraph=True, dynamic=False, mode="reduce-overhead"
    )

    def replay(*tensors: Tensor) -> list[Tensor]:
        torch.compiler.cudagraph_mark_step_begin()
        # The next replay overwrites these results, and point weights are among them.
        return [result.clone() for result in function(*tensors)]

    return replay
