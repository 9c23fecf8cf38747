"""Many runs, in several processes or on a cluster."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from tqdm.auto import tqdm

from ..callbacks.progress import refresh_interval
from ..callbacks.save_on_sigterm import STATUS, Terminated, raise_on_sigterm
from ..gradients.choose import EngineName
from ..results.record import Record
from .run import Recorded, Run, finished
from .training import refuse_ranks, threads_of_a_run, train


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Runs whose records go to one folder.

    Args:
        runs: The runs.
        folder: The folder of the records.
        device: See :func:`~deepxde_balance.experiments.train`.
        threads: CPU threads of each run; ``None`` takes ``OMP_NUM_THREADS`` or, if that is not
            set, divides the cores among the jobs.
        checkpoint_every: Seconds from one checkpoint of a run to the next.
        engine: The gradient engine, see :meth:`deepxde_balance.Model.compile`.
    """

    runs: Sequence[Run]
    folder: str | os.PathLike[str]
    device: str = "cpu"
    threads: int | None = None
    checkpoint_every: float = 60.0
    engine: EngineName | None = None

    def unfinished(self) -> list[Run]:
        """The runs that have no record yet.

        Raises:
            ValueError: If a record is damaged, or the folder has a run of the same name with
                other settings.
        """
        by_record = {run.record(self.folder): run for run in self.runs}  # aliases are one run
        return [run for run in by_record.values() if finished(run, self.folder) is None]

    def train(
        self, jobs: int = 1, backend: str | None = None, scheduler: str | None = None
    ) -> list[tuple[Run, str]]:
        """Trains all runs that are not finished.

        Args:
            jobs: Number of runs at a time; -1 for one per core, or per worker of Dask.
            backend: A backend of joblib; ``None`` for processes of this machine, ``"dask"``
                for a Dask cluster, whose workers must see the same folder.
            scheduler: The address of Dask's scheduler, with the backend ``"dask"``.

        Returns:
            The runs that failed, each with the error's message.

        Raises:
            ValueError: As :meth:`unfinished`; or if `jobs` is 0, `backend` is ``"threading"``, or
                only one of `backend` and `scheduler` is for Dask.
            ImportError: If the backend is ``"dask"`` and Dask is not installed.
            OSError: If Dask's scheduler does not answer.
        """
        if jobs == 0 or backend == "threading":
            raise ValueError(
                f"jobs={jobs} and backend={backend!r}: give 1 job or more, or -1, and no threads, "
                "for DeepXDE's and PyTorch's settings belong to a whole process."
            )
        at_a_time = os.cpu_count() or 1 if jobs < 0 else jobs
        sweep = dataclasses.replace(self, threads=self.threads or threads_of_a_run(at_a_time))
        return train_each(
            self.unfinished(), sweep._train_one, self.folder, label, jobs, backend, scheduler
        )

    def _train_one(self, run: Run) -> Record:
        device, threads, seconds = self.device, self.threads, self.checkpoint_every
        return train(run, self.folder, device, threads, seconds, engine=self.engine)


RunT = TypeVar("RunT", bound=Recorded)


def train_each(
    runs: Sequence[RunT],
    train_one: Callable[[RunT], object],
    folder: str | os.PathLike[str],
    label: Callable[[RunT], str],
    jobs: int,
    backend: str | None = None,
    scheduler: str | None = None,
    title: str | None = None,
) -> list[tuple[RunT, str]]:
    """Trains runs, several at a time, with a progress bar over all iterations.

    Args:
        runs: The runs.
        train_one: Trains a run; it is called in the worker processes.
        folder: The folder of the records.
        label: A run in a few words.
        jobs: See :meth:`Sweep.train`.
        backend: See :meth:`Sweep.train`.
        scheduler: See :meth:`Sweep.train`.
        title: The text before the progress bar; by default the number of runs.

    Returns:
        The runs that failed, each with the error's message.

    Raises:
        ValueError: If several processes train one model together.
    """
    refuse_ranks()  # the worker processes would not know
    failed = []
    title = title or f"{len(runs)} runs"
    with _where(backend, scheduler), _progress(runs, folder, title) as bar:
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for run, reason in parallel(
            joblib.delayed(_train)(r, train_one, os.getpid()) for r in runs
        ):
            if reason is not None:
                failed.append((run, reason))
                bar.write(f"{label(run)} failed: {reason}")
    return failed


#: Held by a run. A worker of Dask may have several threads, but a process can train one run only.
_ONE_AT_A_TIME = threading.Lock()


def label(run: Run) -> str:
    """A run in a few words."""
    return f"{run.problem}, {run.weights}, seed {run.seed}"


def _train(run: RunT, train_one: Callable[[RunT], object], parent: int) -> tuple[RunT, str | None]:
    """Trains one run, in a worker or in the parent process.

    Returns:
        The run, and the message of its error; ``None`` without an error.
    """
    is_worker = os.getpid() != parent
    if is_worker and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # after Ctrl-C the parent ends its workers
    try:
        with _ONE_AT_A_TIME:
            train_one(run)
    except Terminated:
        if is_worker:
            os._exit(STATUS)  # else joblib would give it the next run
        raise
    except Exception as error:
        return run, f"{type(error).__name__}: {error}"
    return run, None


@contextmanager
def _where(backend: str | None, scheduler: str | None) -> Iterator[None]:
    """A context in which joblib runs its tasks on a backend."""
    if (backend == "dask") != (scheduler is not None):
        raise ValueError(f"backend={backend!r} and scheduler={scheduler!r}: give Dask both.")
    if backend is None:
        undo = raise_on_sigterm(_let_workers_save)
        try:
            yield
        except BaseException:
            get_reusable_executor().shutdown(kill_workers=True)
            raise
        finally:
            undo()
    elif scheduler is None:
        with joblib.parallel_config(backend=backend):
            yield
    else:
        try:
            from distributed import Client
        except ImportError as error:
            raise ImportError("Dask: pip install 'deepxde-balance[dask]'.") from error
        client = Client(scheduler, timeout=10)  # type: ignore[no-untyped-call]  # Dask has no types
        with client, joblib.parallel_config(backend="dask"):
            yield


#: Seconds that workers have to save a checkpoint after SIGTERM. SLURM kills after 30 by default.
_SECONDS_TO_SAVE = 20.0


def _let_workers_save() -> None:
    """Passes SIGTERM on to the worker processes, and waits until they have saved and ended."""
    workers = multiprocessing.active_children()
    for worker in workers:
        if worker.pid is not None:
            os.kill(worker.pid, signal.SIGTERM)
    end = time.monotonic() + _SECONDS_TO_SAVE
    while time.monotonic() < end and any(worker.is_alive() for worker in workers):
        time.sleep(0.05)


@contextmanager
def _progress(
    todo: Sequence[Recorded], folder: str | os.PathLike[str], title: str
) -> Iterator[tqdm]:
    """A context with a progress bar over the iterations of all runs."""
    lengths = [run.iterations for run in todo]

    def done() -> int:
        return sum(_done(run, folder, n) for run, n in zip(todo, lengths, strict=True))

    before = done()
    over = threading.Event()
    with tqdm(
        total=sum(lengths) - before,
        unit="it",
        desc=title,
        smoothing=0.05,
        mininterval=refresh_interval(),
    ) as bar:

        def show() -> None:
            finished_runs = sum(run.record(folder).exists() for run in todo)
            bar.set_postfix_str(f"{finished_runs} finished", refresh=False)
            bar.update(max(done() - before - bar.n, 0))  # a run that is resumed has done fewer

        def watch() -> None:
            while not over.wait(0.5):
                show()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield bar
        finally:
            over.set()
            watcher.join()
            show()


def _done(run: Recorded, folder: str | os.PathLike[str], iterations: int) -> int:
    """The number of iterations that a run has finished."""
    if run.record(folder).exists():
        return iterations
    try:
        return int((run.unfinished(folder) / "iterations").read_text())
    except (OSError, ValueError):
        return 0
