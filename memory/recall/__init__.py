"""Who may answer a query, who is near enough, and why."""
