"""Who imports what, functions included. The directions between packages stand in pyproject.toml."""

from __future__ import annotations

import ast

# An external system's SDK: the one file that may import it.
SDKS = {
    "boto3": "providers/trueup_aws/client.py",
    "botocore": "providers/trueup_aws/client.py",
    "kubernetes": "providers/trueup_kubernetes/client.py",
    "paramiko": "providers/trueup_ssh/client.py",
    "hvac": "providers/trueup_vault/client.py",
}
# A library and the one package that may import it.
HOMES = {
    "networkx": "trueup.graph",
    "git": "trueup.sources",
    "gitdb": "trueup.sources",
    "sqlalchemy": "trueup.state",
    "alembic": "trueup.state",
    "psycopg": "trueup.state",
    "cel_expr_python": "trueup.manifests",
    "pyrage": "trueup.secrets",
    "cryptography": "trueup.secrets",
    "prometheus_client": "trueup.daemon",
    "http": "trueup.daemon",
    "click": "trueup.cli",
    "rich": "trueup.cli",
    "rich_click": "trueup.cli",
}
# The part of the standard library, and the one library, that cannot reach the world outside or its clock.
PURE = {
    "__future__", "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "decimal", "difflib",
    "enum", "fnmatch", "fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math",
    "networkx", "operator", "re", "string", "types", "typing",
}  # fmt: skip
PURE_MODULES = (
    "trueup.errors",
    "trueup.model",
    "trueup.graph",
    "trueup.reconcile.diff",
    "trueup.reconcile.plan",
)


def _is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_the_sdk_of_a_system_is_imported_in_one_file(modules):
    strays = {
        f"{module.place} imports {name}"
        for module in modules
        for name in (imported.partition(".")[0] for imported in module.imports)
        if name in SDKS and module.place != SDKS[name]
    }
    assert strays == set()


def test_each_of_these_libraries_has_one_home(modules):
    strays = {
        f"{module.place} imports {name}"
        for module in modules
        for name in (imported.partition(".")[0] for imported in module.imports)
        if name in HOMES and not _is_within(module.name, HOMES[name])
    }
    assert strays == set()


def test_the_pure_modules_do_no_io(modules):
    pure = [module for module in modules if any(_is_within(module.name, name) for name in PURE_MODULES)]
    assert len(pure) > 8
    impure = {
        f"{module.place} imports {name}"
        for module in pure
        for name in (imported.partition(".")[0] for imported in module.imports)
        if name != "trueup" and name not in PURE
    }
    calls = {
        f"{module.place}:{node.lineno} calls {node.func.id}"
        for module in pure
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("open", "print", "input", "exec", "eval", "__import__")
    }
    assert impure | calls == set()


def test_providers_import_the_sdk_and_nothing_else_of_trueup(modules):
    strays = {
        f"{module.place} imports {name}"
        for module in modules
        for name in module.imports
        if not _is_within(module.name, "trueup")
        and name.partition(".")[0].startswith("trueup")
        and name != "trueup"
        and not _is_within(name, "trueup.sdk")
        and name.partition(".")[0] != module.name.partition(".")[0]
    }
    assert strays == set()


def test_no_module_imports_itself_in_a_circle(modules):
    names = {module.name for module in modules}
    edges = {module.name: sorted((module.imports & names) - {module.name}) for module in modules}
    # `from package import name` names the package too; it is an edge only where no submodule was meant.
    for module in modules:
        edges[module.name] = [
            name
            for name in edges[module.name]
            if not (_is_package(name, names) and _only_leads_to_submodules(module, name, names))
        ]
    assert _find_circle(edges) == []


def _is_package(name: str, names: set[str]) -> bool:
    return any(other.startswith(f"{name}.") for other in names)


def _only_leads_to_submodules(module, package: str, names: set[str]) -> bool:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            if any(f"{package}.{alias.name}" not in names for alias in node.names):
                return False
        elif isinstance(node, ast.Import) and any(alias.name == package for alias in node.names):
            return False
    return True


def _find_circle(edges: dict[str, list[str]]) -> list[str]:
    """The modules of one import circle in order, empty where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in edges[name]:
            if circle := visit(other):
                return circle
        done.add(path.pop())
        return []

    for name in edges:
        if circle := visit(name):
            return circle
    return []


def test_a_circle_would_be_found():
    assert _find_circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
