"""How much text the expressions of one run make. Kept by `situation`, filled by `resolve` and `recheck`.

What a stack makes when it is loaded, `expand` counts; this is for what comes of other resources, secrets and
stacks: a text of four megabytes that a thousand nodes put something before.
"""

from __future__ import annotations

import threading

from trueup.errors import ManifestError, Problem
from trueup.model.address import Address
from trueup.model.resource import Node

# As much as at load: bodies are kept as long as the run lasts.
MAX_RUN_TEXT = 512 * 1024 * 1024


class TextBudget:
    """Thread safe. Each node counts once, as it was resolved last."""

    def __init__(self) -> None:
        self._sizes: dict[Address, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    def take(self, node: Node, size: int) -> None:
        """Raises ManifestError for a node with which it becomes too much; the node counts as before."""
        with self._lock:
            total = self._total + size - self._sizes.get(node.address, 0)
            if total > MAX_RUN_TEXT:
                message = f"the expressions of a run make more than {MAX_RUN_TEXT // 1024**2} MiB of text"
                hint = "share what is large, or divide the stack into several"
                raise ManifestError([Problem(message, node.place, hint)])
            self._total = total
            if size:
                self._sizes[node.address] = size
            else:
                self._sizes.pop(node.address, None)
