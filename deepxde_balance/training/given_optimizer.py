"""Checks the optimizer that `compile` is given against what it is to train."""

from __future__ import annotations

import warnings
from typing import Any

import deepxde as dde
import torch
from torch import Tensor

from .._deepxde.nncg import is_nncg


def check_frozen(model: dde.Model, optimizer: Any) -> None:
    """Refuses NNCG for a network that is frozen in part: it differentiates by every parameter.

    Args:
        model: The model; it need not be compiled yet.
        optimizer: The optimizer, or a name.

    Raises:
        ValueError: If the optimizer is NNCG and has a parameter that is frozen.
    """
    if is_nncg(optimizer):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
    elif optimizer == "NNCG":
        parameters = list(model.net.parameters())
    else:
        return
    frozen = sum(not p.requires_grad for p in parameters)
    if frozen:
        raise ValueError(
            f"optimizer=NNCG differentiates by each of its {len(parameters)} parameters, {frozen} "
            "of which are frozen (requires_grad is False): train them, too, or take another "
            "optimizer."
        )


def check_trains(model: dde.Model, optimizer: Any, variables: Any, lr: float | None = None) -> None:
    """Checks that an optimizer object trains the model; a name is not checked.

    DeepXDE takes an optimizer object as it is, whatever parameters it has, and gives it neither the
    learning rate nor the external variables nor the L2 regularization.

    Args:
        model: The model; it need not be compiled yet.
        optimizer: The optimizer, or a name.
        variables: The `external_trainable_variables` of `compile`.
        lr: The learning rate of `compile`.

    Raises:
        ValueError: If the optimizer has parameters of another network only.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        return
    kind = type(optimizer).__name__
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    ids = {id(p) for p in trained}
    external = _listed(variables)
    own = [*model.net.parameters(), *external]
    # A `dde.Variable` is a plain tensor, and may be trained without being listed.
    if all(id(p) not in ids for p in own) and any(map(_is_parameter, trained)):
        raise ValueError(
            f"optimizer={kind}(...) has none of the {len(list(model.net.parameters()))} parameters "
            "of the model's network, only those of another one, and would train nothing: make it "
            "with net.parameters() of the network that the model was made with."
        )
    missing = sum(id(v) not in ids for v in external)
    if missing:
        _warn(
            f"optimizer={kind}(...) does not have {missing} of the {len(external)} "
            "external_trainable_variables, which stay as they are: make it with "
            "[*net.parameters(), *variables]."
        )
    regularizer: Any = model.net.regularizer
    undecayed = all(not group.get("weight_decay") for group in optimizer.param_groups)
    if regularizer is not None and regularizer[0] == "l2" and regularizer[1] > 0 and undecayed:
        _warn(
            f"The network's L2 regularization {regularizer[1]} is not applied: DeepXDE gives it to "
            f"optimizers that it makes by name. Make {kind} with weight_decay={regularizer[1]}."
        )
    if lr is not None and all(group.get("lr") != lr for group in optimizer.param_groups):
        _warn(
            f"lr={lr} is not applied: an optimizer object has its own learning rate. Make {kind} "
            f"with lr={lr}."
        )


def _listed(variables: Any) -> list[Tensor]:
    if variables is None:
        return []
    return list(variables) if isinstance(variables, (list, tuple)) else [variables]


def _is_parameter(p: Tensor) -> bool:
    return isinstance(p, torch.nn.Parameter)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)  # at the call of `compile`
