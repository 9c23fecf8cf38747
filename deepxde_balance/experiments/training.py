"""Trains a run, or resumes it, and writes its record."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import deepxde as dde
import numpy as np
import torch
from filelock import FileLock, Timeout

from .._files import replaced
from ..checkpoints.last import checkpoints
from ..gradients.choose import EngineName
from ..model import Model
from ..problems import Problem
from ..ranks import current
from ..results.record import FORMAT, Record, write_json
from ..terms.groups import group_terms
from ..terms.term import name_terms, rename
from ..training.run import run_of
from .callbacks import Checkpoints, IterationsDone, SaveOnSigtermOnly
from .recorder import Recorder
from .run import Recorded, Run, finished

#: The number of records of losses, weights and errors in a phase of training.
RECORDS = 200
#: In a short phase there are fewer records: the least number of iterations from one to the next.
_BETWEEN_RECORDS = 10


def train(
    run: Run,
    folder: str | os.PathLike[str],
    device: str = "cpu",
    threads: int | None = None,
    checkpoint_every: float = 60.0,
    callbacks: Sequence[dde.callbacks.Callback] = (),
    engine: EngineName | None = None,
) -> Record:
    """Trains a run to its end and writes its record, or reads the record if it exists already.

    A run that was killed goes on from its last checkpoint, and its record is the same.

    Args:
        run: The run.
        folder: The folder of the records.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...
        threads: The number of PyTorch's CPU threads; ``None`` leaves it as it is.
        checkpoint_every: Seconds from one checkpoint to the next.
        callbacks: More callbacks, e.g. a progress bar.
        engine: The gradient engine, see :meth:`deepxde_balance.Model.compile`. The results of
            two engines differ by rounding.

    Returns:
        The record.

    Raises:
        RecordError: If there is a record, and it is damaged.
        OtherRunError: If the folder has a run of the same name with other settings.
        CheckpointError: If the last checkpoint is damaged.
        BlockingIOError: If another process is training the same run into the same folder.
        ValueError: If there is no such device, or several processes train one model together
            (:func:`deepxde_balance.distributed`).
    """
    work = partial(_train, run, folder, checkpoint_every, callbacks, engine)
    return train_once(run, folder, work, device, threads)


def refuse_ranks() -> None:
    """Raises a ValueError if several processes train one model together."""
    if current() is not None:
        raise ValueError(
            "Several processes train one model together after ddb.distributed(), not many runs: "
            "leave it out, start without torchrun and give `jobs`."
        )


def train_once(
    run: Recorded,
    folder: str | os.PathLike[str],
    work: Callable[[], Record],
    device: str | None,
    threads: int | None,
) -> Record:
    """The record of a run: read if there is one, else made by `work`.

    Args:
        run: The run.
        folder: The folder of the records.
        work: Trains the run, from its last checkpoint if it has one, and writes its record.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...; ``None`` leaves PyTorch's as it is.
        threads: The number of PyTorch's CPU threads; ``None`` leaves it as it is.

    Returns:
        The record.

    Raises:
        RecordError, OtherRunError, CheckpointError, BlockingIOError, ValueError: As :func:`train`.
    """
    refuse_ranks()
    if device is not None:
        check_device(device)
    record = finished(run, folder)
    if record is not None:
        return record
    with _alone(run, folder), on_device(device), _threads(threads):
        # Another process may have finished the run before this one got the lock.
        record = finished(run, folder) or work()
        shutil.rmtree(run.unfinished(folder))
    return record


def _train(
    run: Run,
    folder: str | os.PathLike[str],
    checkpoint_every: float,
    callbacks: Sequence[dde.callbacks.Callback],
    engine: EngineName | None,
) -> Record:
    problem = run.make_problem()
    recorder = Recorder(problem)
    weighting = run.weighting(problem)
    model = problem.model(weighting, seed=run.seed, verbose=0, gradient_engine=engine)
    part = run.unfinished(folder)
    write_json(part / "run.json", run.identity)
    common = [*problem.callbacks(), recorder, IterationsDone(part / "iterations"), *callbacks]
    for phase, iterations in problem.phases(model, verbose=0):
        # L-BFGS starts from the last checkpoint of Adam when the run is resumed.
        end = problem.iterations if phase == "adam" and problem.settings.lbfgs_iterations else None
        saving = Checkpoints(part / phase, checkpoint_every, last_step=end)
        train_phase(model, saving, common, iterations)
    recorder.finish()
    path = run.record(folder)
    _write_fields(path.with_suffix(".npz"), problem, model, recorder)
    write_json(path, _content(run, problem, model, recorder))
    return Record.load(path)


@contextmanager
def _alone(run: Recorded, folder: str | os.PathLike[str]) -> Iterator[None]:
    """A context with a lock on the run's folder of checkpoints.

    The lock of a process that was killed is released.
    """
    part = run.unfinished(folder)
    part.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(part / "lock").acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"{part}: another process is training this run. Wait for it or stop it."
        ) from None
    with lock:
        yield


def on_device(device: str | None) -> AbstractContextManager[Any]:
    """A context in which new tensors are on the device; ``None`` changes nothing."""
    if device is None or torch.device(device) == torch.get_default_device():
        return nullcontext()  # PyTorch's context slows every operation down
    return torch.device(device)


def threads_of_a_run(at_a_time: int) -> int:
    """The number of CPU threads of each run, where none is given.

    As ``OMP_NUM_THREADS`` says, if it is set; else the cores are divided among the runs.

    Args:
        at_a_time: The number of runs at a time.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return torch.get_num_threads()
    return max(1, (os.cpu_count() or 1) // at_a_time)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """A context with that number of CPU threads; ``None`` changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if number is None else number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_device(device: str) -> None:
    """Raises a ValueError if there is no such device, or it is neither a CPU nor a CUDA GPU."""
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise ValueError(f"device={device!r} is not allowed: give cpu, cuda or cuda:N.")
    kind = torch.device(device)
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r}: PyTorch sees {torch.cuda.device_count()} GPU(s) here."
        )


def train_phase(model: Model, saving: Checkpoints, callbacks: list[Any], iterations: int) -> None:
    """Trains a phase to its end, from its last checkpoint if it has one."""
    start = model.train_state.step
    done = 0
    for path in checkpoints(Path(saving.filepath))[-1:]:
        model.restore(str(path))
        done = model.train_state.step - start
    in_main_thread = threading.current_thread() is threading.main_thread()
    stopping = [SaveOnSigtermOnly(saving.filepath)] if in_main_thread else []
    model.train(
        iterations=iterations - done,
        display_every=max(iterations // RECORDS, min(_BETWEEN_RECORDS, iterations)),
        callbacks=[*callbacks, saving, *stopping],
        verbose=0,
    )


def _write_fields(path: Path, problem: Problem, model: Model, recorder: Recorder) -> None:
    points = problem.evaluation_points
    with replaced(path) as beside:
        np.savez_compressed(
            beside,
            points=points,
            prediction=problem.outputs(model, points),
            solution=problem.solution(points),
            histogram_steps=np.array([h["step"] for h in recorder.histograms]),
            histogram_groups=np.array(recorder.histograms[-1]["names"]),
            histogram_edges=np.array([h["edges"] for h in recorder.histograms]),
            histogram_counts=np.array([h["counts"] for h in recorder.histograms]),
        )


def _content(run: Run, problem: Problem, model: Model, recorder: Recorder) -> dict[str, Any]:
    """The entries of the record."""
    final = {name: values[-1] for name, values in recorder.errors.items()}
    final |= {name: values[-1] for name, values in recorder.coefficients.items()}
    return {
        "format": FORMAT,
        **run.identity,
        "paper": dataclasses.asdict(problem.paper),
        **history_entries(model),
        "errors": recorder.errors,
        "coefficients": recorder.coefficients,
        "true_coefficients": dict(problem.true_coefficients),
        "final": final,
        "weights_now": model.weights,
        "seconds": recorder.seconds,
        "seconds_per_iteration": recorder.training_seconds / max(model.train_state.step, 1),
    }


def history_entries(model: Model) -> dict[str, Any]:
    """The entries of a record that tell where a model was trained, its losses and its weights."""
    history, terms = model.losshistory, model.loss_terms
    step = run_of(model).step
    # With weight 1 for all, DeepXDE's own step may have trained.
    if step is None:
        named = rename(name_terms(model.data, len(terms)), run_of(model).term_names)
        groups = group_terms(named)
    else:
        groups = step.engine.groups
    members = dict(zip(groups.names, groups.members, strict=True))
    if groups.unweighted:
        members["unweighted"] = groups.unweighted
    return {
        "versions": {
            **{p: version(p) for p in ("deepxde-balance", "deepxde", "torch", "numpy")},
            "python": platform.python_version(),
        },
        "device": str(next(model.net.parameters()).device),
        "machine": machine(next(model.net.parameters()).device),
        "threads": torch.get_num_threads(),
        "gradient_engine": model.gradient_engine,
        "dtype": dde.config.real(np).__name__,
        "loss_terms": terms,
        "groups": {name: [terms[i] for i in m] for name, m in members.items()},
        "steps": history.steps,
        "losses": by_term(terms, history.loss_train),
        "loss_weights": {
            name: [weights[name] for weights in history.loss_weights] for name in groups.names
        },
    }


def by_term(terms: Sequence[str], losses: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    """A history's losses by term, each of shape (S,), without a last column for the L1 norm."""
    return dict(zip(terms, np.array(losses).T, strict=False))


def machine(device: torch.device) -> str:
    """The name of the device's GPU or CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
