"""The command line: one file per command; output.py renders."""
