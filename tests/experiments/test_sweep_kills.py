"""A sweep that is killed with -9 again and again ends with the rows of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deft_experiments.store import Store

KILLS = 20
TABLE = ["table", "3", "--rig", "landscape", "--tasks", "PickCup", "--seeds", "3", "--trials", "2", "--episodes", "11"]
# Started with every process of the sweep; each kills the whole session at its n-th event, before or after storing it.
HOOK = """
import os
at = int(os.environ.get('DEFT_TEST_KILL_AT', '0'))
if at:
    from deft_experiments.store import Store
    append, seen = Store.append, [0]
    def deadly(self, event):
        seen[0] += 1
        if seen[0] == at and at % 2:
            os.killpg(os.getpgid(0), 9)
        append(self, event)
        if seen[0] == at:
            os.killpg(os.getpgid(0), 9)
    Store.append = deadly
"""


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with Store(folder) as store:
        return [
            (e.run, e.seq, e.kind, e.role, e.policy, e.after, e.split, e.k, e.attempt, json.dumps(dict(e.payload)))
            for run in store.runs()
            for e in store.events(run)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_twenty_random_moments(workers: int, tmp_path: Path) -> None:
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    path = os.pathsep.join([str(tmp_path / "hook"), os.environ.get("PYTHONPATH", "")])

    def deft(folder: str, kill_at: int) -> int:
        command = [sys.executable, "-m", "deft_experiments.cli", *TABLE, "--workers", str(workers), "--out", folder]
        environment = {**os.environ, "PYTHONPATH": path, "DEFT_TEST_KILL_AT": str(kill_at)}
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=600,
            check=False,
            start_new_session=True,
        )
        return done.returncode

    assert deft("whole", 0) == 0
    whole = rows(tmp_path / "whole")
    moments = random.Random(0)
    killed = sweeps = 0
    while killed < KILLS:
        code = deft(f"killed-{sweeps}", moments.randrange(1, 90))
        assert code in (0, -signal.SIGKILL)
        killed += code == -signal.SIGKILL
        if code == 0:  # it got to its end: another one is killed further
            assert rows(tmp_path / f"killed-{sweeps}") == whole
            sweeps += 1
    assert deft(f"killed-{sweeps}", 0) == 0
    assert rows(tmp_path / f"killed-{sweeps}") == whole
