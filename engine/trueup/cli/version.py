"""`trueup version`: what is installed, for reports of bugs. Imports no provider."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, entry_points, requires
from importlib.metadata import version as version_of
from typing import Any

import rich_click as click

import trueup
from trueup.cli.options import takes_output
from trueup.cli.output import columns, print_json

_PROVIDERS = "trueup.providers"
# A requirement of an extra in the metadata: `boto3>=1.38; extra == 'aws'`.
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*;.*\bextra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


@click.command()
@takes_output("text", "json")
def version(output: str) -> None:
    """Shows the versions of trueup, of Python and of what the extras bring.

    \b
    Example:
      trueup version --output json
    """
    found: dict[str, Any] = {
        "version": trueup.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "providers": sorted(point.name for point in entry_points(group=_PROVIDERS)),
        "extras": extras(),
    }
    if output == "json":
        print_json(found)
        return
    rows = [
        ("trueup", str(found["version"])),
        ("python", f"{found['python']} on {found['platform']}"),
        ("providers", ", ".join(found["providers"]) or "none"),
    ]
    for extra, libraries in found["extras"].items():
        parts = [f"{name} {installed or 'not installed'}" for name, installed in libraries.items()]
        hint = "" if all(libraries.values()) else f"  (pip install 'trueup[{extra}]')"
        rows.append((extra, ", ".join(parts) + hint))
    for row in columns(rows):
        click.echo("  ".join(row))


def extras() -> dict[str, dict[str, str | None]]:
    """The libraries of each extra with their installed versions, None for one that is missing."""
    found: dict[str, dict[str, str | None]] = {}
    for requirement in requires("trueup") or ():
        match = _REQUIREMENT.match(requirement)
        if match and match["extra"] != "all":
            found.setdefault(match["extra"], {})[match["name"]] = _installed(match["name"])
    return found


def _installed(name: str) -> str | None:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None
