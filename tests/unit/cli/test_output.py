from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

import pytest

from trueup.cli.output import (
    ago,
    columns,
    escape,
    make_console,
    one_line,
    plain,
    print_json,
    print_lines,
    seconds,
)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def printed(stream: StringIO, text: str = "word", style: str = "red") -> str:
    print_lines(make_console(stream), [plain((text, style))])
    return stream.getvalue()


def test_a_pipe_gets_neither_colour_nor_wrapping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert printed(StringIO(), "x" * 200 + " y") == "x" * 200 + " y\n"


def test_many_lines_are_the_same_lines() -> None:
    stream = StringIO()
    lines = [f"{'x' * number} " for number in range(450)]
    print_lines(make_console(stream), (plain((line, "")) for line in lines))
    assert stream.getvalue().split("\n") == [*lines, ""]


def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert printed(Terminal()) == "\x1b[31mword\x1b[0m\n"


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(Terminal()) == "word\n"


def test_force_color_is_honoured_on_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert printed(StringIO()) == "\x1b[31mword\x1b[0m\n"


def test_brackets_and_colons_of_values_are_no_markup() -> None:
    assert printed(StringIO(), "[red]x[/red] :smile: {1: 'a'}", "") == "[red]x[/red] :smile: {1: 'a'}\n"


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("plain ü 東京 🎉", "plain ü 東京 🎉"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202ecba\u2066", r"abc\u202ecba\u2066"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\ud800", r"\ud800"),
        ("\x00\x7f", r"\x00\x7f"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_escaped(raw: str, escaped: str) -> None:
    assert escape(raw) == escaped


def test_a_message_of_several_lines_becomes_one() -> None:
    assert one_line("first\n   second\x1b\n\nthird\n") == r"first second\x1b third"


def test_columns_stand_below_each_other_by_their_width_on_screen() -> None:
    rows = columns([("a", "b"), ("東京", "c"), ("long", "d")])
    assert ["".join(row) for row in rows] == ["a   b", "東京c", "longd"]


@pytest.mark.parametrize(
    ("duration", "text"), [(0.04, "0.0s"), (9.94, "9.9s"), (12.4, "12s"), (59.9, "1m 00s"), (250, "4m 10s")]
)
def test_durations_are_short(duration: float, text: str) -> None:
    assert seconds(duration) == text


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (0, "just now"),
        (30, "30 seconds ago"),
        (61, "1 minute ago"),
        (7300, "2 hours ago"),
        (2e5, "2 days ago"),
    ],
)
def test_moments_are_told_in_the_largest_unit_that_fits(past: float, text: str) -> None:
    assert ago(1000.0, 1000.0 + past) == text


def test_json_keeps_letters_and_escapes_what_cannot_be_encoded(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "ü"})
    print_json({"a": "\ud800"})
    assert capsys.readouterr().out == '{\n  "a": "ü"\n}\n{\n  "a": "\\ud800"\n}\n'


def test_a_reader_that_went_away_ends_nothing() -> None:
    script = (
        "import sys\n"
        "from trueup.cli.output import make_console, plain\n"
        "console = make_console()\n"
        "sys.stdin.readline()\n"
        "for n in range(3):\n"
        "    console.print(plain((f'line {n}', '')))\n"
        "sys.stderr.write('went on')\n"
    )
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    os.close(read)
    _, errors = process.communicate("go\n", timeout=60)
    assert (process.returncode, errors) == (0, "went on")
