"""Files that are made to explode: each is reported at its place, in seconds and in bounded memory.

Each is read by a process of its own, so that what it took can be told: two seconds of the processor, and
256 MiB for all of it, the interpreter included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

CPU_SECONDS = 2.0
MEMORY = 256 * 1024

_READ = """
import json, resource, sys
from pathlib import Path
from trueup.manifests.parse import parse_file

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

file = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF)
problems = []
documents = parse_file(file.name, file.read_bytes(), problems)
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
shown = [str(problem) for problem in problems]
size = sum(map(len, shown))
told = {"cpu": cpu, "memory": peak(), "documents": len(documents), "size": size, "first": shown[0]}
print(json.dumps(told))
"""


def _lists(levels: int) -> str:
    names = "abcdefghijklmnopqrstuvwxyz"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]\n"]
    for one, other in pairwise(names[:levels]):
        lines.append(f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]\n")
    return "".join(lines)


def _merges(levels: int) -> str:
    lines = ["a0: &a0 {k: 1}\n"]
    for level in range(levels):
        lines.append(f"a{level + 1}: &a{level + 1} {{<<: [{', '.join([f'*a{level}'] * 9)}]}}\n")
    return "".join(lines)


_WIDE = "".join(f"k{number}: 1\n" for number in range(90_000))
_DIGITS = "9" * 4_000_000
BOMBS: dict[str, tuple[str, str | bytes, str]] = {
    "aliases of lists": (
        "a.yaml",
        _lists(15),
        "a.yaml:1:4: the aliases of this document expand to more than",
    ),
    "aliases by merging": ("a.yaml", _merges(12), "a.yaml:1:5: the aliases of this document expand to"),
    "an alias of itself": ("a.yaml", "a: &a [*a]\n", "a.yaml:1:4: "),
    "nesting without end": ("a.yaml", "a: " + "[" * 1_000_000, "a.yaml:1:1003: not YAML: "),
    "nesting by dashes": ("a.yaml", "- " * 1_000_000 + "x", "a.yaml:1:1999: not YAML: "),
    "nesting by indentation": (
        "a.yaml",
        "".join(" " * n + "a:\n" for n in range(2800)),
        "a.yaml:1000:1001: ",
    ),
    "nesting a little too deep": (
        "a.yaml",
        "a: " + "[" * 100 + "]" * 100,
        "a.yaml:1:103: nested deeper than 100",
    ),
    "an endless integer": ("a.yaml", f"a: {_DIGITS}", "a.yaml:1:4: 99999"),
    "an integer of thousands": ("a.yaml", f"a: {'9' * 5000}", "a.yaml:1:4: 99999"),
    "an endless hexadecimal": ("a.yaml", f"a: 0x{'f' * 4_000_000}", "a.yaml:1:4: 0xfffff"),
    "an endless exponent": ("a.yaml", f"a: 1e{_DIGITS}", "a.yaml:1:4: 1e99999"),
    "the key twice, often": ("a.yaml", "a: 1\n" * 150_000, 'a.yaml:2:1: duplicate key "a"'),
    "all of many keys twice": ("a.yaml", _WIDE + _WIDE, 'a.yaml:90001:1: duplicate key "k0"'),
    "long keys twice": ("a.yaml", ("x" * 1000 + ": 1\n") * 2000, "a.yaml:2:1: duplicate key"),
    "tags": ("a.yaml", "a: !!python/object/apply:os.system [x]\n" * 90_000, "a.yaml:1:4: the tag !!python"),
    "an endless tag": ("a.yaml", f"a: !<{'t' * 4_000_000}> x", "a.yaml:1:4: the tag ttttt"),
    "directives": (
        "a.yaml",
        "".join(f"%TAG !a{number}! tag:x{number}\n" for number in range(100_000)) + "---\na: 1\n",
        "a.yaml:2:1: more than 100 directives",
    ),
    "documents that are none": ("a.yaml", "---\n- a\n" * 99_000, "a.yaml:2:1: a document must be a map"),
    "an open quote": ("a.yaml", 'a: "' + "x " * 2_000_000, "a.yaml:1:4000005: not YAML"),
    "NULs": ("a.yaml", "a: \0\n" * 100_000, "a.yaml:1:4: not YAML: control characters"),
    "UTF-16": ("a.yaml", "a: 1\n".encode("utf-16"), "a.yaml:1:1: not UTF-8: byte 0xff"),
    "not UTF-8 in the middle": ("a.yaml", b"a: 1\nb: x\xff", "a.yaml:2:5: not UTF-8: byte 0xff"),
    "marks of byte order": ("a.yaml", "\ufeff" * 1_000_000, "a.yaml:1:2: "),
    "too many lines": (
        "a.yaml",
        "a: 1\n" * 300_000,
        "a.yaml: the file has more than 200000 lines and commas",
    ),
    "too large": ("a.yaml", b"x" * (5 * 1024 * 1024), "a.yaml: the file is larger than 4 MiB"),
    "JSON nesting without end": ("a.json", "[" * 4_000_000, "a.json:1:1: nested deeper than 100 levels"),
    "JSON nesting of maps": (
        "a.json",
        '{"a":' * 150 + "1" + "}" * 150,
        "a.json:1:501: nested deeper than 100",
    ),
    "an endless integer of JSON": ("a.json", f'{{"a": {_DIGITS}}}', "a.json:1:7: 99999"),
    "an endless exponent of JSON": ("a.json", f'{{"a": 1e{_DIGITS}}}', "a.json:1:7: 1e99999"),
    "the key of JSON twice, often": (
        "a.json",
        "{" + ", ".join(['"a": 1'] * 190_000) + "}",
        'a.json:1:10: duplicate key "a"',
    ),
    "a long key of JSON twice": (
        "a.json",
        f'{{"{"x" * 1_000_000}": 1, "{"x" * 1_000_000}": 2}}',
        "a.json:1:1000009: duplicate key",
    ),
    "halves of characters": (
        "a.json",
        '{"a": "' + "\\ud800" * 600_000 + '"}',
        "a.json:1:7: half of a character",
    ),
    "an endless integer of TOML": ("a.toml", f"a = {_DIGITS}", "a.toml:1:5: a key or a number of more than"),
    "an endless hexadecimal of TOML": ("a.toml", f"a = 0x{'f' * 4_000_000}", "a.toml:1:5: a key or a number"),
    "an endless fraction of TOML": ("a.toml", f"b = 1\na = [1.{_DIGITS}]", "a.toml:2:6: a key or a number"),
    "an integer of thousands in TOML": ("a.toml", f"a = {'9' * 5000}", "a.toml:1:5: a key or a number"),
    "TOML nesting without end": ("a.toml", "a = " + "[" * 1_000_000, "a.toml:1:1: nested deeper than 100"),
    "TOML nesting by dots": ("a.toml", "a" + ".a" * 1_000_000 + " = 1", "a.toml:1:1: "),
    "the key of TOML twice, often": ("a.toml", "a = 1\n" * 190_000, "a.toml:2:6: not TOML"),
    "a NUL in TOML": ("a.toml", 'a = "\0"', "a.toml:1:6: not TOML"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_reported_at_its_place_in_bounded_time_and_memory(name: str, tmp_path: Path) -> None:
    file_name, content, expected = BOMBS[name]
    file = tmp_path / file_name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["first"].startswith(expected)
    assert told["documents"] == 0
    assert told["size"] < 20_000
    assert told["cpu"] < CPU_SECONDS
    assert told["memory"] < MEMORY


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{"x" * 2_000_000}"\n',
        f'a = """\n{"4AA" * 500_000}\n"" x"""\nb = 1\n',
        f"a = '''\n{'4AA' * 500_000}\n'' x'''\nb = '{'1' * 5000}'\n",
        f"# {'9' * 100_000}\na = 1\n",
        f'a = "\\"{"9" * 5000}"\nb = \'{"9" * 5000}\' # {"9" * 5000}\n',
    ],
)
def test_long_text_in_quotes_and_comments_is_no_bomb(text: str, tmp_path: Path) -> None:
    from trueup.errors import Problem
    from trueup.manifests.parse import parse_data

    problems: list[Problem] = []
    assert parse_data("a.toml", text.encode(), problems, "values file") is not None
    assert not problems
