"""The bytes of one file to documents: encoding, size and language. Called by `load`."""

from __future__ import annotations

from trueup.errors import Place, Problem
from trueup.manifests.document import SourceDocument, SourceText
from trueup.manifests.parse_json import parse_json
from trueup.manifests.parse_toml import parse_toml, parse_toml_map
from trueup.manifests.parse_yaml import parse_yaml

MAX_FILE_BYTES = 4 * 1024 * 1024
# Each value of a file costs a line or a comma, and some 500 bytes while it is parsed.
MAX_SEPARATORS = 200_000
MAX_PROBLEMS = 100
SUFFIXES = (".yaml", ".yml", ".toml", ".json")
_LIST = "List"


def parse_file(file: str, data: bytes, problems: list[Problem]) -> list[SourceDocument]:
    """The documents of a file, the items of Lists among them; what is wrong goes to `problems`."""
    source = _read_source(file, data, problems)
    if source is None:
        return []
    before = len(problems)
    if file.endswith(".json"):
        documents = parse_json(source, problems) if source.text.strip() else []
    elif file.endswith(".toml"):
        documents = parse_toml(source, problems)
    else:
        documents = parse_yaml(source, problems)
    bound_problems(before, problems)
    if not documents and len(problems) == before:
        problems.append(Problem("the file holds no document", Place(file), "fill it or remove it"))
    return [item for document in documents for item in unpack_lists(document, problems)]


def parse_data(file: str, data: bytes, problems: list[Problem], what: str) -> SourceDocument | None:
    """A file that holds one map of plain data. `what` it is called in messages; an empty one is refused."""
    source = _read_source(file, data, problems)
    if source is None:
        return None
    before = len(problems)
    if file.endswith(".toml"):
        found = parse_toml_map(source, problems)
        documents = [] if found is None else [found]
    elif file.endswith(".json"):
        documents = parse_json(source, problems) if source.text.strip() else []
    else:
        documents = parse_yaml(source, problems)
    bound_problems(before, problems)
    if not documents and len(problems) == before:
        hint = "write {} into it if that is meant" if not file.endswith(".toml") else "leave it out"
        problems.append(Problem(f"the {what} is empty", Place(file), hint))
    for extra in documents[1:]:
        problems.append(extra.problem(f"a {what} holds one document", (), "merge them into one map"))
    return documents[0] if documents and len(problems) == before else None


def _read_source(file: str, data: bytes, problems: list[Problem]) -> SourceText | None:
    text = decode_text(file, data, problems)
    if text is None:
        return None
    if text.count("\n") + text.count(",") > MAX_SEPARATORS:
        message = f"the file has more than {MAX_SEPARATORS} lines and commas"
        problems.append(Problem(message, Place(file), "split it, or read large data with file()"))
        return None
    return SourceText(file, text)


def bound_problems(before: int, problems: list[Problem]) -> None:
    """Keeps the first problems of a file that has too many."""
    found = len(problems) - before
    if found > MAX_PROBLEMS:
        del problems[before + MAX_PROBLEMS :]
        message = f"{found - MAX_PROBLEMS} more problems in this file"
        problems.append(Problem(message, problems[-1].place, "mend these first"))


def decode_text(file: str, data: bytes, problems: list[Problem]) -> str | None:
    """The text of a file, None with a problem where it is too large or not UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // (1024 * 1024)
        problems.append(Problem(f"the file is larger than {limit} MiB", Place(file), "split it"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8")) + 1
        place = Place(file, data.count(b"\n", 0, error.start) + 1, column)
        problems.append(
            Problem(f"not UTF-8: byte 0x{data[error.start]:02x}", place, "save the file as UTF-8")
        )
        return None


def unpack_lists(document: SourceDocument, problems: list[Problem]) -> list[SourceDocument]:
    """The document itself, or the items of a Kubernetes List."""
    if document.value.get("kind") != _LIST or document.value.get("apiVersion") != "v1":
        return [document]
    items = document.value.get("items")
    if not isinstance(items, list):
        problems.append(document.problem("a List needs items", ("items",), "items: [...]"))
        return []
    documents = []
    for index, item in enumerate(items):
        if isinstance(item, dict):
            documents.extend(unpack_lists(document.item(("items", index), item), problems))
        else:
            problems.append(document.problem("an item of a List must be a map", ("items", index)))
    return documents
