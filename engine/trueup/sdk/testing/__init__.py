"""What the authors of providers test with: the contract suite, and a provider whose system is memory.

Only `contract` and the promises behind it import pytest; `case`, `rig` and `memory` work without it.
"""
