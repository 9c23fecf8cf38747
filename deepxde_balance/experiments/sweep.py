"""Many runs, in several processes or on a cluster."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import joblib
from joblib.externals.loky import get_reusable_executor
from tqdm.auto import tqdm

from ..callbacks.progress import refresh_interval
from ..gradients.choose import EngineName
from .run import Run, finished
from .training import train


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Runs that are trained into one folder.

    Args:
        runs: The runs.
        folder: The folder of their records.
        device: See :func:`~deepxde_balance.experiments.train`.
        threads: CPU threads of each run; ``None`` shares the cores among the jobs.
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
            ValueError: If the folder holds a damaged record, or another run in a run's place.
        """
        by_record = {run.record(self.folder): run for run in self.runs}  # aliases are one run
        return [run for run in by_record.values() if finished(run, self.folder) is None]

    def train(
        self, jobs: int = 1, backend: str | None = None, scheduler: str | None = None
    ) -> list[tuple[Run, str]]:
        """Trains all runs that are not finished.

        Args:
            jobs: Runs at a time; ``-1``: one for each core, or each worker of Dask.
            backend: A backend of joblib; ``None`` for processes of this machine, ``"dask"``
                for a Dask cluster, whose workers must see the same folder.
            scheduler: The address of Dask's scheduler.

        Returns:
            The runs that failed, each with the reason.

        Raises:
            ValueError: As :meth:`unfinished`, or if `backend` and `scheduler` don't go together.
            ImportError: If Dask is asked for and not installed.
            OSError: If Dask's scheduler does not answer.
        """
        if jobs == 0 or backend == "threading":
            raise ValueError(
                f"jobs={jobs} and backend={backend!r}: give 1 job or more, or -1, and no threads, "
                "for DeepXDE's and PyTorch's settings belong to a whole process."
            )
        cores = os.cpu_count() or 1
        at_a_time = cores if jobs < 0 else jobs
        sweep = dataclasses.replace(self, threads=self.threads or max(1, cores // at_a_time))
        todo = self.unfinished()
        failed = []
        with _where(backend, scheduler), _progress(self, todo) as bar:
            parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
            for run, reason in parallel(
                joblib.delayed(_train)(r, sweep, os.getpid()) for r in todo
            ):
                if reason is not None:
                    failed.append((run, reason))
                    bar.write(f"{label(run)} failed: {reason}")
        return failed


#: A worker of Dask may have several threads; a process can train one run only.
_ONE_AT_A_TIME = threading.Lock()


def label(run: Run) -> str:
    """A run in a few words."""
    return f"{run.problem}, {run.weights}, seed {run.seed}"


def _train(run: Run, sweep: Sweep, parent: int) -> tuple[Run, str | None]:
    """Trains one run, in a worker or in the parent; a run that fails does not end the others."""
    if os.getpid() != parent and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C: the parent ends its workers
    try:
        with _ONE_AT_A_TIME:
            train(
                run,
                sweep.folder,
                sweep.device,
                sweep.threads,
                sweep.checkpoint_every,
                engine=sweep.engine,
            )
    except Exception as error:
        return run, f"{type(error).__name__}: {error}"
    return run, None


@contextmanager
def _where(backend: str | None, scheduler: str | None) -> Iterator[None]:
    """Where joblib's tasks run while the context lasts."""
    if (backend == "dask") != (scheduler is not None):
        raise ValueError(f"backend={backend!r} and scheduler={scheduler!r}: give Dask both.")
    if backend is None:
        try:
            yield
        except BaseException:
            get_reusable_executor().shutdown(kill_workers=True)
            raise
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


@contextmanager
def _progress(sweep: Sweep, todo: Sequence[Run]) -> Iterator[tqdm]:
    """A bar over the iterations of all runs, with the time left, while the context lasts."""
    lengths = [run.iterations for run in todo]

    def done() -> int:
        return sum(_done(run, sweep.folder, n) for run, n in zip(todo, lengths, strict=True))

    before = done()
    over = threading.Event()
    with tqdm(
        total=sum(lengths) - before,
        unit="it",
        desc=f"{len(todo)} runs",
        smoothing=0.05,
        mininterval=refresh_interval(),
    ) as bar:

        def show() -> None:
            finished_runs = sum(run.record(sweep.folder).exists() for run in todo)
            bar.set_postfix_str(f"{finished_runs} finished", refresh=False)
            bar.update(max(done() - before - bar.n, 0))  # a killed run goes on from a bit before

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


def _done(run: Run, folder: str | os.PathLike[str], iterations: int) -> int:
    """Iterations that a run has made."""
    if run.record(folder).exists():
        return iterations
    try:
        return int((run.unfinished(folder) / "iterations").read_text())
    except (OSError, ValueError):
        return 0
