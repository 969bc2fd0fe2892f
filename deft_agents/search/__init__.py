"""Searches: where to try next. Importing this package imports no optional library."""

from deft_agents.search.base import PopulationSearch, Search, population_size

__all__ = ["PopulationSearch", "Search", "population_size"]
