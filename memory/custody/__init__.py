"""Memory in the hands of a person: look, carry, forget, purge, mend, check."""
