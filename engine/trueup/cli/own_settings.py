"""A trueup.toml that lies in the repository of the stack restricts, and grants nothing. Used by `options`.

In a checkout `./trueup.toml` is whatever the repository brings, and nobody has named it: whoever may write
to the repository would grant itself what it likes.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trueup.config import FILE_NAME, Config
from trueup.errors import SourceError

if TYPE_CHECKING:
    from trueup.model.resource import Grants

_RESTRICTING = "allow"


def drop_own_grants(config: Config, location: str) -> Config:
    """The settings for a stack at `location`; where they are its own, without what they grant."""
    if not location or not _is_within(Path(FILE_NAME), location):
        return config
    extra = sorted(key for key in config.secrets if key != _RESTRICTING)
    granted = [f"secrets.{key}" for key in extra]
    granted += ["rendering.allow_network"] if config.allow_fetching else []
    if granted:
        sys.stderr.write(
            f"{FILE_NAME} lies in the repository of the stack, so it grants nothing: {', '.join(granted)}\n"
            f"  name it with --config {FILE_NAME} if the repository is to grant that to itself\n"
        )
    return replace(
        config,
        secrets={key: value for key, value in config.secrets.items() if key == _RESTRICTING},
        allow_fetching=False,
        allow_targets=_mark(config.allow_targets),
        stacks=tuple(replace(stack, allow_targets=_mark(stack.allow_targets)) for stack in config.stacks),
    )


def _mark(grants: Grants | None) -> Grants | None:
    return None if grants is None else tuple(replace(grant, is_own=True) for grant in grants)


def _is_within(file: Path, location: str) -> bool:
    from trueup.sources.open import find_root

    try:
        root = find_root(location)
    except SourceError:
        return False  # what the location is wrong with, the command says
    return root is not None and file.resolve().is_relative_to(root)
