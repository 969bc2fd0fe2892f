"""The contract of every agent, as functions that anybody can run on their own.

    from functools import partial
    import pytest
    from deft_agents import make_agent
    from deft_agents.testing import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_search(check):
        check(partial(make_agent, "my-search"))

Each check takes ``make(*, seed, budget) -> Agent`` and raises ``AssertionError`` with what is wrong. ``episodes`` (how
long the runs are) can be lowered for agents that cost seconds. Nothing here needs pytest.
"""

from __future__ import annotations

from typing import Final

from deft_agents.testing.asks import (
    check_equal_rewards,
    check_global_generators_untouched,
    check_interleaving,
    check_limits,
    check_same_seed_same_asks,
    check_small_budgets,
)
from deft_agents.testing.policies import (
    check_freeze,
    check_policy_batches,
    check_policy_file,
)
from deft_agents.testing.scenario import (
    FEATURES,
    MakeAgent,
    act,
    context,
    golden_asks,
    refused,
    residuals,
    reward,
    run,
)
from deft_agents.testing.states import (
    check_replay,
    check_state_mid_run,
    check_state_refused,
)
from deft_agents.testing.tells import (
    check_bad_tells,
    check_failed_trials,
    check_foreign_trials,
    check_fuzz,
    check_out_of_order,
)

__all__ = [
    "CHECKS",
    "FEATURES",
    "MakeAgent",
    "act",
    "check_bad_tells",
    "check_equal_rewards",
    "check_failed_trials",
    "check_foreign_trials",
    "check_freeze",
    "check_fuzz",
    "check_global_generators_untouched",
    "check_interleaving",
    "check_limits",
    "check_out_of_order",
    "check_policy_batches",
    "check_policy_file",
    "check_replay",
    "check_same_seed_same_asks",
    "check_small_budgets",
    "check_state_mid_run",
    "check_state_refused",
    "context",
    "golden_asks",
    "refused",
    "residuals",
    "reward",
    "run",
]

CHECKS: Final = (
    check_same_seed_same_asks,
    check_limits,
    check_interleaving,
    check_global_generators_untouched,
    check_state_mid_run,
    check_state_refused,
    check_replay,
    check_out_of_order,
    check_failed_trials,
    check_foreign_trials,
    check_bad_tells,
    check_equal_rewards,
    check_small_budgets,
    check_freeze,
    check_policy_batches,
    check_policy_file,
    check_fuzz,
)
"""Every check, for ``pytest.mark.parametrize``."""
