"""Sweeps on Ray: the same rows as one process, whatever dies."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from deft_experiments import cluster, sweep
from deft_experiments.config import RunConfig
from deft_experiments.errors import UsageError
from deft_experiments.store import Store


def plan(seeds: int = 6, episodes: int = 11, trials: int = 3) -> sweep.Plan:
    base = RunConfig("PickCup", rig="landscape", episodes=episodes)
    jobs = sweep.jobs(base, ["cem+elite-mean", "random+best-seen"], ["PickCup", "OpenDrawer"], seeds)
    return sweep.Plan(tuple(jobs), trials, (episodes,))


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with Store(folder) as store:
        return [
            (e.run, e.seq, e.kind, e.role, e.policy, e.after, e.split, e.k, e.attempt, json.dumps(dict(e.payload)))
            for run in store.runs()
            for e in store.events(run)
        ]


def test_shards_are_whole_like_runs() -> None:
    whole = plan()
    pieces = cluster.shards(whole)
    assert sorted(j.config.run_id for p in pieces for j in p.jobs) == sorted(j.config.run_id for j in whole.jobs)
    for piece in pieces:
        assert len(piece.jobs) <= cluster.SHARD_RUNS
        assert len({j.config.task for j in piece.jobs}) == 1


def test_a_shard_goes_on_from_what_is_stored(tmp_path: Path) -> None:
    (piece, *_) = cluster.shards(plan(seeds=2))
    with Store(tmp_path / "part", "w", durable=False) as store:
        sweep.work(piece.part(piece.jobs[:1]), store, lambda n: None)
        before = cluster._before(piece, store)
    data = cluster.play(piece, before)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "store.sqlite").write_bytes(data)
    with Store(tmp_path / "one", "w", durable=False) as store:
        sweep.work(piece, store, lambda n: None)
    assert rows(tmp_path / "whole") == rows(tmp_path / "one")


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="expected the address of a running Ray cluster"):
        cluster.run_sweep(plan(1), tmp_path / "x", "127.0.0.1:1", lambda n: None)


@pytest.mark.slow
def test_two_nodes_one_killed_rows_as_of_one_process(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    whole = plan()
    sweep.run_sweep(whole, tmp_path / "one", 1, lambda n: None)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    killed, counted = threading.Event(), [0]

    def progress(n: int) -> None:
        counted[0] += n
        if not killed.is_set():
            killed.set()
            assert sum(node["Alive"] for node in ray.nodes()) == 2
            nodes.remove_node(second, allow_graceful=False)

    try:
        nodes.wait_for_nodes()
        cluster.run_sweep(whole, tmp_path / "two", nodes.address, progress)
        deadline = time.monotonic() + 60
        ray.init(nodes.address, log_to_driver=False)
        while sum(node["Alive"] for node in ray.nodes()) != 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert sum(node["Alive"] for node in ray.nodes()) == 1, "the second node is gone"
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert killed.is_set()
    assert counted[0] == whole.training_episodes + whole.evaluation_episodes
    assert rows(tmp_path / "two") == rows(tmp_path / "one")
    # Merging all of it once more changes nothing.
    with Store(tmp_path / "two", "a", durable=False) as store:
        assert store.merge(tmp_path / "one") == 0
