"""Sweeps on a Ray cluster: one shard is a few whole runs, each with its own store file, merged idempotently.

Ray schedules, moves files and starts a shard again when its node is gone; nothing of that is home-made. A shard is a
function of its runs and of the rows that were stored before, so that a node that dies costs time, never rows, and the
rows are those of one process.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from deft_experiments import sweep
from deft_experiments.errors import RigError, UsageError
from deft_experiments.parts import single_thread
from deft_experiments.store import Store

SHARD_RUNS: Final = 4
"""Runs of one shard that advance together: more would make batches larger, and a lost node dearer (our choice)."""
RETRIES: Final = 20
"""Times that a shard is started again on another node (our choice)."""
CONNECT_TIMEOUT_S: Final = 5.0


def shards(plan: sweep.Plan) -> list[sweep.Plan]:
    """The plan in pieces of whole, like runs."""
    return [
        plan.part(group[start : start + SHARD_RUNS])
        for group in plan.groups()
        for start in range(0, len(group), SHARD_RUNS)
    ]


def play(plan: sweep.Plan, before: bytes) -> bytes:
    """Does a shard in this process.

    Args:
        plan: the shard.
        before: a store file with what was stored of its runs before.

    Returns:
        The store file with all of it.
    """
    single_thread()
    with tempfile.TemporaryDirectory(prefix="deft-shard-") as folder:
        path = Path(folder) / "shard.sqlite"
        path.write_bytes(before)
        with Store(path, "a", durable=False) as store:
            sweep.work(plan, store, _silent)
            return store.snapshot()


def _silent(_: int) -> None:
    """Progress is told shard by shard."""


def _before(plan: sweep.Plan, store: Store) -> bytes:
    with tempfile.TemporaryDirectory(prefix="deft-shard-") as folder:
        path = Path(folder) / "shard.sqlite"
        with Store(path, "w", durable=False) as shard:
            shard.merge(store.path, [job.config.run_id for job in plan.jobs])
            return shard.snapshot()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--ray: needs the extra 'cluster': pip install 'deft-hand[cluster]' ({error})") from error
    return ray


def connect(address: str) -> tuple[Any, bool]:
    """Ray, connected; and whether this call did it.

    Raises:
        UsageError: without Ray, or if there is no cluster at the address.
    """
    ray = _import_ray()
    if ray.is_initialized():
        return ray, False
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        # Ray itself would wait for minutes.
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise _no_cluster(address, error) from error
    try:
        ray.init(None if address == "local" else address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, error) from error
    return ray, True


def _no_cluster(address: str, error: Exception) -> UsageError:
    return UsageError(
        f"--ray {address}: expected the address of a running Ray cluster, 'auto' or 'local' ({error}); "
        "`ray start --head` starts one"
    )


def run_sweep(plan: sweep.Plan, folder: Path, address: str, progress: Callable[[int], None]) -> None:
    """Does (or goes on with) a plan on a Ray cluster; the rows end up in the store of ``folder``.

    The package, and weights under the same paths, must be there on every node.

    Args:
        plan: the sweep.
        folder: where the store lies, on this machine.
        address: as of ``ray.init``; ``local`` for a cluster of this machine alone.
        progress: called with numbers of episodes as shards are done.

    Raises:
        RigError: if a shard fails, or its nodes die again and again.
    """
    ray, ours = connect(address)
    try:
        with Store(folder, "w", durable=False) as store:
            sweep.take_over(store, folder)
            _distribute(ray, shards(plan), store, progress)
    finally:
        if ours:
            ray.shutdown()


def _distribute(ray: Any, pieces: Sequence[sweep.Plan], store: Store, progress: Callable[[int], None]) -> None:
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(play)
    waiting = {remote.remote(piece, _before(piece, store)): piece for piece in pieces}
    try:
        while waiting:
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            piece = waiting.pop(done)
            try:
                data = ray.get(done)
            except ray.exceptions.RayError as error:
                tasks = ", ".join(sorted({job.config.task for job in piece.jobs}))
                raise RigError(f"a shard of {tasks} failed on the cluster ({error}); resume") from error
            with tempfile.TemporaryDirectory(prefix="deft-shard-") as folder:
                path = Path(folder) / "shard.sqlite"
                path.write_bytes(data)
                store.merge(path)
            progress(piece.training_episodes + piece.evaluation_episodes)
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
