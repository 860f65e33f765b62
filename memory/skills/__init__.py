"""Skills to the Agent Skills standard: evo's own and a repository's."""
