"""The optimizers of the first phase of a training, by their names."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

#: DeepXDE's, and SOAP of the package pytorch-optimizer.
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd", "soap")


def check_optimizer_name(name: Any) -> None:
    """Raises an error unless an optimizer of that name can be used.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If the package that it needs is not installed.
    """
    if name not in OPTIMIZERS:
        raise ValueError(
            f"optimizer={name!r} is not allowed: give one of {', '.join(OPTIMIZERS)}; for L-BFGS "
            "after it, lbfgs_iterations."
        )
    if name == "soap" and importlib.util.find_spec("pytorch_optimizer") is None:
        raise ImportError(
            'optimizer="soap" needs pytorch-optimizer: pip install "deepxde-balance[optimizers]".'
        )


def optimizer_for(
    name: str, lr: float, net: torch.nn.Module, variables: Sequence[Tensor]
) -> str | torch.optim.Optimizer:
    """What `compile` takes as the optimizer of that name.

    As in the optimizers that DeepXDE makes, the weight decay is the network's L2 regularization,
    and external variables have none.

    Args:
        name: One of :data:`OPTIMIZERS`.
        lr: The learning rate.
        net: The network.
        variables: The unknowns that are trained beside the network.

    Returns:
        DeepXDE's name of its own optimizer, else an object.
    """
    if name != "soap":
        return name
    from pytorch_optimizer import SOAP

    regularizer: Any = net.regularizer
    l2 = regularizer[1] if regularizer is not None and regularizer[0] == "l2" else 0.0
    groups: list[dict[str, Any]] = [{"params": list(net.parameters()), "weight_decay": l2}]
    if variables:
        groups.append({"params": list(variables), "weight_decay": 0.0})
    optimizer: torch.optim.Optimizer = SOAP(groups, lr=lr)
    return optimizer


def versions(name: str) -> dict[str, str]:
    """The version of the package, beside DeepXDE and PyTorch, that the optimizer is from."""
    return {"pytorch-optimizer": version("pytorch-optimizer")} if name == "soap" else {}
