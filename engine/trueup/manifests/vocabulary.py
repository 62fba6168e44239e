"""What trueup's own documents and files are called. Read all over this package."""

from __future__ import annotations

API_VERSION = "trueup.dev/v1"
STACK_FILES = ("stack.yaml", "stack.yml", "stack.toml", "stack.json")
