"""Who decides: searches and policies behind one ask-and-tell interface."""

from deft_agents.agent import Agent, Policy
from deft_agents.compose import SearchPolicyAgent
from deft_agents.history import History
from deft_agents.policies.base import ConstantPolicy, PolicyFitter, load_policy, save_policy
from deft_agents.registry import (
    AgentInfo,
    list_agents,
    make_agent,
    policies,
    register_policy,
    register_search,
    searches,
    split_name,
)
from deft_agents.search.base import PopulationSearch, Search

__all__ = [
    "Agent",
    "AgentInfo",
    "ConstantPolicy",
    "History",
    "Policy",
    "PolicyFitter",
    "PopulationSearch",
    "Search",
    "SearchPolicyAgent",
    "list_agents",
    "load_policy",
    "make_agent",
    "policies",
    "register_policy",
    "register_search",
    "save_policy",
    "searches",
    "split_name",
]
