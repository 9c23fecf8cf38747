"""Several processes that train together, forked from the test's."""

import multiprocessing
import pickle
import traceback
import warnings
from datetime import timedelta

import torch.distributed as dist

import deepxde_balance as ddb

#: Seconds that a process may work, besides those that it waits for the others.
_WORK = 120.0


def on_ranks(size, folder, function, timeout=30.0):
    """What a function returns on every rank, or the exception that it raises there, by rank.

    Args:
        size: The number of processes.
        folder: A new folder, where the processes find each other.
        function: Called on every rank after ``ddb.distributed()``, with the `Ranks`.
        timeout: Seconds that a rank waits for the others.

    Returns:
        A list by rank; ``None`` for a process that was killed, by itself or because it hung.
    """
    context = multiprocessing.get_context("fork")  # nothing is imported anew
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [
        context.Process(target=_work, args=(rank, size, folder, function, timeout, pipes[rank][1]))
        for rank in range(size)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks beside threads
        for process in processes:
            process.start()
    results = []
    for process, (receiver, sender) in zip(processes, pipes, strict=True):
        sender.close()  # else the end of a killed process would not be seen
        try:
            if not receiver.poll(timeout + _WORK):
                process.kill()  # else the tests would never end
            results.append(pickle.loads(receiver.recv_bytes()))
        except EOFError:
            results.append(None)
        process.join()
    return results


def _work(rank, size, folder, function, timeout, sender):
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/meeting",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=timeout),
        )
        result = function(ddb.distributed(timeout=timeout))
    except Exception as error:
        traceback.print_exc()
        result = type(error)(str(error))  # without what can't be sent
    sender.send_bytes(pickle.dumps(result))  # `send` would leave tensors in shared memory
    sender.close()
