"""Says which file of the stack an imported resource goes into, and writes its text. Pure.

Called by import_objects. One file for each kind and namespace, in a folder of the namespace; with several
targets, below a folder of the target. What is there already is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from trueup.manifests.print_yaml import print_documents
from trueup.model.resource import Stack
from trueup.reconcile.propose import Proposal

# What a person can still review; the rest goes into the next file.
LONGEST_FILE = 256 * 1024
# Files that mean something else than resources to trueup, kustomize or helm.
_RESERVED = frozenset({"stack", "module", "kustomization", "chart", "values"})
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Page:
    """One new file: its proposals, in the order of their documents."""

    path: str
    proposals: Sequence[Proposal]

    @cached_property
    def text(self) -> str:
        return print_documents(proposal.document for proposal in self.proposals)

    def proposal_at(self, line: int) -> Proposal | None:
        """The proposal whose document stands at a line."""
        position = 0
        for proposal in self.proposals:
            # And the line that separates it from the next one.
            position += print_documents([proposal.document]).count("\n") + 1
            if line <= position:
                return proposal
        return None


def lay_out(
    proposals: Sequence[Proposal], stack: Stack, taken: Collection[str], file: str = ""
) -> Sequence[Page]:
    """The new files by their paths in the stack's directory; a single one where it is named."""
    if file:
        return [Page(file, proposals)] if proposals else []
    groups: dict[str, list[Proposal]] = {}
    has_folders = len(stack.targets) > 1
    for proposal in proposals:
        groups.setdefault(_path_of(proposal, has_folders=has_folders), []).append(proposal)
    pages: list[Page] = []
    used = set(taken)
    for path, group in sorted(groups.items()):
        for part in _split(group):
            free = _free(path, used)
            used.add(free)
            pages.append(Page(free, part))
    return pages


def _split(proposals: Sequence[Proposal]) -> Iterator[Sequence[Proposal]]:
    part: list[Proposal] = []
    size = 0
    for proposal in sorted(proposals, key=lambda each: each.node.name):
        length = len(print_documents([proposal.document]))
        if part and size + length > LONGEST_FILE:
            yield part
            part, size = [], 0
        part.append(proposal)
        size += length
    yield part


def _path_of(proposal: Proposal, *, has_folders: bool) -> str:
    address = proposal.node.address
    # AWS::SQS::Queue gives sqs-queue: that they are AWS's, the target says.
    words = address.kind.split("::")
    name = _safe("-".join(words[1:] or words).lower())
    if name in _RESERVED:
        name = f"{name}-resources"
    folders = [address.target] if has_folders else []
    folders += [address.namespace] if address.namespace else []
    return "/".join([*(_safe(folder) for folder in folders), f"{name}.yaml"])


def _free(path: str, taken: Collection[str]) -> str:
    """The path, with a number if the one without is taken. Some file systems know no upper case."""
    known = {each.lower() for each in taken}
    stem, number = path.removesuffix(".yaml"), 1
    while path.lower() in known:
        number += 1
        path = f"{stem}-{number}.yaml"
    return path


def _safe(name: str) -> str:
    """A name as part of a path that is not hidden."""
    return _UNSAFE.sub("-", name).lstrip(".-") or "resources"
