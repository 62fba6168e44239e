"""The text of a resource file in its canonical layout. Pure. Called by cli/fmt.

Only the layout changes: what the file says, its comments and its line breaks inside of values stay. A result
that says anything else than the text did is thrown away, and the file keeps all but its trailing white space.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence

from trueup.errors import ManifestError, Problem
from trueup.manifests.document import SourceText
from trueup.manifests.parse import decode_text
from trueup.manifests.parse_json import parse_json
from trueup.manifests.parse_toml import parse_toml
from trueup.manifests.parse_yaml import parse_yaml
from trueup.model.values import Value

# No line is ever broken for its length.
_WIDTH = 1 << 20
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_COMMENT = re.compile(r"(?:^|\s)#.*$")


def format_file(file: str, data: bytes) -> str:
    """The file's text, laid out. Raises ManifestError for a file that does not parse."""
    problems: list[Problem] = []
    text = decode_text(file, data, problems)
    if text is None:
        raise ManifestError(problems)
    text = text.replace("\r\n", "\n")
    before = _read(file, text)
    laid_out = _layout_of(file)(text)
    aligned = _align_comments(laid_out, text)
    for result in (_trim(aligned), aligned, _trim(laid_out), laid_out, _trim(text), text.rstrip() + "\n"):
        if _is_same(file, result, before) and _comments(result) == _comments(text):
            return result
    return text


def _layout_of(file: str) -> Callable[[str], str]:
    if file.endswith(".json"):
        return _lay_out_json
    return _trim if file.endswith(".toml") else _lay_out_yaml


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


def _comments(text: str) -> list[str]:
    """The comments of a text, and what looks like one in its strings, in order."""
    return [found[0].strip() for line in text.split("\n") if (found := _COMMENT.search(line))]


def _lay_out_yaml(text: str) -> str:
    """Two spaces a level, lists indented below their key; the text itself where a line would be joined."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    try:
        documents = list(yaml.load_all(text))
        yaml.dump_all(documents, stream)
    except (YAMLError, ValueError, AttributeError, NotImplementedError):
        return text
    result = stream.getvalue()
    return result if _count_lines(result) == _count_lines(text) else text


def _align_comments(laid_out: str, text: str) -> str:
    """The comments above a line moved along with it: ruamel leaves them in the column where they stood."""
    before, lines = _comments_above(text.split("\n")), laid_out.split("\n")
    after = _comments_above(lines)
    if len(before) != len(after):
        return laid_out
    for (_, old, below), (index, _, new) in zip(before, after, strict=True):
        if old == below:
            lines[index] = " " * new + lines[index].lstrip()
    return "\n".join(lines)


def _comments_above(lines: Sequence[str]) -> list[tuple[int, int, int]]:
    """For each line that is a comment: its index, its indentation, and that of the next line that is none."""
    found, below = [], 0
    for index in range(len(lines) - 1, -1, -1):
        stripped = lines[index].strip()
        indent = len(lines[index]) - len(lines[index].lstrip())
        if stripped.startswith("#"):
            found.append((index, indent, below))
        elif stripped:
            below = indent
    return found


def _count_lines(text: str) -> int:
    """How many lines say something; the marker before the first document says nothing."""
    return sum(1 for line in text.split("\n") if line.strip() not in ("", "---", "..."))


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
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"
