"""From files to nodes: load, parse, validate, expand, expressions."""
