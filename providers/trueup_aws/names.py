"""Names of objects whose manifest gives none: the same for the same owner and address, always."""

from __future__ import annotations

import hashlib
import re


def generated_name(
    owner_key: str,
    stack: str,
    name: str,
    address: str,
    *,
    limit: int,
    suffix: str = "",
    pattern: str = "[^a-z0-9-]+",
) -> str:
    """`<stack>-<name>-<8 hex digits>`, lower case, within `limit` characters.

    The digits come from the owner and the whole address, so two stacks, targets or installations never meet;
    they alone survive where the rest is too long. `pattern` is what the service does not allow in a name.
    """
    digits = hashlib.sha256(f"{owner_key}\n{address}".encode()).hexdigest()[:8]
    words = re.sub(pattern, "-", f"{stack}-{name}".lower()).strip("-")
    room = limit - len(digits) - len(suffix) - 1
    kept = words[:room].rstrip("-")
    return f"{kept}-{digits}{suffix}" if kept else f"{digits}{suffix}"
