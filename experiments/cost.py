"""What runs cost besides episodes: a person's time, resets, aborts, collisions, the robot's time.

Measured from the log of a real rig; modelled in simulation with the paper's two minutes a trial.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from deft_env import paper
from deft_experiments.store import Store

BREAK_S: Final = 900.0
"""A pause between two events of a real run that is longer is a break, not work (our choice)."""
SIMULATED_ROBOT_S: Final = 4.6
"""Motion of one simulated episode: 230 control periods of 20 ms (``deft_env.sim.controls.ControlOptions``)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Mean cost of the fine-tuning of one run.

    Attributes:
        runs: runs behind the means.
        episodes: episodes that count.
        resets: scenes prepared by a person: every executed attempt, counted or not, and every voided scene.
        operator_s: a person's seconds.
        robot_s: seconds of motion.
        aborts: attempts that were faulted or voided.
        collisions: attempts that ended in a collision.
        unreachable: attempts that failed otherwise (no path to the grasp).
        modelled: whether the times are modelled (simulation) or measured.
    """

    runs: int
    episodes: float
    resets: float
    operator_s: float
    robot_s: float
    aborts: float
    collisions: float
    unreachable: float
    modelled: bool


def cost(store: Store, runs: Collection[str]) -> Cost:
    """Mean cost of some runs of a store (all simulated, or all real).

    Raises:
        ValueError: if there are none.
    """
    if not runs:
        raise ValueError("runs: expected at least one")
    ids = json.dumps(sorted(runs))
    chosen = "role = 'train' AND run IN (SELECT value FROM json_each(?))"
    rows = store.rows(
        "SELECT kind, json_extract(payload, '$.status') AS status, json_extract(payload, '$.reason') AS reason,"
        f" count(*) AS n, total(seconds) AS seconds FROM events WHERE {chosen} GROUP BY 1, 2, 3",
        (ids,),
    )
    real = bool(store.rows("SELECT 1 FROM runs WHERE rig = 'real' AND run IN (SELECT value FROM json_each(?))", (ids,)))

    def count(kind: str, *statuses: str, collision: bool | None = None) -> int:
        return sum(
            r["n"]
            for r in rows
            if r["kind"] == kind
            and (not statuses or r["status"] in statuses)
            and (collision is None or collision == str(r["reason"] or "").startswith("collision"))
        )

    attempts, voided = count("executed"), count("voided")
    scenes_only = store.rows(
        f"SELECT count(*) AS n FROM events v WHERE v.kind = 'voided' AND v.{chosen.replace(' AND run', ' AND v.run')}"
        " AND NOT EXISTS (SELECT 1 FROM events x WHERE x.run = v.run AND x.role = v.role AND x.k = v.k"
        " AND x.attempt = v.attempt AND x.kind = 'executed')",
        (ids,),
    )[0]["n"]
    resets = attempts + scenes_only
    n = len(runs)
    if real:
        operator_s = _worked(store, ids)
        robot_s = sum(r["seconds"] for r in rows if r["kind"] == "executed")
    else:
        operator_s, robot_s = resets * paper.MINUTES_PER_TRIAL * 60.0, attempts * SIMULATED_ROBOT_S
    return Cost(
        runs=n,
        episodes=count("executed", "completed", "failed") / n,
        resets=resets / n,
        operator_s=operator_s / n,
        robot_s=robot_s / n,
        aborts=(count("executed", "faulted", "voided") + voided) / n,
        collisions=count("executed", collision=True) / n,
        unreachable=count("executed", "failed", collision=False) / n,
        modelled=not real,
    )


def _worked(store: Store, ids: str) -> float:
    """Seconds between the events of each run, breaks left out."""
    row = store.rows(
        "SELECT total(gap) AS worked FROM (SELECT at - lag(at) OVER (PARTITION BY run ORDER BY seq) AS gap"
        " FROM events WHERE role = 'train' AND run IN (SELECT value FROM json_each(?))) WHERE gap BETWEEN 0 AND ?",
        (ids, BREAK_S),
    )[0]
    return float(row["worked"])
