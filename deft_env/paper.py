"""The paper's numbers, named after what they are; no other module repeats them.

Sources: "DEFT: Dexterous Fine-Tuning for Hand Policies" (CoRL 2023), section, algorithm and table as noted.
Points that the paper leaves open carry "our choice".
"""

from __future__ import annotations

from typing import Final

# --- the grasp (Table 1, Table 4) -------------------------------------------------------------------------------------
MU_DIM: Final = 3
WRIST_DIM: Final = 3
FINGER_JOINTS: Final = 16
GRASP_DIM: Final = MU_DIM + WRIST_DIM + FINGER_JOINTS
SIGMA_MU_M: Final = 0.02
SIGMA_WRIST_RAD: Final = 0.2
SIGMA_FINGERS_RAD: Final = 0.05
"""Table 4 gives no unit for the finger pose; radians are our choice."""

# --- fine-tuning (Algorithm 1, Table 4) -------------------------------------------------------------------------------
WARMUP_EPISODES: Final = 10
EPISODES: Final = 30
ELITES: Final = 10
SIGMA_FLOOR: Final = 0.1
"""Smallest standard deviation of a refit, in units of the initial one (our choice; ten elites give rank <= 9)."""
RESIDUAL_LIMIT_SIGMA: Final = 4.0
"""Half-width of the box of the action and of every search, in units of sigma (our choice)."""

# --- the post-grasp trajectory (section 3.1) --------------------------------------------------------------------------
TRAJECTORY_STEPS: Final = 40

# --- the policy (section 3.2; sizes are our choice) -------------------------------------------------------------------
CVAE_LATENT: Final = 8
CVAE_WIDTH: Final = 256
CVAE_BETA: Final = 0.1
POLICY_STEPS: Final = 500

# --- the affordance network (eq. 1, appendix) -------------------------------------------------------------------------
MANO_POSE_DIM: Final = 45
CONTACT_POINTS: Final = 5
"""k of the Gaussian mixture (our choice)."""
LAMBDA_MU: Final = 1.0
LAMBDA_WRIST: Final = 0.1
LAMBDA_POSE: Final = 0.1
AFFORDANCE_LR: Final = 2e-4
AFFORDANCE_BATCH: Final = 224
AFFORDANCE_EPOCHS: Final = 70
DECONV_CHANNELS: Final = (512, 256, 64)
TRANSFORMER_LAYERS: Final = 6
TRANSFORMER_HEADS: Final = 8
AFFORDANCE_MLP_WIDTH: Final = 576
EMBEDDING_DIM: Final = 512

# --- evaluation (section 4, Tables 2 and 3) ---------------------------------------------------------------------------
PAPER_TRIALS: Final = 10
MINUTES_PER_TRIAL: Final = 2.0
"""Operator time of one real trial: under an hour for 30 episodes (section 4), modelled as two minutes."""
