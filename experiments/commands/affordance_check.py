"""``deft affordance-check``: the same as ``python -m deft_experiments.zero_shot``."""

from __future__ import annotations

from deft_experiments.zero_shot import Args, run

__all__ = ["Args", "run"]
