"""Contract suites for rigs, priors, rewards, encoders and tasks, for users' own parts as for ours.

Each function raises ``AssertionError`` with the broken promise in words, and needs no test framework:

    def test_my_rig():
        deft_env.testing.check_rig(MyRig)
"""

from __future__ import annotations

from deft_env.testing.parts import check_encoder, check_prior, check_reward
from deft_env.testing.promises import keys_of, same_frame, same_outcome
from deft_env.testing.rigs import check_frames, check_outcome, check_rig
from deft_env.testing.tasks import check_task
from deft_env.testing.vector import check_vector_identity

__all__ = [
    "check_encoder",
    "check_frames",
    "check_outcome",
    "check_prior",
    "check_reward",
    "check_rig",
    "check_task",
    "check_vector_identity",
    "keys_of",
    "same_frame",
    "same_outcome",
]
