"""A step of L-BFGS that does not depend on the loss's units, and sees through rounding errors.

PyTorch's L-BFGS ends with the first line search that finds no lower loss. Mostly this is no
minimum:

- In single precision the loss has rounding errors of up to 1e-4 of it, as large as a step's gain.
- A step is not remembered if its product with the change of the gradient is below 1e-10, so from
  losses of about 1e-4 on hardly any is. That depends on the weights' common factor, which has no
  meaning.
- What is remembered may not fit any more.
- With losses in large units, its first line search overflows in single precision, and goes on until
  a step's evaluations are used up.

Here a loss that has become small is multiplied by a factor that brings it near 1. Where a line
search fails, the same step is tried again, and for some iterations a loss is allowed that is higher
by no more than rounding errors, as with the approximate conditions of Hager and Zhang (2005). If it
fails again before the loss has fallen, the memory is forgotten, as in SciPy's L-BFGS-B; then once
more with a shorter first step. Until a loss is small or a line search fails, parameters are those
of PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: Keys in the optimizer's state: the loss's factor; how often in a row a line search has failed;
#: the loss at the first of these failures; how many further iterations allow rounding errors.
_FACTOR, _FAILURES = "loss_factor", "failures"
_LOSS_AT_FAILURE, _TOLERANT = "loss_at_failure", "tolerant_iterations"

#: How far steepest descent goes first, as the sum over all parameters; then the training ends.
_LENGTHS = (1.0, 1e-2)

#: With a smaller loss, its factor is set anew.
_SMALL = 1e-2

#: The factor is at most two to this power, so that single precision holds what it multiplies.
_LARGEST_EXPONENT = 60

#: So many iterations are made before the loss is looked at again; at the very first after one.
_AT_ONCE = 50

#: After a failure, so many iterations allow rounding errors. Each costs an evaluation more.
_TOLERANT_ITERATIONS = 20

#: So many evaluations may the very first line search take, and those that allow rounding errors.
_LONGEST_SEARCH = 100

#: What counts as a rounding error of the loss, relative: in units of the parameters' precision, and
#: at most.
_ROUNDING, _LARGEST_ROUNDING = 1000, 1e-3


def step(optimizer: torch.optim.LBFGS, closure: Callable[[], Tensor]) -> None:
    """Makes a step of L-BFGS.

    A failed line search is an iteration, as in PyTorch. With a ``tolerance_change`` above 0, or
    without a line search, all is as in PyTorch.

    Args:
        optimizer: The optimizer. Its options limit the iterations and evaluations of the step;
            the evaluations with which it goes on are not counted.
        closure: Gives the loss, and sets the gradients.
    """
    group = optimizer.param_groups[0]
    if group["tolerance_change"] > 0 or group["line_search_fn"] is None:
        optimizer.step(closure)
        return
    parameters, options = group["params"], dict(group)
    state = optimizer.state[parameters[0]]
    rounding = min(_ROUNDING * torch.finfo(parameters[0].dtype).eps, _LARGEST_ROUNDING)
    last_iteration = state.get("n_iter", 0) + group["max_iter"]
    last_evaluation = state.get("func_evals", 0) + group["max_eval"]
    multiplied = _Closure(closure, parameters)
    _multiply_state(state, state.get(_FACTOR, 1.0))
    try:
        while True:
            begun = state.get("n_iter", 0)
            tolerant = state.get(_TOLERANT, 0)
            multiplied.factor = state.get(_FACTOR, 1.0)
            multiplied.allowance = rounding if tolerant else 0.0
            group["tolerance_grad"] = options["tolerance_grad"] * multiplied.factor
            at_once = 1 if tolerant or not begun else _AT_ONCE
            group["max_iter"] = min(last_iteration - begun, at_once)
            left = last_evaluation - state.get("func_evals", 0)
            group["max_eval"] = min(left, _LONGEST_SEARCH) if at_once == 1 else left
            before = [p.detach().clone() for p in parameters]
            optimizer.step(multiplied)
            made = state["n_iter"] - begun
            if made == 0:  # the gradient is as small as was asked for
                if "d" in state:  # by a step of one iteration, DeepXDE knows an end
                    state["n_iter"] += 1
                return
            # A step may also be lost in the parameters' rounding, or a line search in nan.
            lost = _put_back_if_not_finite(parameters, before)
            if state["n_iter"] >= last_iteration or state["func_evals"] >= last_evaluation:
                return
            if lost or _failed(state) or all(map(torch.equal, parameters, before)):
                if not _prepare(state, rounding):
                    return
            elif made < group["max_iter"]:
                return
            else:
                state[_TOLERANT] = max(tolerant - 1, 0)
                if 0 < state["prev_loss"] < _SMALL:
                    _set_factor(state, state["prev_loss"])
            last_evaluation += 1  # of the loss at the same point again
    finally:
        group.update(options)
        multiplied.put_gradients_back()
        _multiply_state(state, 1 / state.get(_FACTOR, 1.0))


class _Closure:
    """A closure of the loss times a factor.

    Args:
        closure: The closure.
        parameters: The parameters whose gradients it sets.
    """

    def __init__(self, closure: Callable[[], Tensor], parameters: list[Tensor]):
        self.closure = closure
        self.parameters = parameters
        self.factor = 1.0
        #: By how much the next loss is increased, relative: others up to there are lower.
        self.allowance = 0.0
        self._multiplied = False

    def __call__(self) -> Tensor:
        self._multiplied = False
        loss = self.closure()
        self._multiply_gradients(self.factor)
        self._multiplied = True
        loss = (loss + self.allowance * loss.abs()) * self.factor
        self.allowance = 0.0
        return loss

    def put_gradients_back(self) -> None:
        """Divides the parameters' gradients by the factor, if they have it."""
        if self._multiplied:
            self._multiply_gradients(1 / self.factor)

    def _multiply_gradients(self, factor: float) -> None:
        for p in self.parameters:
            if factor != 1 and p.grad is not None:
                p.grad.mul_(factor)


@torch.no_grad()
def _put_back_if_not_finite(parameters: list[Tensor], before: list[Tensor]) -> bool:
    """Puts the parameters back where one has become nan or infinite; whether it did."""
    if all(bool(torch.isfinite(p).all()) for p in parameters):
        return False
    for p, one in zip(parameters, before, strict=True):
        p.copy_(one)
    return True


def _failed(state: dict[str, Any]) -> bool:
    """Whether the last iteration did not move, for want of a lower loss or a descent direction."""
    return bool(state["t"] == 0 or torch.dot(state["d"], state["prev_flat_grad"]) > 0)


def _prepare(state: dict[str, Any], rounding: float) -> bool:
    """Changes the optimizer's state so that it can go on.

    Returns:
        Whether it can: after the last way it can't until the loss has fallen.
    """
    loss = state["prev_loss"] / state.get(_FACTOR, 1.0)
    if not math.isfinite(loss):
        return False
    at_failure = state.get(_LOSS_AT_FAILURE, math.inf)
    if math.isinf(at_failure) or loss < at_failure - rounding * abs(at_failure):
        state.update({_FAILURES: 0, _LOSS_AT_FAILURE: loss})
    failures = state[_FAILURES] = state.get(_FAILURES, 0) + 1
    if failures > 1 + len(_LENGTHS):
        return False
    state[_TOLERANT] = _TOLERANT_ITERATIONS
    state["t"] = 0.0  # nothing is remembered of the step that failed
    _set_factor(state, state["prev_loss"])
    if failures > 1:
        state.update(old_dirs=[], old_stps=[], ro=[])
        _go_along_gradient(state, _LENGTHS[failures - 2])
    return True


def _set_factor(state: dict[str, Any], loss: float) -> None:
    """Sets the factor to the power of two that brings a loss with the present one into [1, 2).

    Products with a power of two are exact.
    """
    before = state.get(_FACTOR, 1.0)
    if 0 < loss < math.inf:
        exponent = math.floor(math.log2(before)) - math.floor(math.log2(loss))
        state[_FACTOR] = 2.0 ** max(min(exponent, _LARGEST_EXPONENT), -_LARGEST_EXPONENT)
        _multiply_state(state, state[_FACTOR] / before)
    if not state["old_dirs"]:
        _go_along_gradient(state, _LENGTHS[0])


def _multiply_state(state: dict[str, Any], factor: float) -> None:
    """Multiplies the loss in all that is remembered; between steps it has no factor there."""
    if factor == 1 or "d" not in state:
        return
    state["prev_loss"] *= factor
    state["prev_flat_grad"].mul_(factor)
    for change in state["old_dirs"]:  # of the gradient, in PyTorch's words
        change.mul_(factor)
    state["ro"] = [inverse / factor for inverse in state["ro"]]
    state["H_diag"] = state["H_diag"] / factor


def _go_along_gradient(state: dict[str, Any], length: float) -> None:
    """Without a memory, the next step goes along the gradient, as far as PyTorch's first."""
    state["H_diag"] = min(1.0, length / float(state["prev_flat_grad"].abs().sum()))
