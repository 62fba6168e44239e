"""What the provider knows about kinds: one generic kind, and tables of what differs between them."""
