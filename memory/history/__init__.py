"""Commits become episodes: reading git, storing, and what is worked out later."""
