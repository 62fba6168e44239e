"""One estate, twice: as a trueup stack over the memory provider, and as terraform_data with its state file.

Both have the same names, values and references, so that both engines have the same graph to walk.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A file of a hundred resources is what people write at this scale; both engines get the same.
RESOURCES_PER_FILE = 100


@dataclass(frozen=True)
class Estate:
    """`size` nodes with two edges each on average, all to earlier nodes; the same for equal sizes."""

    size: int

    @property
    def edges(self) -> int:
        return sum(len(below) for _, below in self.nodes())

    def nodes(self) -> Iterator[tuple[int, list[int]]]:
        """Each node with the nodes that it refers to."""
        choice = random.Random(self.size)
        for index in range(self.size):
            wanted = 3 if index in (3, 4, 5) else min(index, 2)
            yield index, sorted(choice.sample(range(index), wanted))

    def write_trueup(self, folder: Path) -> None:
        """The stack's directory."""
        folder.mkdir(parents=True)
        (folder / "stack.yaml").write_text(
            "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: bench}\n"
            "spec:\n  targets:\n    - {name: world, provider: memory}\n"
        )
        write_in_files(folder, "yaml", [self._document(*node) for node in self.nodes()])

    def write_terraform(self, folder: Path) -> None:
        """The root module, and the state that an apply of it would leave."""
        folder.mkdir(parents=True)
        write_in_files(folder, "tf", [self._block(*node) for node in self.nodes()])
        (folder / "terraform.tfstate").write_text(json.dumps(self._state()))

    def _document(self, index: int, below: list[int]) -> str:
        references = "".join(f'-${{{{ ref("Thing/n{other}").status.id }}}}' for other in below)
        return (
            "---\napiVersion: memory.trueup.dev/v1\nkind: Thing\n"
            f"metadata:\n  name: n{index}\nspec:\n  value: 'v{index}{references}'\n"
        )

    def _block(self, index: int, below: list[int]) -> str:
        references = "".join(f"-${{terraform_data.n{other}.id}}" for other in below)
        return f'resource "terraform_data" "n{index}" {{\n  input = "v{index}{references}"\n}}\n\n'

    def _state(self) -> dict[str, object]:
        # An apply writes every indirect dependency too; a plan does not use them, and without it reads less.
        resources = []
        for index, below in self.nodes():
            text = f"v{index}" + "".join(f"-{id_of(other)}" for other in below)
            value = {"value": text, "type": "string"}
            instance: dict[str, object] = {
                "schema_version": 0,
                "attributes": {"id": id_of(index), "input": value, "output": value, "triggers_replace": None},
                "sensitive_attributes": [],
                "dependencies": [f"terraform_data.n{other}" for other in below],
            }
            resources.append(
                {
                    "mode": "managed",
                    "type": "terraform_data",
                    "name": f"n{index}",
                    "provider": 'provider["terraform.io/builtin/terraform"]',
                    "instances": [instance],
                }
            )
        return {
            "version": 4,
            "terraform_version": "1.11.4",
            "serial": 1,
            "lineage": str(uuid.UUID(int=self.size)),
            "outputs": {},
            "resources": resources,
            "check_results": None,
        }


def id_of(index: int) -> str:
    """The id that the generated state gives a resource."""
    return str(uuid.UUID(int=index + 1, version=4))


def write_in_files(folder: Path, suffix: str, parts: list[str]) -> None:
    """The resources in files of a hundred."""
    for start in range(0, len(parts), RESOURCES_PER_FILE):
        part = "".join(parts[start : start + RESOURCES_PER_FILE])
        (folder / f"part-{start // RESOURCES_PER_FILE:04}.{suffix}").write_text(part)
