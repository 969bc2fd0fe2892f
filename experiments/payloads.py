"""What the events of a log hold, written and read: contexts with their features, and what a rig reported."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft_env.episode import Context, Outcome, Status, Trial, jsonable
from deft_experiments.store import Event


def asked_payload(key: str, trial: Trial) -> dict[str, Any]:
    """What the log keeps of a trial: what was proposed, and all that the agent saw."""
    context = trial.context
    return {
        "key": key,
        "trial": trial.id,
        "residual": trial.residual.tolist(),
        "prior": context.prior.tolist(),
        "encoder": context.encoder,
        "features": pack(context.features),
    }


def logged_context(event: Event) -> Context:
    """What the agent saw when it was asked."""
    payload = event.payload
    return Context(np.array(payload["prior"]), unpack(payload["features"]), payload["encoder"])


def same_context(a: Context, b: Context) -> bool:
    """Whether two contexts are equal to the last bit."""
    return bool(np.array_equal(a.prior, b.prior) and np.array_equal(a.features, b.features) and a.encoder == b.encoder)


def pack(features: NDArray[np.float64]) -> str:
    """Features as text, exactly: four bytes a number where those hold it, else eight."""
    short = features.astype(np.float32)
    exact = np.array_equal(short.astype(np.float64), features)
    return ("f4:" if exact else "f8:") + base64.b64encode((short if exact else features).tobytes()).decode()


def unpack(text: str) -> NDArray[np.float64]:
    """Reads what ``pack`` wrote."""
    kind, _, data = text.partition(":")
    return np.frombuffer(base64.b64decode(data), dtype=f"<{kind}").astype(np.float64)


def outcome_payload(outcome: Outcome) -> dict[str, Any]:
    """What the log keeps of an outcome; pictures are files, and signals can be made again in simulation."""
    # What the action made impossible (unreachable, a collision) is no success, though no judge looked at it.
    success = False if outcome.status is Status.FAILED else outcome.success
    return {
        "status": str(outcome.status),
        "reason": outcome.reason,
        "executed_grasp": jsonable(np.asarray(outcome.executed_grasp)),
        "success": None if success is None else bool(success),
        "score": None if outcome.score is None else float(outcome.score),
        "subgoals": [[name, bool(reached)] for name, reached in outcome.subgoals.items()],
    }
