"""The text of a resource file in its canonical layout. Pure. Called by cli/fmt.

Only white space changes, and nothing of what the file says: a result that differs in anything else is thrown
away, and the file keeps all but its trailing white space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from trueup.errors import ManifestError, Problem
from trueup.manifests.document import SourceText
from trueup.manifests.parse import decode_text
from trueup.manifests.parse_json import parse_json
from trueup.manifests.parse_toml import parse_toml
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.yaml_layout import lay_out_yaml, tidy
from trueup.model.values import Value

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_TOML_WORD = re.compile(
    r'"{3}(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL
)


def format_file(file: str, data: bytes) -> str:
    """The file's text, laid out. Raises ManifestError for a file that does not parse."""
    problems: list[Problem] = []
    text = decode_text(file, data, problems)
    if text is None:
        raise ManifestError(problems)
    text = text.replace("\r\n", "\n")
    before = _read(file, text)
    for result in (_layout_of(file)(text), _trim(text), text.rstrip() + "\n"):
        if _words(result) == _words(text) and _is_same(file, result, before):
            return result
    return text


def _layout_of(file: str) -> Callable[[str], str]:
    if file.endswith(".json"):
        return _lay_out_json
    return _lay_out_toml if file.endswith(".toml") else _lay_out_yaml


def _read(file: str, text: str) -> Sequence[Value]:
    """The values of the documents. Raises ManifestError."""
    problems: list[Problem] = []
    parse = parse_json if file.endswith(".json") else parse_toml if file.endswith(".toml") else parse_yaml
    documents = parse(SourceText(file, text), problems) if text.strip() else []
    if problems:
        raise ManifestError(problems)
    return [document.value for document in documents]


def _is_same(file: str, text: str, before: Sequence[Value]) -> bool:
    """Whether a text says the same, the order of keys included."""
    try:
        return json.dumps(_read(file, text)) == json.dumps(before)
    except ManifestError:
        return False


def _words(text: str) -> str:
    """All of a text that is no white space."""
    return "".join(text.split())


def _lay_out_yaml(text: str) -> str:
    # A single CR ends a line for YAML and not for us.
    return text if "\r" in text else lay_out_yaml(text)


def _lay_out_toml(text: str) -> str:
    """As it is but for the white space at the ends of lines, and empty lines; strings keep theirs."""
    inside: set[int] = set()
    first = position = 0
    for word in _TOML_WORD.finditer(text):
        first += text.count("\n", position, word.start())
        position = word.start()
        inside.update(range(first, first + word[0].count("\n")))
    return "\n".join(tidy(text.split("\n"), inside)) + "\n"


def _lay_out_json(text: str) -> str:
    """Two spaces a level, one member or item a line; the words stay as they are written."""
    words = _JSON_TOKEN.findall(text)
    lines, depth = [""], 0
    for index, word in enumerate(words):
        before, after = words[index - 1] if index else "", words[index + 1] if index + 1 < len(words) else ""
        if word in "]}" and before not in "[{":
            depth -= 1
            lines.append("  " * depth)
        lines[-1] += word + (" " if word == ":" else "")
        if word in "[{" and after not in "]}":
            depth += 1
            lines.append("  " * depth)
        elif word == ",":
            lines.append("  " * depth)
    return "\n".join(lines) + "\n"


def _trim(text: str) -> str:
    """No white space at the ends of lines, no two empty lines in a row, one newline at the end."""
    return "\n".join(tidy(text.split("\n"), set())) + "\n"
