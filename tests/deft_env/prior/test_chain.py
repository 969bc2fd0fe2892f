"""The whole chain with a tiny budget: synthetic videos to weights to a prior that answers on the simulated rig."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mujoco")

from deft_env import registries
from deft_env.episode import EpisodeKey
from deft_env.prior.chain import ChainConfig, run_chain
from deft_env.sim.render import RenderingUnavailableError


def test_videos_to_grasps(tmp_path):
    config = ChainConfig(str(tmp_path), clips=10, tasks=("PickCup",), shapes=0.0, epochs=2, batch=4)
    parts = []
    try:
        result = run_chain(config, lambda row: parts.append(row["part"]))
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    assert {"videos", "labels", "training"} <= set(parts)
    summary = json.loads((tmp_path / "chain.json").read_text())
    assert summary["labels"] == result.labels.labels >= 5
    if summary["held_out"]:  # ten clips may leave none
        assert summary["held_out"]["labels"] + 1 <= summary["labels"]
        assert summary["held_out"]["network"].keys() == summary["held_out"]["constant"].keys()
    again = run_chain(config)  # finished parts are not done again
    assert again.training.resumed_at_epoch == 2
    elsewhere = run_chain(replace(config, out=str(tmp_path / "again")))  # one configuration, the same bytes
    for name in ("half", "choice"):
        assert getattr(elsewhere, name).read_bytes() == getattr(result, name).read_bytes()
    assert result.half.stat().st_size < 0.6 * result.training.weights.stat().st_size
    weights = {"affordance": result.half}
    prior = registries.make_prior("affordance", weights=weights)
    with registries.make_rig("simulated") as rig:
        task = registries.make_task("PickCup", rig)
        frames = rig.reset_batch([EpisodeKey("PickCup", "test", "eval", 0, k) for k in range(2)])
        xi = prior(frames, task)
        truth = np.array([t.human_grasp for t in frames.truths])
    # Untrained as it is, segmentation and lifting put the hand at the cup.
    assert np.abs(xi[:, :3] - truth[:, :3]).max() < 0.10
