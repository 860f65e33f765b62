"""The source at a commit: its definitions, and which of them an issue is about."""
