"""The schemas in a real editor's language server: what it reports, and what it offers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tools.go_builds import NoBuild, build_once, run_build

from trueup.cli import run

HERE = Path(__file__).parent / "yaml_language_server"
SERVER = "node_modules/yaml-language-server/bin/yaml-language-server"


@pytest.fixture(scope="session")
def language_server() -> list[str]:
    """The command that starts the server."""
    node, npm = shutil.which("node"), shutil.which("npm")

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        shutil.copy(HERE / "package.json", folder)
        command = [str(npm), "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        run_build(command, "yaml-language-server cannot be installed", folder)

    try:
        if node is None or npm is None:
            raise NoBuild("there is no node or npm on PATH")
        folder = build_once("yaml-language-server", HERE, lambda found: (found / SERVER).is_file(), build)
    except NoBuild as why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no yaml-language-server: {why}")
        pytest.skip(f"NO YAML-LANGUAGE-SERVER, so the schemas are not tried in it: {why}")
    return [str(node), str(folder / SERVER), "--stdio"]


class Editor:
    """The editor's side of the protocol, as far as the test needs it."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._folder = folder
        self._last = 0
        self.request("initialize", processId=None, rootUri=folder.as_uri(), capabilities={})
        self.notify("initialized")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def diagnose(self, name: str, text: str) -> list[str]:
        """What the server reports about a file that says so itself which schema it has."""
        document = {"uri": (self._folder / name).as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", textDocument=document)
        while True:
            message = self._receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                return [each["message"] for each in message["params"]["diagnostics"]]

    def complete(self, name: str, line: int, character: int) -> list[str]:
        """What the server offers at a place of a file that is open."""
        answer = self.request(
            "textDocument/completion",
            textDocument={"uri": (self._folder / name).as_uri()},
            position={"line": line, "character": character},
        )
        return [item["label"] for item in answer["items"]]

    def request(self, method: str, **params: Any) -> Any:
        self._last += 1
        self._send({"id": self._last, "method": method, "params": params})
        while True:
            message = self._receive()
            if message.get("id") == self._last and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def notify(self, method: str, **params: Any) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        """The next message; a request of the server for its configuration is answered with nothing."""
        stream = self._process.stdout
        assert stream is not None
        length = 0
        while line := stream.readline().strip():
            key, _, value = line.partition(b":")
            length = int(value) if key.lower() == b"content-length" else length
        assert length, "the language server ended"
        message: dict[str, Any] = json.loads(stream.read(length))
        if "method" in message and "id" in message:
            items = message.get("params", {}).get("items", [])
            self._send({"id": message["id"], "result": [None for _ in items]})
        return message


@pytest.fixture
def editor(language_server: list[str], tmp_path: Path) -> Iterator[Editor]:
    """An editor on a directory with the schemas."""
    assert run(["schema", "--output-dir", str(tmp_path / "schemas")]) == 0
    editor = Editor(language_server, tmp_path)
    yield editor
    editor.close()


def with_schema(name: str, text: str) -> str:
    return f"# yaml-language-server: $schema=schemas/{name}.json\n{text}"


SITE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: site}
lifecycle: {protect: "${{ vars.careful }}"}
spec:
  path: /etc/motd
  content: ${{ vars.text }}
"""


def test_what_is_right_is_not_complained_about_and_fields_are_offered(editor: Editor) -> None:
    assert editor.diagnose("site.yaml", with_schema("resources", SITE)) == []
    assert editor.diagnose("new.yaml", with_schema("resources", SITE + "  \n")) == []
    assert {"mode", "owner", "sensitive"} <= set(editor.complete("new.yaml", 8, 2))


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("content:", "contents:", "Property contents is not allowed."),
        ("kind: File", "kind: Fiel", "Value is not accepted."),
        ("{protect:", "{protekt:", "Property protekt is not allowed."),
    ],
)
def test_a_slip_of_the_pen_is_seen_while_it_is_written(
    right: str, wrong: str, complaint: str, editor: Editor
) -> None:
    found = editor.diagnose("site.yaml", with_schema("resources", SITE.replace(right, wrong)))
    assert any(complaint in message for message in found), found


def test_a_stack_file_is_checked_with_the_config_of_its_targets(editor: Editor) -> None:
    stack = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: a}\nspec:\n  targets:\n"
    right = stack + "    - {name: here, provider: ssh, config: {connection: local}}\n"
    assert editor.diagnose("stack.yaml", with_schema("stack", right)) == []
    wrong = with_schema("stack", right.replace("connection", "conection"))
    assert "Property conection is not allowed." in editor.diagnose("other.yaml", wrong)
