"""A step of L-BFGS that does not depend on the loss's units, and sees through rounding errors.

PyTorch's L-BFGS ends with the first line search that finds no lower loss. Mostly this is no
minimum:

- In single precision the loss has rounding errors of up to 1e-4 of it, as large as a step's gain.
- A step is not remembered if its product with the change of the gradient is below 1e-10, so from
  losses of about 1e-4 on hardly any is. That depends on the weights' common factor, which has no
  meaning.
- What is remembered may not fit any more.

Here a loss that has become small is multiplied by a factor that brings it near 1. Where a line
search fails, the same step is tried again, and for some iterations a loss is allowed that is higher
by no more than rounding errors, as with the approximate conditions of Hager and Zhang (2005). If it
fails again before the loss has fallen, the memory is forgotten, as in SciPy's L-BFGS-B; then once
more with a shorter first step. Until a loss is small or a line search fails, all is as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: Keys in the optimizer's state: the loss's factor; how often in a row a line search has failed;
#: the loss at the first of these failures, without its factor.
_FACTOR, _FAILURES, _LOSS = "loss_factor", "failures", "loss_at_failure"

#: How far steepest descent goes first, as the sum over all parameters; then the training ends.
_LENGTHS = (1.0, 1e-2)

#: With a smaller loss, its factor is set anew.
_SMALL = 1e-2

#: So many iterations are made before the loss is looked at again; at the very first after one.
_AT_ONCE = 50

#: After a failure, so many iterations allow rounding errors. Each costs an evaluation more.
_TOLERANT = 20

#: What counts as a rounding error of the loss, in units of the parameters' precision, relative.
_ROUNDING = 1000


def step(optimizer: torch.optim.LBFGS, closure: Callable[[], Tensor]) -> None:
    """Makes a step of L-BFGS.

    A failed line search after which it goes on is not counted as an iteration. The last one is, as
    in PyTorch: after a step of one iteration, DeepXDE ends the training. With a
    ``tolerance_change`` above 0, or without a line search, all is as in PyTorch.

    Args:
        optimizer: The optimizer. Its options limit the iterations and evaluations of the step.
        closure: Gives the loss, and sets the gradients.
    """
    group = optimizer.param_groups[0]
    if group["tolerance_change"] > 0 or group["line_search_fn"] is None:
        optimizer.step(closure)
        return
    parameters, options = group["params"], dict(group)
    state = optimizer.state[parameters[0]]
    rounding = _ROUNDING * torch.finfo(parameters[0].dtype).eps
    last_iteration = state.get("n_iter", 0) + group["max_iter"]
    last_evaluation = state.get("func_evals", 0) + group["max_eval"]
    tolerant, factor = 0, 1.0
    try:
        while True:
            begun = state.get("n_iter", 0)
            iterations = last_iteration - begun
            evaluations = last_evaluation - state.get("func_evals", 0)
            if iterations <= 0 or evaluations <= 0:
                return
            factor = state.get(_FACTOR, 1.0)
            group["tolerance_grad"] = options["tolerance_grad"] * factor
            group["max_iter"] = min(iterations, 1 if tolerant or not begun else _AT_ONCE)
            group["max_eval"] = evaluations
            allowance = rounding if tolerant else 0.0
            before = [p.detach().clone() for p in parameters]
            optimizer.step(_Closure(closure, parameters, factor, allowance))
            made = state["n_iter"] - begun
            # A step may also be lost in the parameters' rounding.
            if made and (_failed(state) or all(map(torch.equal, parameters, before))):
                if not _prepare(state, rounding):
                    return
                tolerant = _TOLERANT
            elif made < group["max_iter"]:
                return
            else:
                tolerant = max(tolerant - 1, 0)
                if state["prev_loss"] < _SMALL:
                    _set_factor(state, factor * _power_of_two(state["prev_loss"]))
    finally:
        group.update(options)
        _multiply_gradients(parameters, 1 / factor)


class _Closure:
    """A closure of the loss times a factor.

    Args:
        closure: The closure.
        parameters: The parameters whose gradients it sets.
        factor: The factor.
        allowance: By how much the first loss is increased, relative: others up to there are lower.
    """

    def __init__(
        self,
        closure: Callable[[], Tensor],
        parameters: list[Tensor],
        factor: float,
        allowance: float,
    ):
        self.closure = closure
        self.parameters = parameters
        self.factor = factor
        self.allowance = allowance

    def __call__(self) -> Tensor:
        loss = self.closure() * self.factor * (1 + self.allowance)
        self.allowance = 0.0
        _multiply_gradients(self.parameters, self.factor)
        return loss


def _multiply_gradients(parameters: list[Tensor], factor: float) -> None:
    for p in parameters:
        if factor != 1 and p.grad is not None:
            p.grad.mul_(factor)


def _failed(state: dict[str, Any]) -> bool:
    """Whether the last iteration did not move, for want of a lower loss or a descent direction."""
    return bool(state["t"] == 0 or torch.dot(state["d"], state["prev_flat_grad"]) > 0)


def _prepare(state: dict[str, Any], rounding: float) -> bool:
    """Changes the optimizer's state so that it can go on.

    Returns:
        Whether it can: after the last way it can't until the loss has fallen.
    """
    loss = state["prev_loss"] / state.get(_FACTOR, 1.0)
    if loss < state.get(_LOSS, math.inf) * (1 - rounding):
        state.update({_FAILURES: 0, _LOSS: loss})
    failures = state[_FAILURES] = state.get(_FAILURES, 0) + 1
    if failures > 1 + len(_LENGTHS):
        return False
    # In its iteration 1 PyTorch would begin anew.
    state.update(t=0.0, n_iter=max(state["n_iter"] - 1, 1))
    _set_factor(state, _power_of_two(loss))
    if failures > 1:
        _forget(state, _LENGTHS[failures - 2])
    return True


def _set_factor(state: dict[str, Any], factor: float) -> None:
    """Sets the loss's factor, and all that the state has in units of the loss."""
    ratio = factor / state.get(_FACTOR, 1.0)
    state[_FACTOR] = factor
    state["prev_flat_grad"].mul_(ratio)
    for change in state["old_dirs"]:  # of the gradient, in PyTorch's words
        change.mul_(ratio)
    state["ro"] = [inverse / ratio for inverse in state["ro"]]
    state["H_diag"] = state["H_diag"] / ratio
    if not state["old_dirs"]:
        _forget(state, _LENGTHS[0])


def _forget(state: dict[str, Any], length: float) -> None:
    """Forgets the memory: the next step goes along the gradient, as far as PyTorch's first."""
    size = float(state["prev_flat_grad"].abs().sum())
    state.update(old_dirs=[], old_stps=[], ro=[], H_diag=min(1.0, length / size))


def _power_of_two(loss: float) -> float:
    """The power of two, with which products are exact, that brings a loss into [1, 2)."""
    return 2.0 ** -math.floor(math.log2(loss)) if 0 < loss < math.inf else 1.0
