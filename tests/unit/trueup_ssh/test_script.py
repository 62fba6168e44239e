"""Whatever stands in a field stays data: the scripts are run by this machine's own shells."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueup.sdk import Blocked, Conflict, Denied, Invalid, Transient
from trueup_ssh.script import Script, call, decode, encode, first_words, parse_answer, printable

SHELLS = [[shell] for shell in ("dash", "bash") if shutil.which(shell)] + (
    [["busybox", "sh"]] if shutil.which("busybox") else []
)
NASTY = [
    "'",
    '"',
    "`",
    "$(",
    ")",
    "${HOME}",
    "\\",
    "\n",
    ";",
    "&",
    "|",
    ">",
    "*",
    "~",
    "!",
    "#",
    "=",
    " ",
    "\t",
    "-n",
]
TEXTS = st.lists(
    st.one_of(
        st.sampled_from(NASTY), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
    )
).map("".join)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@settings(max_examples=60, deadline=None)
@given(words=st.lists(TEXTS, max_size=5))
def test_words_of_a_call_reach_the_function_as_they_are(shell: list[str], words: list[str]) -> None:
    show = 'show() { for word; do printf "%s" "$word" | base64 -w0; echo; done; }'
    script = f"{show}\nmain() {{\n{call('show', *words)}\n}}\nmain </dev/null\n"
    done = subprocess.run([*shell, "-s"], input=script.encode(), capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    assert [decode(line).decode() for line in done.stdout.decode().split("\n")[:-1]] == words


@given(content=TEXTS)
def test_content_survives_its_journey(content: str) -> None:
    assert decode(encode(content)).decode() == content


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_a_text_that_no_shell_can_be_given_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        call("show", text)


def test_a_script_that_is_cut_off_anywhere_does_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("cut") / "made"
    text = Script((), [call("touch", str(path))]).render("nonce", str(path.parent))
    start = text.index(b"main() {")
    for end in range(start, text.index(b"\nmain <") + 4):
        subprocess.run(["sh", "-s"], input=text[:end], capture_output=True, check=False, timeout=30)
        assert not path.exists(), text[start:end]
    subprocess.run(["sh", "-s"], input=text, capture_output=True, check=True, timeout=30)
    assert path.exists()


def test_an_answer_begins_at_its_nonce_and_needs_its_end() -> None:
    greeting = b"Welcome!\nbegin other\nfile 0 none\n"
    answer = parse_answer(greeting + b"begin n\nfile 1 same\nfile 12 none\nend\nfile 3 none\n", "n")
    assert answer is not None
    assert answer.by_index("file") == {1: "same", 12: "none"}
    assert parse_answer(greeting, "n") is None
    assert parse_answer(b"begin n\nfile 1 same\n", "n") is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("conflict", Conflict),
        ("denied", Denied),
        ("invalid", Invalid),
        ("transient", Transient),
        ("blocked", Blocked),
    ],
)
def test_the_error_of_a_script_is_raised(code: str, error: type[Exception]) -> None:
    line = f"begin n\nerror {code} {encode('what ü')} {encode('do this')} {encode('that')}\nend\n"
    with pytest.raises(error) as caught:
        parse_answer(line.encode(), "n")
    assert str(caught.value) == "what ü"
    assert caught.value.hint == "do this"  # type: ignore[attr-defined]


def test_a_damaged_answer_is_transient() -> None:
    with pytest.raises(Transient):
        decode("not base64!")


def test_text_from_a_host_plays_no_tricks_on_a_terminal() -> None:
    assert printable("a\x1b[31m\rb\nü\n") == "a?[31m?b\nü"


def test_a_long_list_is_shortened() -> None:
    assert first_words("abcdefg") == "a, b, c, d, e and 2 more"
    assert first_words("ab") == "a, b"
