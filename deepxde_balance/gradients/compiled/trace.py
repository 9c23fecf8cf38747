"""Traces a computation: one graph of tensor operations, which a compiler can fuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx


@dataclass(frozen=True)
class Traced:
    """The operations of a function when it was traced, those of its derivatives included.

    Python code ran once: its branches, loops and numbers stay as they were then. Tensors are kept
    as objects: each call of the graph reads the values that they have then.

    Args:
        graph: A module to call with the inputs and the `others`.
        others: The tensors that the function read besides the inputs: points, targets, ...
    """

    graph: fx.GraphModule
    others: list[Tensor]

    def same_operations(self, other: Traced) -> bool:
        """Whether both graphs have the same operations, on tensors of the same shapes and types."""
        kinds = [[(t.shape, t.dtype, t.device) for t in g.others] for g in (self, other)]
        return self.graph.code == other.graph.code and kinds[0] == kinds[1]


def trace(function: Callable[[], tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> Traced:
    """Runs a function once and records its operations.

    Args:
        function: Computes tensors; it may call autograd.
        inputs: Tensors that it reads, which the graph takes as its first arguments; no two share
            memory.
    """
    graph = make_fx(function)()
    known = list(inputs)
    arguments: list[fx.Node] = []
    with graph.graph.inserting_before(next(iter(graph.graph.nodes))):
        arguments += [graph.graph.placeholder(f"input{i}") for i in range(len(known))]
    for node in [n for n in graph.graph.nodes if n.op == "get_attr"]:
        tensor = getattr(graph, str(node.target))
        position = next((i for i, other in enumerate(known) if _same(other, tensor)), len(known))
        if position == len(known):
            known.append(tensor)
            with graph.graph.inserting_after(arguments[-1]):
                arguments.append(graph.graph.placeholder(f"other{position - len(inputs)}"))
        node.replace_all_uses_with(arguments[position])
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    lifted = fx.GraphModule({}, graph.graph)  # whose tensors are arguments, no attributes
    return Traced(lifted, known[len(inputs) :])


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are views of the same memory."""
    return (
        a.data_ptr() == b.data_ptr()
        and a.shape == b.shape
        and a.stride() == b.stride()
        and a.dtype == b.dtype
        and a.device == b.device
        and a.numel() > 0
    )
