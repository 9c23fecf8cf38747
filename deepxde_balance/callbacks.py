"""DeepXDE callbacks: adaptive weights for a stock model, and progress."""

from __future__ import annotations

import copy

import deepxde as dde
from torch import Tensor
from tqdm.auto import tqdm

from . import weightings
from .gradients import external_variables
from .model import Model
from .probe import find_terms
from .step import TrainStep, start_step
from .targets import mend_targets
from .terms import LossGroups, TermGroups, group_terms, problem_of
from .weightings import Keep, Weighting


class LossWeighting(dde.callbacks.Callback):
    """Adaptive loss weights for a stock ``dde.Model``, whose class you can't change.

    The same strategies as :class:`~deepxde_balance.Model`, with the same weights and the same
    cost. Compile the model without `loss_weights` and pass this to its `train`. While it trains,
    this callback stands in for the model's training step; afterwards the model is as it was.
    `loss_train` holds the unweighted losses; `losshistory.loss_weights` the weights, as with
    :class:`~deepxde_balance.Model`. Given again to a later `train` of the same model, it goes on
    from where it was, also when the model was compiled anew with another optimizer.

    Args:
        weighting: The name of a strategy or a weighting object, which is copied. ``"keep"``: the
            last weights in the model's loss history, frozen.
        loss_groups: Which terms share a weight, see :meth:`deepxde_balance.Model.compile`.

    Raises:
        ValueError: If the name is unknown. At the start of training: if the groups don't fit
            the conditions, or the model was compiled with weights of its own.
        TypeError: If `weighting` is neither a name nor a weighting object.
    """

    def __init__(self, weighting: str | Weighting, loss_groups: LossGroups | None = None):
        super().__init__()
        self.weighting = copy.deepcopy(weightings.get(weighting))
        self.loss_groups = loss_groups
        self._step: TrainStep | None = None
        self._deepxde_step = None

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are applied now, by group name; empty before training."""
        return {} if self._step is None else self._step.group_weights()

    def on_train_begin(self) -> None:
        model = self.model
        self._refuse_weighted(model)
        problem = problem_of(model.data)
        if problem is not None:
            mend_targets(problem, external_variables(model))
        groups = group_terms(find_terms(model), self.loss_groups)
        going_on = self._step is not None and self._step.goes_on_with(model, groups)
        if not going_on:
            self._step = start_step(model, self.weighting, groups)
            if isinstance(self.weighting, Keep):
                self.weighting.weights = _last_weights(model, groups, self.weighting)
        if model.train_step is not self._step:
            self._deepxde_step = model.train_step
            model.train_step = self._step
        self._record()

    def on_batch_end(self) -> None:
        if len(self.model.losshistory.steps) > len(self.model.losshistory.loss_weights):
            self._record()

    def on_train_end(self) -> None:
        self.model.train_step = self._deepxde_step

    def _refuse_weighted(self, model: dde.Model) -> None:
        if isinstance(model, Model):
            raise ValueError(
                "LossWeighting is for a stock dde.Model: give the strategy of a "
                "deepxde_balance.Model to its compile(loss_weights=...)."
            )
        if model.loss_weights is not None:
            raise ValueError(
                f"The model was compiled with loss_weights={model.loss_weights!r}, which "
                "LossWeighting would not apply: compile it without, and give static factors to "
                "the weighting's `scale`."
            )
        if isinstance(model.train_step, TrainStep) and model.train_step is not self._step:
            raise ValueError("Another LossWeighting weighs this model: give `train` one of them.")

    def _record(self) -> None:
        """Brings `losshistory.loss_weights` up to the length of `losshistory.steps`."""
        assert self._step is not None
        history = self.model.losshistory
        weights = self._step.group_weights()
        if not hasattr(history, "loss_weights"):
            history.loss_weights = []
        for _ in range(len(history.steps) - len(history.loss_weights) - 1):
            history.loss_weights.append(dict.fromkeys(weights, 1.0))  # trained without us
        history.loss_weights.append(weights)
        self._step.warn_skipped()


def _last_weights(model: dde.Model, groups: TermGroups, keep: Keep) -> Tensor:
    """The last recorded weights, for `keep`."""
    recorded = getattr(model.losshistory, "loss_weights", [])
    if not recorded or set(recorded[-1]) != set(groups.names):
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model\'s loss history has '
            f"none for the groups {', '.join(groups.names)}: train it with a strategy first."
        )
    return keep.weights.new_tensor([recorded[-1][name] for name in groups.names])


class Progress(dde.callbacks.Callback):
    """A tqdm progress bar over the iterations.

    Args:
        iterations: How many there will be; ``None`` if that is not known.
        description: What stands in front of the bar.
    """

    def __init__(self, iterations: int | None = None, description: str | None = None):
        super().__init__()
        self.iterations = iterations
        self.description = description
        self._bar: tqdm | None = None

    def on_train_begin(self) -> None:
        self._bar = tqdm(total=self.iterations, desc=self.description, unit="it")
        self._start = self.model.train_state.step

    def on_batch_end(self) -> None:
        assert self._bar is not None
        self._bar.update(self.model.train_state.step - self._start - self._bar.n)

    def on_train_end(self) -> None:
        assert self._bar is not None
        self._bar.close()
