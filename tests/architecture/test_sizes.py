"""A reader holds a module of 400 lines and a function of 60 in mind; beyond that the code is split."""

from __future__ import annotations

import ast

MODULE_LINES = 400
FUNCTION_LINES = 60
BANNED = {"utils", "helpers", "common", "base", "misc", "manager"}


def test_no_module_is_longer_than_400_lines(modules):
    lengths = {module.place: len(module.text.splitlines()) for module in modules}
    assert {place: lines for place, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_function_is_longer_than_60_lines(modules):
    too_long = [
        f"{module.place}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    ]
    assert too_long == []


def test_no_module_package_or_class_has_a_name_that_says_nothing(modules):
    names = [(module.place, part) for module in modules for part in module.name.split(".")]
    names += [
        (module.place, word)
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for word in (node.name.lower(), f"{node.name.lower()}s")
    ]
    assert [(place, name) for place, name in names if name.strip("_") in BANNED] == []


def test_each_module_says_what_it_does(modules):
    assert [module.place for module in modules if not ast.get_docstring(module.tree)] == []
