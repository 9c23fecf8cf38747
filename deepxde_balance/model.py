"""A DeepXDE model whose loss weights adapt."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import deepxde as dde
import numpy as np
import torch

from ._deepxde import lbfgs
from ._deepxde.batch import Batch, problem_of
from ._deepxde.copied_optimizer import complete_copy
from ._deepxde.own_functions import bind_functions
from ._deepxde.stock_losses import given_losses
from ._deepxde.stock_model import StockModel, is_stock_step
from ._deepxde.target_cache import mend_targets
from ._deepxde.test_points import TestPoints
from .checkpoints import checkpoint
from .checkpoints.lock import alone
from .gradients.base import external_variables
from .gradients.choose import (
    EngineAsked,
    EngineName,
    check_engine,
    reason_against,
    takes_one_pass,
)
from .ranks import current, is_first
from .terms.find_terms import find_terms
from .terms.groups import LossGroups, group_terms
from .terms.term import Term, TermNames, name_terms, rename
from .training.best_step import TrainState, judge_by_weights
from .training.build_step import (
    LossWeights,
    build_step,
    check_optimizer,
    checked_numbers,
    start_step,
    step_with_numbers,
)
from .training.check_ranks import (
    check_alike,
    check_before_training,
    check_compiled,
    refuse_what_ranks_cannot_share,
)
from .training.given_optimizer import check_frozen, check_trains
from .training.loss_check import is_finite, warn_of_test_losses
from .training.loss_units import follow_change
from .training.lost_weights import warn_of_lost_weights
from .training.own_step import check_class, check_replacement
from .training.run import TrainingRun, present_point_weights, run_of, unchanged_on_error
from .training.step import TrainStep, factors_of, has_l1
from .training.weigh_points import PointWeightsGiven
from .weightings import Equal, Fixed, Weighting


class Model(StockModel):
    """A ``dde.Model`` with adaptive loss weights.

    It does everything that ``dde.Model`` does. Its `compile` also takes a strategy for
    `loss_weights`.

    Args:
        data: ``deepxde.data.Data`` instance.
        net: ``deepxde.nn.NN`` instance.

    Attributes:
        losshistory: DeepXDE's loss history. Its additional list `loss_weights` has one entry for
            each entry of `losshistory.steps`: the weights applied then, as a mapping from a
            group's name to its weight.
        train_state: DeepXDE's state of the training. With a strategy, its best step is judged by
            weighted losses, two records both with the weights of the later one; so do
            ``ModelCheckpoint(save_better_only=True)`` and ``EarlyStopping``.

    Example:
        >>> import deepxde as dde
        >>> import deepxde_balance as ddb
        >>> geom = dde.geometry.Interval(0, 1)
        >>> def pde(x, u):
        ...     return dde.grad.hessian(u, x) - 1
        >>> left = dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5)
        >>> right = dde.icbc.NeumannBC(geom, lambda x: 1, lambda x, on: on and x[0] > 0.5)
        >>> data = dde.data.PDE(geom, pde, [left, right], num_domain=30, num_boundary=2)
        >>> model = ddb.Model(data, dde.nn.FNN([1, 20, 1], "tanh", "Glorot uniform"))
        >>> model.compile("adam", lr=1e-3, loss_weights="db-kurtosis", verbose=0)
        >>> losshistory, train_state = model.train(iterations=200, verbose=0)
        >>> losshistory.loss_weights[0]
        {'pde': 1.0, 'bc0': 1.0, 'bc1': 1.0}
        >>> losshistory.loss_weights[-1] == model.weights
        True
    """

    #: The numbers that DeepXDE multiplies its losses with, or ``None``.
    loss_weights: Any

    def __init__(self, data: dde.data.Data, net: torch.nn.Module):
        if isinstance(data, torch.nn.Module):
            raise TypeError(f"data={type(data).__name__} is a network: data comes first, then net.")
        super().__init__(data, net)
        #: A copy of the numbers in `loss_weights`, to notice when a script changes them.
        self._numbers: list[float] | None = None
        self._refresh_test_points()
        self.losshistory.loss_weights = []
        self.train_state = TrainState()

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """A copy that is independent of this model, but for the variables of an inverse problem."""
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(vars(self), memo))
        bind_functions(copied, self)
        complete_copy(copied.opt, self.opt, memo)
        if getattr(self, "external_trainable_variables", None):
            warnings.warn(
                "The residuals and conditions of a copied model still read the external variables "
                "of the original: those of the copy are not trained. Make the problem anew "
                "and restore a checkpoint instead.",
                stacklevel=3,
            )
        return copied

    @property
    def _run(self) -> TrainingRun:
        return run_of(self)

    def compile(
        self,
        optimizer: str | torch.optim.Optimizer,
        lr: float | None = None,
        loss: Any = "MSE",
        metrics: Sequence[Any] | None = None,
        decay: tuple[Any, ...] | None = None,
        loss_weights: LossWeights = None,
        external_trainable_variables: Any = None,
        verbose: int = 1,
        loss_groups: LossGroups | None = None,
        gradient_engine: EngineName | None = None,
        point_weights: PointWeightsGiven = None,
        points_per_pass: int | None = None,
        term_names: TermNames | None = None,
    ) -> None:
        """Configures the model for training.

        Arguments that are not described here are those of ``dde.Model.compile``. The weights start
        afresh, with 1 for all, in each compile except with ``"keep"``; a warning says so where the
        strategy stays and its weights are lost. A weighting object given as
        `loss_weights` is copied, and does not change.

        With a strategy, `loss_train` and `loss_test` hold the unweighted losses, so that losses of
        different iterations can be compared. With a list of numbers they hold the weighted losses,
        as in DeepXDE. A strategy's `scale` is a choice of units, and no weight: it is in these
        losses, and so in the best step and in what ``EarlyStopping`` and ``ModelCheckpoint`` see.

        Under L-BFGS and NNCG, the weights do not change within a step of the optimizer (up to 1000
        L-BFGS iterations, see ``dde.optimizers.set_LBFGS_options``). A strategy updates them before
        every `update_every`-th step. With ``"keep"`` and strategies, L-BFGS goes on where a line
        search fails, and with small losses, see :mod:`deepxde_balance.training.lbfgs_step`; without
        `loss_weights`, with ``"equal"`` and with numbers it is DeepXDE's.

        Args:
            optimizer: A name that DeepXDE knows, or any ``torch.optim.Optimizer`` over the
                network's parameters, such as ``SOAP(net.parameters(), lr=3e-3)`` of the package
                pytorch-optimizer. Such an object has its own learning rate and weight decay; it
                must have the external variables, too. Where it has a part of the network's
                parameters, the statistics of the gradients are over that part.
            loss_weights: One of

                - the name of a strategy (see :func:`deepxde_balance.weightings.names`), perhaps
                  with parameters: ``"dn:beta=0.9,update_every=10"``. Type checkers accept plain
                  names only. For a name with parameters, or a name of your own
                  (:func:`deepxde_balance.register`), ``weightings.get("dn:beta=0.9")`` has the
                  right type;
                - a weighting object, e.g. ``ddb.DB("kurtosis", update_every=10)``;
                - a list of numbers, one per loss term: fixed weights, as in DeepXDE. A script may
                  change `model.loss_weights` during training; under a strategy, that raises a
                  ValueError;
                - a mapping from names of loss terms to such numbers, ``{"bc0": 100}``; those not
                  named have weight 1;
                - ``"keep"``: the weights that the model has now, frozen. The loss terms must be
                  those of the phase before;
                - ``None``: weight 1 for all.

            loss_groups: Which terms share a weight: a mapping from a group's name to its IC/BC
                objects or their positions. By default each IC/BC object is a group, named by its
                kind and position (``"bc0"``, ``"ic1"``, ``"data2"``), and the PDE residuals
                together are the reference. The key ``"pde"`` takes positions of the residuals that
                make up the reference; the other residuals then become groups. Where there are no
                residuals, strategies that compare with a reference need the key ``"reference"``,
                which takes conditions. The key ``"unweighted"`` takes conditions that stay at
                weight 1. With these keys alone, each other condition is a group.
            gradient_engine: How losses and gradients are computed. One of

                - ``"one-pass"``: the network is evaluated on each group's points with copies of
                  the parameters, and one backward gives the gradients of all groups;
                - ``"per-group"``: one backward per group on DeepXDE's own losses;
                - ``"compiled"``: the one-pass engine's iteration, compiled by ``torch.compile``.
                  Compilation takes up to a minute, so it is for long trainings. The results equal
                  those of the one-pass engine up to rounding. Residuals and conditions may read
                  tensors that are changed in place, but nothing else that changes during a
                  training. This is checked every 499 iterations, when points change and when
                  training ends; a difference raises a RuntimeError. Where the difference might be
                  rounding, or the engine can't be used (no C++ compiler, points that are new more
                  often than every 100 iterations), a warning is given and training continues
                  uncompiled. NNCG and mixed precision are refused;
                - ``"cuda-graphs"``: the same, replayed as a CUDA graph, which spares the host's
                  time to start each kernel. For GPUs only, and not tried on one yet;
                - ``"fastest"``: the training begins as with ``None``, and is measured. The
                  iteration is compiled when the iterations left in this `train` save more than
                  that costs. What residuals, conditions, loss functions and the network read in
                  Python is found first, and compared in each iteration: numbers, text, tuples,
                  lists, dicts, small arrays, functions, attributes of plain objects and modules.
                  When something has changed, the iteration is computed uncompiled, and compiled
                  again where that pays. Where something else is read, a tensor is made a number,
                  or there is no compiler, the training goes on uncompiled, and nothing is said;
                  `model.gradient_engine` tells. So it is with several processes, an argument
                  `points_per_pass`, more than 50000 points, L-BFGS, NNCG, mixed precision, and on
                  a GPU. The results equal those of ``None`` up to rounding. When the iteration is
                  compiled depends on measured times: two runs of a script differ by rounding, and
                  so do a resumed run and an unbroken one;
                - ``None``: the one-pass engine where it gives DeepXDE's losses, which is checked,
                  and the problem has at least 300 points; else the per-group engine.

            point_weights: Weights within a loss term, one per point: the term's loss becomes the
                mean of w_p e_p^2 over its points. They go with every `loss_weights`, which then
                balance the losses so weighed. `loss_train` keeps the losses without them. The loss
                must be "MSE". One of

                - a name: ``"rba"`` or ``"causal"``, for the PDE residuals, ``"brdr"`` or ``"sa"``,
                  for all terms; perhaps with parameters, ``"rba:eta=0.001"``;
                - an object, such as ``ddb.Causal(chunks=16)``, which is copied;
                - a function of the points, a NumPy array of shape (N, d), that gives N numbers;
                - a mapping from names of groups or terms to any of these, or to an array of one
                  number per point of the term, for points that are not resampled. Groups with
                  the same object or the same text are weighed together;
                - ``None``: all points of a term count the same.

            points_per_pass: The largest number of points that go through the network together. The
                points of the loss terms are divided into passes of that many, and losses and
                gradients are added up; so the memory does not grow with the points. Losses,
                gradients, weights and records in the loss history are those of all points at once,
                to rounding. It needs the one-pass engine, and losses that are means over points.
                The latter is checked, for the loss functions here, for the model on a few of its
                points in the first iteration and when points change; a RuntimeError then names the
                term, also in the middle of a training. A loss function that becomes another one
                while the points stay is not noticed. Point weights take a second evaluation of the
                errors in each iteration. A condition of a class with an `error` of its own is
                evaluated as a whole, and so is the pair of points of a periodic or an interface
                condition. A number that is not less than that of the points puts all of them
                through at once. ``None``: on a CPU, 4096 above 20000 points, where it can be done;
                else, and under NNCG, all points at once.

            term_names: Names for PDE residuals, each with the residual's position:
                ``{"momentum_x": 0, "momentum_y": 1, "continuity": 2}``. They stand for ``"pde0"``,
                ``"pde1"``, ... wherever a loss term is named: in `loss_groups`, `loss_weights`,
                `point_weights` and a strategy's `scale`, in `loss_terms`, diagnoses, records and
                messages. Residuals without a name keep theirs. The reference, all residuals
                together, stays ``"pde"``. With ``"keep"`` they stay.

        Raises:
            ValueError: If a name is unknown, an optimizer object has parameters of another network
                only, NNCG is to train a network that is frozen in part, the number of weights is
                not the number of terms, a weight is negative or not finite, the groups don't fit
                the conditions, a name of `term_names` is reserved or taken, the strategy can't
                balance this problem or work with this optimizer, ``"keep"`` finds other terms or
                weights that can't be kept, a point weighting can't weigh these points, the gradient
                engine can't be used, points can't be divided into passes, or a derived class makes
                a `train_step` of its own, in which a strategy has no effect. The model then does
                not change.
            TypeError: If `loss_weights`, `loss_groups` or `point_weights` is of the wrong type.
            RanksError: If several processes train together
                (:func:`deepxde_balance.distributed`) and differ in what must be the same.

        Example:
            ``model`` is that of the example of :class:`Model`::

                model.compile("adam", lr=1e-3, loss_weights=ddb.DB("kurtosis", update_every=10))
                model.train(iterations=1000)
                model.compile("L-BFGS", loss_weights="keep")
                model.train()
        """
        if isinstance(self.weighting, (Equal, Fixed)):  # "keep" takes numbers as they are now
            self._follow_loss_weights()
        asked = EngineAsked(gradient_engine, points_per_pass)
        ranks = current()
        if ranks is not None:
            refuse_what_ranks_cannot_share(self, optimizer, ranks)
        check_engine(asked, self.data, self.net, optimizer, loss)
        check_trains(self, optimizer, external_trainable_variables, lr)
        check_frozen(self, optimizer)
        step, numbers = build_step(
            self, self._run, loss_weights, loss_groups, loss, asked, point_weights, term_names
        )
        if step is not None:
            check_optimizer(step.weighting, optimizer)
        warn_of_lost_weights(self._run.step, step, loss_weights)
        factors_before = factors_of(self._run.step)
        with unchanged_on_error(self):
            super().compile(
                optimizer,
                lr=lr,
                loss=loss,
                metrics=metrics,
                decay=decay,
                loss_weights=numbers,
                external_trainable_variables=external_trainable_variables,
                verbose=verbose,
            )
            has_own_step = not is_stock_step(self._train_step_now)
            if has_own_step:
                check_class(type(self).__name__, step, asked, ranks is not None)
            problem = problem_of(self.data)
            if problem is not None:
                mend_targets(problem, external_variables(self))
            if numbers is not None and not isinstance(loss_weights, (str, Mapping)):
                self.loss_weights = loss_weights  # the list itself, which the script may change
            self._numbers = None if numbers is None else checked_numbers(numbers)
            run = self._run
            run.step, run.engine_asked = step, asked
            run.term_names = term_names
            run.numbers_given, run.list_given = self._numbers, self.loss_weights
            run.pending, run.lbfgs_start = None, 0
            if has_own_step:
                pass  # `run.step` has the numbers that are DeepXDE's weights, and does not train
            elif step is not None:
                step.attach(self.opt)
                self.train_step = step
            elif ranks is not None:
                run.step = self.train_step = self._step_with_weight_1()
            elif any(a is not None for a in asked) or takes_one_pass(self.data, self.net):
                self.train_step = self._first_step
            if ranks is not None:
                assert run.step is not None
                check_compiled(self, run.step, ranks)
        follow_change(self, factors_before, factors_of(step))
        if verbose > 0 and step is not None and step.points is not None and step.rules_beside:
            print(f"Point weights: {step.points.in_words()}. Losses are shown without them.\n")
        if verbose > 0 and step is not None and step.weighting.dynamic:
            per_step = lbfgs.iterations_per_step(self.opt)
            if per_step is not None:
                print(
                    f"The weights of {step.weighting.called} don't change within a step of the "
                    f"optimizer, of up to {per_step} iterations: the first come from the network "
                    'as it is now. Train with "adam" first, then with loss_weights="keep".\n'
                )

    @property
    def train_step(self) -> Callable[..., None] | None:
        """The function that DeepXDE calls for one training iteration."""
        self._follow_loss_weights()
        return self._train_step_now

    @train_step.setter
    def train_step(self, step: Callable[..., None] | None) -> None:
        self._train_step_now = step

    def _first_step(self, *batch: Any) -> None:
        """The first iteration with weight 1 for all: finds the terms and makes the step."""
        if self._run.step is None:
            self._run.step = self._step_with_weight_1()
            if self._train_step_now == self._first_step:  # else a script's function calls this one
                self.train_step = self._run.step
            self._run.step.engine.begin(self._run.last_step)
        self._run.step(*batch)

    def _step_with_weight_1(self) -> TrainStep:
        """A step with weight 1 for all, or with the numbers that a script has assigned since."""
        engine = self._run.engine_asked
        terms = rename(find_terms(self), self._run.term_names)
        step = start_step(self, Equal(), group_terms(terms), engine)
        if self._numbers is not None:
            step = step_with_numbers(self, step, self._numbers, engine)
        return step

    def _follow_loss_weights(self) -> None:
        """Applies the numbers that a script has assigned to `loss_weights` since `compile`."""
        given, run = self.loss_weights, self._run
        if given is None and self._numbers is None:
            return
        if isinstance(given, list) and given == self._numbers:
            return  # the usual case, which needs no checks
        numbers = None if given is None else checked_numbers(given)
        if numbers == self._numbers:
            return
        before = run.step
        if before is not None:
            run.step = step_with_numbers(self, before, numbers, run.engine_asked)
            if self._train_step_now is before:
                self.train_step = run.step
            elif run.step is not before:  # a script's function may call the step before
                before.successor = run.step
        self._numbers = numbers

    @property
    def weights(self) -> dict[str, float]:
        """The present weights: a mapping from a group's name to its weight.

        With a list of numbers, the names are those of the terms. Terms listed as ``"unweighted"``
        are left out. With weight 1 for all, the mapping is empty until the losses are evaluated for
        the first time.
        """
        self._follow_loss_weights()
        if self._run.step is not None:
            return self._run.step.group_weights()
        if self._numbers is not None:
            return dict(zip(self.loss_terms, self._numbers, strict=False))
        return dict.fromkeys(group_terms(self._terms).names, 1.0) if self._terms else {}

    @property
    def point_weights(self) -> dict[str, np.ndarray]:
        """The present weights of the points: a mapping from a term's name to an array.

        The array has one weight for each of the term's points, in DeepXDE's order (for a
        PeriodicBC, of each pair). A term whose points are not weighed is left out. Before the first
        iteration, the mapping is empty.
        """
        return present_point_weights(self)

    @property
    def loss_terms(self) -> list[str]:
        """The names of the loss terms, in the order of the columns of `losshistory.loss_train`.

        With weight 1 for all, the list is empty until the losses are evaluated for the first time.
        An L1 regularization, the last column, is no loss term. A strategy's `scale` is in the
        columns.
        """
        return [term.name for term in self._terms]

    @property
    def _terms(self) -> tuple[Term, ...]:
        if self._run.step is not None:
            return self._run.step.engine.groups.terms
        if self.train_state.loss_train is None:
            return ()
        number = len(self.train_state.loss_train) - has_l1(self.net)
        return rename(name_terms(self.data, number), self._run.term_names)

    @property
    def gradient_engine(self) -> str:
        """The gradient engine in use: its name in `compile`.

        It is described in `compile`. Where DeepXDE's own step trains, with weight 1 for all, it is
        ``"per-group"``.
        """
        if self._run.step is not None:
            return self._run.step.engine.name
        if self._train_step_now == self._first_step:
            return self._run.engine_asked.name or "one-pass"
        return "per-group"

    @property
    def points_per_pass(self) -> int | None:
        """The largest number of points that go through the network together in an iteration.

        It is ``None`` where all of them do. See `compile`.
        """
        return None if self._run.step is None else self._run.step.engine.points_per_pass

    def _outputs_losses(
        self, training: bool, inputs: Any, targets: Any, auxiliary_vars: Any
    ) -> list[np.ndarray]:
        """DeepXDE's outputs and losses, with the strategy's static factors.

        The parameters' `requires_grad` does not change.

        DeepXDE's own method leaves every parameter trainable, or frozen if it is interrupted.
        """
        trainable = [(p, p.requires_grad) for p in self.net.parameters()]
        in_passes = self._outputs_losses_in_passes(training, Batch(inputs, targets, auxiliary_vars))
        step = self._run.step
        try:
            if in_passes is None:
                outputs, losses = super()._outputs_losses(training, inputs, targets, auxiliary_vars)
                return [outputs, losses if step is None else step.scaled(losses)]
            assert step is not None
            outputs, losses = in_passes
            one = [None if values is None else values[:1] for values in (inputs, auxiliary_vars)]
            with given_losses(self.data, training, list(losses)):
                _, as_shown = super()._outputs_losses(training, one[0], None, one[1])
            if auxiliary_vars is not None:  # a residual or callback may read those of all points
                device = next(self.net.parameters()).device
                self.net.auxiliary_vars = torch.as_tensor(auxiliary_vars, device=device)
            return [outputs.numpy(force=True), step.scaled(as_shown)]
        finally:
            for parameter, was_trainable in trainable:
                parameter.requires_grad_(was_trainable)

    def _outputs_losses_in_passes(
        self, training: bool, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Outputs and unweighted losses; ``None`` where the points are not divided into passes."""
        engine = None if self._run.step is None else self._run.step.engine
        if engine is None or engine.points_per_pass is None:
            return None
        return engine.outputs_losses(batch, training)

    def _refresh_test_points(self) -> bool:
        """Samples new test points if the conditions' points have changed; returns whether."""
        if reason_against(self.data, self.net) is not None:
            return False
        run = self._run
        if run.test_points is None or run.test_points.problem is not self.data:
            run.test_points = TestPoints(self.data)
        return run.test_points.refresh()

    def _test(self, verbose: int = 1) -> None:
        if self._refresh_test_points():
            self.train_state.set_data_test(*self.data.test())
        # A list of numbers is in DeepXDE's losses already.
        step = None if self.loss_weights is not None else self._run.step
        self.train_state.record_weights = None if step is None else step.weights_of_losses()
        super()._test(verbose=verbose)
        if not hasattr(self.losshistory, "loss_weights"):  # a script has replaced the history
            self.losshistory.loss_weights = []
        self.losshistory.loss_weights.append(self.weights)
        run = self._run
        if run.step is None:
            self._tell_not_finite()
        else:
            run.step.check_at_record()
            # This may be the last record of the training (always, for a step of L-BFGS). The check
            # comes before callbacks, which may change points or weights.
            if run.in_training and run.last_step in (None, self.train_state.step):
                run.step.engine.confirm()

    def _tell_not_finite(self) -> None:
        """Warns of a record with a loss that is not finite, where DeepXDE's own step trains."""
        steps, losses = self.losshistory.steps, self.losshistory.loss_train
        names = [
            repr(name)
            for name, loss in zip(self.loss_terms, losses[-1], strict=False)
            if not np.isfinite(loss)
        ]
        if names and (len(losses) == 1 or np.isfinite(losses[-2]).all()):
            after = f", after it was at iteration {steps[-2]}" if len(losses) > 1 else ""
            warnings.warn(
                f"The loss of {', '.join(names)} is not finite (nan or inf) at iteration "
                f"{steps[-1]}{after}. A record comes every `display_every` iterations.",
                stacklevel=4,
            )

    @property
    def weighting(self) -> Weighting | None:
        """The model's weighting with its state; ``None`` before training with weight 1 for all."""
        step = self._run.step
        return None if step is None else step.weighting

    def save(self, save_path: str, protocol: str = "backend", verbose: int = 0) -> str:
        """Saves the complete state of a run, so that it can continue as if it had not stopped.

        The state is: network, external variables, optimizer, learning rate scheduler, weighting and
        groups, step counters, loss history, random states, sampled points, the points and values of
        data (``PointSetBC``, ``PointSetOperatorBC``) and the state of callbacks. A stock
        ``dde.Model`` can restore network and optimizer from the file. The file is written under a
        temporary name and then renamed, so that it is never incomplete. Where several processes
        train together (:func:`deepxde_balance.distributed`), rank 0 writes it. A network with
        parameters that are not finite is not saved: a warning says so, and a training ends.

        Args:
            save_path: Prefix of the file's name. The folder must exist.
            protocol: ``"backend"``. With ``"pickle"``, only the network is saved, as in DeepXDE.
            verbose: Above 0, the path is printed.

        Returns:
            The path of the file: ``"{save_path}-{iteration}.pt"``.

        Raises:
            OSError: If the file can't be written. Files that were there are whole.
            TypeError: If the state of a callback has values other than numbers, text, arrays and
                tensors, or that of an optimizer has objects that can't be read again.

        Example:
            ``model`` is that of the example of :class:`Model`, after training. `restore` loads the
            file into a model that was made and compiled the same way::

                path = model.save("poisson")  # "poisson-200.pt"
                model.restore(path)
        """
        ending = "pkl" if protocol == "pickle" else "pt"
        path: str = f"{save_path}-{self.train_state.iteration}.{ending}"
        if not is_finite(self.net):
            self._refuse_to_save(path)
            return path
        if not is_first():
            return path
        if protocol != "backend":
            path = super().save(save_path, protocol=protocol, verbose=verbose)
            return path
        checkpoint.write(self, self._run, path)
        if verbose > 0:
            print(f"Epoch {self.train_state.iteration}: saving model to {path} ...\n")
        return path

    def _refuse_to_save(self, path: str) -> None:
        """Says that no checkpoint is written, and ends the training."""
        if self._run.step is not None:
            self._run.step.check_losses()
        if self._run.in_training:
            self.stop_training = True
        warnings.warn(
            f"{path} was not written: the network's parameters are not finite. The checkpoints "
            "before it stay as they are.",
            stacklevel=3,
        )

    def restore(
        self,
        save_path: str,
        device: str | None = None,
        verbose: int = 0,
        network_only: bool = False,
    ) -> None:
        """Restores what `save` saved into a model that was compiled the same way.

        Training then continues as the uninterrupted run would, on the CPU to the last bit, with
        ``gradient_engine="fastest"`` up to rounding. If the checkpoint is from the middle of a
        `train`, the next `train` continues there: the record that DeepXDE makes when training
        begins is left out, and callbacks get the saved state of a callback of their class. The
        weights of a phase with ``"keep"`` are restored into a model that was compiled without
        `loss_weights`. With a checkpoint of a stock ``dde.Model``, the weights start afresh, with a
        warning. Points or values of data that are others than the model's replace these, with a
        warning.

        Args:
            save_path: The path that `save` returned.
            device: The device to load the file on; by default that of the model. The state goes to
                the model's device in either case.
            verbose: Above 0, the path is printed.
            network_only: Whether to load the network's parameters and nothing else, for
                predictions. The model may then be compiled in any way, or not yet, and have other
                conditions.

        Raises:
            FileNotFoundError: If there is no such file.
            CheckpointError: If the file is damaged, or of another network, optimizer, strategy,
                of other groups, or of another number of data points. The model then does not
                change.
            ValueError: If the model is not compiled yet.

        Example:
            ``model`` is that of the example of :class:`Model`::

                model.restore("poisson-200.pt", network_only=True)
                model.predict(geom.uniform_points(100))
        """
        if self.opt is None and not network_only:
            raise ValueError("Compile the model as it was before it was saved, then restore.")
        ranks = current()
        if ranks is not None:
            ranks.wait()  # the first rank may still be writing the file
        if verbose > 0:
            print(f"Restoring model from {save_path} ...\n")
        place = next(self.net.parameters()).device if device is None else device
        saved = checkpoint.read(save_path, place)
        if network_only:
            checkpoint.restore_network(self, saved, save_path)
            return
        with unchanged_on_error(self):
            checkpoint.restore(self, self._run, saved, save_path)
            checkpoint.restore_numbers(self, self._run, saved)
            self._follow_loss_weights()
        step = self._run.step
        weighs = step is not None and (step.weighting.dynamic or step.points is not None)
        if self._run.pending is None and step is not None and weighs:
            step.start_afresh()
            warnings.warn(
                f"{save_path} is DeepXDE's own checkpoint, without loss weights: they start "
                "afresh, with 1 for all.",
                stacklevel=2,
            )

    def _train_step(self, inputs: Any, targets: Any, auxiliary_vars: Any) -> None:
        super()._train_step(inputs, targets, auxiliary_vars)
        step = self._run.step
        replaced = self._train_step_now is not step
        if step is not None and replaced and step.calls == self._run.calls_at_begin:
            check_replacement(step)
        self._run.counts = {
            callback: callback.epochs_since_last_save for callback in self._checkpoint_callbacks()
        }

    def _checkpoint_callbacks(self) -> list[dde.callbacks.ModelCheckpoint]:
        given = [] if self.callbacks is None else self.callbacks.callbacks
        return [c for c in given if isinstance(c, dde.callbacks.ModelCheckpoint)]

    def _train_sgd(self, iterations: int, display_every: int, verbose: int = 1) -> None:
        with self._training(iterations):
            if not self.stop_training:
                super()._train_sgd(iterations, display_every, verbose=verbose)

    def _train_pytorch_lbfgs(self, verbose: int = 1) -> None:
        """Trains by L-BFGS, counting each iteration once, which DeepXDE's own method does not."""
        run = self._run
        if run.pending is None or not run.pending.state["in_train"]:
            run.lbfgs_start = lbfgs.iterations(self.opt)
        run.last_step = None
        with self._training():
            ours = run.step is not None and run.step.has_own_lbfgs
            remedy = "" if ours else 'loss_weights="keep" in its compile, '
            lbfgs.train(self, run.lbfgs_start, verbose, remedy)

    @contextmanager
    def _training(self, iterations: int | None = None) -> Iterator[None]:
        """Encloses the iterations of a `train`, after the callbacks' `on_train_begin`.

        Args:
            iterations: Their number, if `train` was given one.
        """
        # Checkpoints come last, to include what other callbacks do in the same iteration. After
        # them are those of a derived class, such as SaveOnSigterm, which ends the process. The
        # best model is saved first, as the other checkpoints say that it has been.
        kind = dde.callbacks.ModelCheckpoint
        self.callbacks.callbacks.sort(
            key=lambda c: (
                isinstance(c, kind),
                type(c) is not kind,
                not getattr(c, "save_better_only", False),
            )
        )
        judge_by_weights(self.callbacks.callbacks)
        checkpoints = [callback.filepath for callback in self._checkpoint_callbacks()]
        with alone(checkpoints if is_first() else []):
            yield from self._iterations(iterations)

    def _iterations(self, iterations: int | None) -> Iterator[None]:
        """What `_training` does around the iterations, once no other process is in the way."""
        run, ranks = self._run, current()
        if run.pending is not None:
            run.pending.begin(self)
            run.pending = None
        if iterations is not None:
            run.last_step = self.train_state.step + iterations
        if ranks is not None:
            check_before_training(self, run.step, ranks, iterations)
        if run.step is not None:
            run.step.engine.begin(run.last_step)
        run.calls_at_begin = 0 if run.step is None else run.step.calls
        run.in_training = True
        try:
            yield
        finally:
            run.in_training = False
        if run.step is not None:
            run.step.engine.confirm()
            run.step.check_weights()
            if ranks is not None:
                check_alike(self, run.step, ranks)
        warn_of_test_losses(self, self.loss_terms)
