"""The weightings of TorchJD, most of which balance gradients by their inner products."""

from __future__ import annotations

import importlib
from typing import Any, get_args, get_origin

import torch
from torch import Tensor

from .base import Scale
from .group_gradients import GroupGradients
from .kinds import FromGradients

#: Attributes by which a TorchJD weighting knows whether the state in its buffers is valid.
_STATE_KEYS = ("_state_key",)


class TorchJD(FromGradients):
    """A weighting of TorchJD (Quinton & Rey 2024) on the gradients of the groups.

    TorchJD has weightings that map the Gramian G G^T of the gradients, shape (K, K), to weights
    (``UPGradWeighting()``, ``MGDAWeighting()``, ``IMTLGWeighting()``, ...), and aggregators with a
    weighting inside (``UPGrad()``, ``NashMTL(n_tasks=K)``, ...). Both can be given. The reference
    has such a weight too. If a loss or a gradient is not finite, no weight is updated; a new
    weight that is not finite is ignored.

    Checkpoints include the state that TorchJD holds in buffers (GradVac, PCD, CR-MOGM), but not
    that of NashMTL, which a restored run starts again. Many of these weightings compute on the
    host, so that training on a GPU waits for them.

    Args:
        weighting: A ``torchjd.aggregation`` weighting of Gramians, or a weighted aggregator.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ImportError: If TorchJD is not installed.
        TypeError: If `weighting` is neither a weighting of Gramians nor a weighted aggregator.
        ValueError: If an argument is out of its range.

    Example::

        from torchjd.aggregation import UPGradWeighting

        model.compile("adam", lr=1e-3, loss_weights=ddb.TorchJD(UPGradWeighting()))
    """

    needs_reference = False

    #: TorchJD's weighting.
    torchjd: Any

    may_be_negative = True

    def __init__(self, weighting: Any, update_every: int = 1, scale: Scale | None = None):
        super().__init__(update_every, scale)
        inner, reads_gramian = _weighting_of(weighting)
        # Not a submodule: TorchJD adds and removes buffers, and `load_state_dict` of a module
        # refuses a state with other buffers.
        object.__setattr__(self, "torchjd", inner)
        self._reads_gramian = reads_gramian

    @property
    def strategy(self) -> str:
        parts = [type(m).__name__ for m in self.torchjd.modules()]
        return f"TorchJD({' << '.join(parts)})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        values = super().hyperparameters
        for path, module in self.torchjd.named_modules():
            for name in dir(type(module)):
                if isinstance(getattr(type(module), name), property):
                    value = getattr(module, name)
                    if isinstance(value, (bool, int, float, str)):
                        values[".".join(filter(None, ("torchjd", path, name)))] = value
        return values

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        for module in self.torchjd.modules():
            if hasattr(module, "reset"):
                module.reset()

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        rows = gradients.values
        finite = losses.isfinite().all() & rows.isfinite().all()
        # TorchJD's solvers raise errors at a nan, so give them any finite rows.
        any_rows = torch.eye(*rows.shape, dtype=rows.dtype, device=rows.device)
        rows = torch.where(finite, rows, any_rows)
        weights = self.torchjd(rows @ rows.T if self._reads_gramian else rows).to(rows)
        if weights.shape != self.weights.shape:
            raise ValueError(
                f"{type(self.torchjd).__name__} gave weights of shape {tuple(weights.shape)} for "
                f"{len(self.weights)} groups."
            )
        updated = finite & weights.isfinite()
        self.weights = torch.where(updated, weights, self.weights)
        self.note_skipped(~updated)

    def get_extra_state(self) -> dict[str, Any]:
        return {**super().get_extra_state(), "torchjd": _state(self.torchjd)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        for path, values in state["torchjd"].items():
            module = self.torchjd.get_submodule(path)
            for name, value in values.items():
                setattr(module, name, value.clone() if isinstance(value, Tensor) else value)


def _state(weighting: Any) -> dict[str, dict[str, Any]]:
    """The buffers of each module inside a TorchJD weighting, with `_STATE_KEYS`, by its path."""
    return {
        path: {
            **dict(module.named_buffers(recurse=False)),
            **{name: getattr(module, name) for name in _STATE_KEYS if hasattr(module, name)},
        }
        for path, module in weighting.named_modules()
    }


def _weighting_of(given: Any) -> tuple[Any, bool]:
    """The TorchJD weighting to call, and whether it reads the Gramian (or else the gradients)."""
    try:
        aggregation = importlib.import_module("torchjd.aggregation")
        linalg = importlib.import_module("torchjd.linalg")
    except ImportError as error:
        raise ImportError(
            "TorchJD's weightings need it installed: pip install deepxde-balance[torchjd]"
        ) from error
    if isinstance(given, aggregation.GramianWeightedAggregator):
        return given.gramian_weighting, True
    if isinstance(given, aggregation.WeightedAggregator):
        return given.weighting, False
    smoothed = given
    while isinstance(smoothed, aggregation.CRMOGMWeighting):
        smoothed = smoothed.weighting
    if _is_weighting_of(smoothed, linalg.PSDMatrix, aggregation.Weighting):
        return given, True
    raise TypeError(
        f"weighting={given!r} is not allowed: give a TorchJD weighting that maps a Gramian to "
        "weights, such as UPGradWeighting(), MGDAWeighting() or IMTLGWeighting(), or an aggregator "
        "that combines gradients by weights, such as UPGrad(), Random() or NashMTL(n_tasks=3)."
    )


def _is_weighting_of(given: Any, matrix: type, weighting: type) -> bool:
    """Whether the class of `given` derives from ``weighting[matrix]``."""
    return any(
        get_origin(base) is weighting and get_args(base) == (matrix,)
        for kind in type(given).__mro__
        for base in vars(kind).get("__orig_bases__", ())
    )
