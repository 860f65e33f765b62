"""Rules mined from what was undone or failed, to be held against actions."""
