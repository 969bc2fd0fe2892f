"""The sub-commands of ``deft``: one module each, with a dataclass ``Args`` and a function ``run``."""
