"""evo: an agent that learns from history and proves what it claims."""

__version__ = "0.1.0"
