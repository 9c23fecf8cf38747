"""Several processes that train one model together: each has a rank, and a share of the points.

Every rank runs the same script, with the same data, parameters and random numbers. Only the losses
and gradients of an iteration are shared out, and added up over the ranks.
"""

from __future__ import annotations

import atexit
import os
import platform
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import deepxde as dde
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from . import _checks

#: Set by torchrun, and what a process group needs to be found.
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

#: Seconds that a rank waits for the others: longer than a record, a checkpoint or a compilation
#: of one of them takes.
TIMEOUT = 300.0


class RanksError(RuntimeError):
    """Raised on every rank if the ranks differ, and on the others if one has ended or hangs.

    Example:
        >>> import deepxde_balance as ddb
        >>> issubclass(ddb.RanksError, RuntimeError)
        True
    """


class Ranks:
    """The processes that train a model together.

    Made by :func:`distributed`.

    Args:
        rank: The number of this process.
        size: The number of processes.
        timeout: Seconds that a rank waits for the others.

    Attributes:
        rank: The number of this process, from 0.
        size: The number of processes.
    """

    def __init__(self, rank: int, size: int, timeout: float):
        self.rank = rank
        self.size = size
        self._timeout = timeout

    @property
    def is_first(self) -> bool:
        """Whether this process has rank 0: the one that prints and saves."""
        return self.rank == 0

    def add_up(self, tensor: Tensor) -> None:
        """Replaces a tensor by the sum over the ranks, the same on every rank."""
        self._together(lambda: dist.all_reduce(tensor))

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank. They must be picklable."""
        values: list[Any] = [None] * self.size
        self._together(lambda: dist.all_gather_object(values, value))
        return values

    def wait(self) -> None:
        """Waits until every rank has come here."""
        self.gather(None)

    def require_same(self, values: Mapping[str, str], hint: str) -> None:
        """Checks that all ranks have the same values.

        Args:
            values: Texts by name.
            hint: What to do about a difference.

        Raises:
            RanksError: On every rank, if a value differs. The message names it.
        """
        gathered = self.gather(dict(values))
        for rank, other in enumerate(gathered):
            for name in {**gathered[0], **other}:
                first, own = gathered[0].get(name), other.get(name)
                if first != own:
                    raise RanksError(
                        f"The ranks differ in {name}: {first} on rank 0, {own} on rank {rank}. "
                        f"{hint}"
                    )

    def _together(self, communicate: Callable[[], object]) -> None:
        """Communicates with the other ranks; a failure is told in words."""
        try:
            communicate()
        except RuntimeError as error:
            if isinstance(error, torch.cuda.OutOfMemoryError):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise RanksError(
                f"Rank {self.rank} of {self.size} has lost the others: one has ended, or has not "
                f"come here within {self._timeout:g} seconds (the timeout of ddb.distributed). Its "
                f"own message tells why; every rank must make the same calls. ({reason})"
            ) from error


_current: Ranks | None = None


def current() -> Ranks | None:
    """The processes that train together; ``None`` if this one trains by itself."""
    return _current


def is_first() -> bool:
    """Whether this process is the one that prints and saves: rank 0, or the only one."""
    return _current is None or _current.is_first


def distributed(timeout: float = TIMEOUT, backend: str | None = None) -> Ranks:
    """Lets the processes that torchrun has started train one model together.

    Call it first in a script, before the data, the network and any ``compile``, and start the
    script with ``torchrun --nproc_per_node 4 script.py``. Each of these processes, the ranks,
    then computes losses and gradients on its share of each term's points. They are added up before
    a strategy sees them, so that weights and parameters are those of a single process, up to
    rounding.

    All ranks run the whole script, and must be given the same seed, since they sample all points
    and initialize the network by themselves; ``compile`` and ``train`` check this. What a script
    calls on the model, also `diagnose`, it must call on every rank. `Model.save` writes on rank 0
    alone; other functions that write files do so on every rank. On the others, printed text and
    warnings are dropped.

    On a GPU, each rank takes that of its number on its machine.

    Args:
        timeout: Seconds after which a rank that waits for another one gives up: with a RanksError,
            or with NCCL by the watchdog of PyTorch, which aborts the process.
        backend: PyTorch's way to communicate; by default ``"nccl"`` on GPUs and ``"gloo"`` on
            CPUs.

    Returns:
        The ranks, with `rank`, `size` and `is_first`, for what a script does once, such as
        plotting.

    Raises:
        RuntimeError: If torchrun has not started this process, or would not be able to restart it.
        ValueError: If `timeout` is not positive, or there are more ranks than GPUs on a machine.
        RanksError: If the ranks have different versions of Python or of a package.

    Example:
        In a script that torchrun starts::

            import deepxde as dde
            import deepxde_balance as ddb

            ddb.distributed()
            dde.config.set_random_seed(0)
            ...
            model.compile("adam", lr=1e-3, loss_weights="auto")
            model.train(iterations=20000)
    """
    global _current
    timeout = _checks.in_interval("timeout", timeout, 0, float("inf"), "()")
    if _current is not None:
        return _current
    if not dist.is_initialized():
        _join(timeout, backend)
    _current = Ranks(dist.get_rank(), dist.get_world_size(), timeout)
    try:
        _current.require_same(_versions(), "Install the same versions on all machines.")
    except RanksError:
        _current = None
        raise
    if not _current.is_first:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        warnings.simplefilter("ignore")
    return _current


def _join(timeout: float, backend: str | None) -> None:
    """Joins the process group that torchrun has prepared."""
    missing = [name for name in _ENVIRONMENT if name not in os.environ]
    if missing:
        raise RuntimeError(
            "ddb.distributed() needs several processes, but this one was not started by torchrun "
            f"({', '.join(missing)} not set): start the script with `torchrun --nproc_per_node 2 "
            "script.py`, or leave ddb.distributed() out."
        )
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")
    if restarts != "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise RuntimeError(
            f"torchrun --max-restarts {restarts} needs `export "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1` before it, and --standalone or --rdzv_backend "
            "c10d: else the processes of a restart would try to reach those that have ended "
            "(PyTorch issue 135712)."
        )
    on_gpu = torch.get_default_device().type == "cuda"
    if on_gpu:
        own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= there and backend != "gloo":
            raise ValueError(
                f"This machine has {there} GPU(s), too few for rank {own} on it: give torchrun "
                f"--nproc_per_node {there}."
            )
        torch.cuda.set_device(own % there)
    dist.init_process_group(
        backend or ("nccl" if on_gpu else "gloo"), timeout=timedelta(seconds=timeout)
    )
    atexit.register(_leave)


def _leave() -> None:
    global _current
    _current = None
    if dist.is_initialized():
        dist.destroy_process_group()


def _versions() -> dict[str, str]:
    """What must be the same on all ranks before there is a model."""
    packages = ("deepxde-balance", "deepxde", "torch", "numpy")
    return {
        "the version of Python": platform.python_version(),
        **{f"the version of {name}": version(name) for name in packages},
        "DeepXDE's float type": dde.config.real(np).__name__,
        "the kind of device": torch.get_default_device().type,
    }
