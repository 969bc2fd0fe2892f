"""The contract suite of deft on this search; the package must be installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from deft_agents import make_agent
from deft_agents.testing import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[..., Any]) -> None:
    """Every promise of the interface."""
    check(partial(make_agent, "one-fifth+elite-mean"))
