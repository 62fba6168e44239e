"""From entry points to providers."""
