"""The nouns of trueup: frozen data, no I/O. Each module holds one; import them from there."""
