"""Which strategy suits a model, as far as one look at it can tell."""

from __future__ import annotations

from dataclasses import dataclass

import deepxde as dde

from ..model import Model
from ..terms.groups import LossGroups, TermGroups, group_terms
from ..weightings import Fixed, Keep, StrategyName
from .findings import Findings, listed
from .observation import tells_errors, training_step, weighted_groups


@dataclass(frozen=True)
class Recommendation:
    """What to train a model with.

    Args:
        strategy: ``"auto"``, ``"capu"`` or ``"equal"``.
        scale: Factors for the losses of terms in other units, by name, for the strategy's `scale`;
            empty if it needs none.
        text: The same in a sentence, with the reason.
    """

    strategy: StrategyName
    scale: dict[str, float]
    text: str


def strategy_groups(
    model: dde.Model, groups: TermGroups, loss_groups: LossGroups | None
) -> TermGroups:
    """The groups that a strategy would weigh.

    Args:
        model: A compiled model.
        groups: The groups that are observed, which may be single terms.
        loss_groups: The groups that `diagnose` was given.
    """
    weighted, step = weighted_groups(model), training_step(model)
    fixed = step is not None and isinstance(step.weighting, Fixed)  # by term, not by group
    if loss_groups is None and weighted is not None and not fixed:
        return weighted[0]
    return group_terms(groups.terms, loss_groups)


def recommend(model: dde.Model, groups: TermGroups, findings: Findings) -> Recommendation:
    """Chooses a strategy by the structure of the problem and by what was found.

    Args:
        model: A compiled model.
        groups: The groups that the strategy would weigh.
        findings: What was found.
    """
    reason, reads_losses = _against_auto(model, groups, findings)
    strategy: StrategyName = "auto"
    if reason is not None:
        strategy = "capu" if reads_losses and findings.starved() else "equal"
    scale = {} if findings.traces is None else dict(findings.factors)
    if strategy == "auto":
        shared = findings.apart_within(groups)
        needed = shared | findings.present.keys() if shared else shared
        scale = {name: factor for name, factor in scale.items() if name in needed}
    text = f"{_how(model, strategy, scale, groups)}{_why(strategy, reason, groups)}"
    present = _of_present_strategy(model, findings)
    for_what = " for a fresh training" if present else ""
    return Recommendation(strategy, scale, f"{present}Recommended{for_what}: {text}")


def _why(strategy: str, reason: str | None, groups: TermGroups) -> str:
    number = len(groups.names) - 1
    conditions = "the one condition" if number == 1 else f"each of the {number} conditions"
    if strategy == "auto":
        return (
            f". It weighs {conditions} against the residual by the tangent kernel, not by the "
            "present gradients."
        )
    if strategy == "capu":
        return (
            f', which reads losses alone. "auto" can\'t be used: {reason}. Compare it with equal '
            "weights: its parameter eta depends on the problem."
        )
    return f'. "auto" can\'t be used: {reason}.'


def _against_auto(
    model: dde.Model, groups: TermGroups, findings: Findings
) -> tuple[str | None, bool]:
    """Why `"auto"` can't be used, if so; and whether a strategy that reads losses can."""
    num_residuals = sum(term.condition is None for term in groups.terms)
    if num_residuals and groups.terms[0].untold:
        return _of_untold_terms(model, groups), False
    if not num_residuals and not groups.has_reference:
        return "there is no PDE residual to weigh the conditions against", False
    if len(groups.names) < 2:
        if findings.hard.keys() >= {groups.terms[i].name for i in groups.unweighted} != set():
            return "the network fixes all other terms by construction", False
        if groups.unweighted:
            return "loss_groups leaves all conditions unweighted", False
        more = '; loss_groups={"pde": [0]} would make the other residuals conditions'
        return f"there is no condition{more if num_residuals > 1 else ''}", False
    if not findings.any_condition_learnable():
        return "no parameter of the network changes a condition", False
    if not tells_errors(model):
        kind = type(model.data).__name__
        return f"it needs the errors at the points, and {kind} has losses of its own", True
    return None, True


def _of_untold_terms(model: dde.Model, groups: TermGroups) -> str:
    kind = type(model.data).__name__
    if len(groups.terms) == 1:
        return f"{kind} gives one loss, so there is nothing to weigh"
    return f"{kind} does not tell which of its losses is the residual"


def _how(model: dde.Model, strategy: str, scale: dict[str, float], groups: TermGroups) -> str:
    """What to write in the script."""
    if strategy == "equal":
        if not scale:
            return "equal weights"
        numbers = ", ".join(f"{scale.get(term.name, 1.0):g}" for term in groups.terms)
        return f"fixed numbers for the units, loss_weights=[{numbers}]"
    weighting = f'"{strategy}"'
    if scale:  # known from kernel traces, which `Auto` reads too
        factors = ", ".join(f'"{name}": {factor:g}' for name, factor in scale.items())
        weighting = f"ddb.Auto(scale={{{factors}}})"
    if isinstance(model, Model):
        return f"loss_weights={weighting}"
    without = " and no loss_weights" if model.loss_weights is not None else ""
    return f"callbacks=[ddb.LossWeighting({weighting})]{without}"


def _of_present_strategy(model: dde.Model, findings: Findings) -> str:
    """Sentences on the strategy that the model has, a space behind each; empty without one."""
    step = training_step(model)
    if step is None:
        return ""
    weighting = step.weighting
    if isinstance(weighting, Keep):
        return "These are the weights of the phase before, kept. "
    if weighting.adapted:
        return (
            "These are the adapted weights of the model's strategy: if a loss does not fall under "
            "them, try a larger update_every or another strategy. "
        )
    if not weighting.dynamic:
        return ""
    text = "The model's strategy adapts the weights from the first iteration on. "
    smaller = findings.larger_than_reference()
    if weighting.can_let_go and smaller:
        text += f"It would begin with weights below 1 for {listed(smaller)}. "
    return text
