"""What must not be forgotten: tests that mirror the source, contract tests, pages for hooks and errors."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest


@pytest.fixture(scope="session")
def providers(root):
    """The names of the providers that this distribution registers."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return list(project["entry-points"]["trueup.providers"])


def test_each_unit_test_file_mirrors_a_source_module(root):
    strays = []
    for test in sorted((root / "tests/unit").rglob("test_*.py")):
        parts = test.relative_to(root / "tests/unit").parent.parts
        name = test.stem.removeprefix("test_")
        folder = root / "providers" if parts and parts[0].startswith("trueup_") else root / "engine/trueup"
        mirrored = folder.joinpath(*parts, name)
        if not mirrored.with_suffix(".py").is_file() and not (mirrored / "__init__.py").is_file():
            strays.append(str(test.relative_to(root)))
    assert strays == []


def test_each_provider_has_a_contract_test(root, providers):
    assert providers
    without = []
    for name in providers:
        tests = (root / "tests/contract").rglob(f"test_*{name}*.py")
        if not any("trueup.sdk.testing" in test.read_text() for test in tests):
            without.append(name)
    assert without == []


def test_each_hook_is_documented(root, modules):
    hookspecs = next(module for module in modules if module.name == "trueup.sdk.hookspecs")
    hooks = [
        node.name
        for node in ast.walk(hookspecs.tree)
        if isinstance(node, ast.FunctionDef)
        and any(getattr(decorator, "id", "") == "hookspec" for decorator in node.decorator_list)
    ]
    assert hooks
    documented = (root / "docs/providers.md").read_text()
    assert [hook for hook in hooks if f"`{hook}`" not in documented] == []


def test_each_error_is_documented_and_nothing_else(root, modules):
    headings = set(re.findall(r"^#+ `(\w+)`", (root / "docs/errors.md").read_text(), re.MULTILINE))
    assert headings == _error_classes(modules)


def _error_classes(modules) -> set[str]:
    """The classes that descend from TrueupError, anywhere in the source; private ones have no page."""
    found = {"TrueupError"}
    while True:
        more = {
            node.name
            for module in modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
            and {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases} & found
        }
        if more <= found:
            return {name for name in found if not name.startswith("_")}
        found |= more


def test_each_document_in_docs_links_to_files_that_exist(root):
    broken = []
    for page in [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]:
        text = re.sub(r"^(```|~~~).*?^\1", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not re.match(r"[a-z]+:", link) and not (page.parent / link).exists():
                broken.append(f"{page.relative_to(root)}: {link}")
    assert broken == []
