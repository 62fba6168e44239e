"""Texts of elsewhere lose the secrets that were read, in every form in which tools write them."""

from __future__ import annotations

import base64
import json
import logging
import time
from io import StringIO
from urllib.parse import quote_plus

import pytest

from trueup import redaction
from trueup.cli import run as run_cli
from trueup.daemon.logs import configure_logs
from trueup.errors import Invalid, ManifestError, Problem
from trueup.model.observation import degraded, progressing
from trueup.redaction import hide, redact

SECRET = 'gehei"m/w&ort ü\\'


@pytest.fixture(autouse=True)
def _hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_hidden", {})
    monkeypatch.setattr(redaction, "_starts", {})
    hide("shop", [SECRET])


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        repr(SECRET),
        quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)
def test_each_form_is_masked(form: str) -> None:
    text = redact(f"the server says: {form}!")
    assert text.startswith("the server says: ")
    assert "(sensitive)" in text
    assert "heim" not in text.replace("(sensitive)", "")
    assert form.strip("\"'") not in text


def test_without_a_secret_a_text_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_starts", {})
    assert redact(SECRET) == SECRET


def test_what_is_too_short_to_be_a_secret_masks_nothing() -> None:
    hide("other", ["a", "", "12345"])
    assert redact("a 12345") == "a 12345"


def test_the_longest_secret_is_masked_first() -> None:
    hide("other", ["geheimnis", "geheimnisvoll"])
    assert redact("geheimnisvoll") == "(sensitive)"


def test_secrets_side_by_side_and_at_both_ends_are_masked() -> None:
    hide("other", ["geheimnis", "password"])
    assert redact("geheimnispasswordxgeheimnis") == "(sensitive)(sensitive)x(sensitive)"
    assert redact("geheimni") == "geheimni"


def test_many_and_long_secrets_do_not_make_a_log_slow() -> None:
    text = "a line of a log that holds no secret at all, but many words\n" * 1000

    def measure() -> float:
        started = time.process_time()
        assert redact(text) == text
        return time.process_time() - started

    few = min(measure() for _ in range(3))
    hide("other", (f"{number:06}-secret-of-a-stack" for number in range(5000)))
    hide("keys", ["\n".join(f"line {number:06} of a long file" for number in range(5000))])
    assert min(measure() for _ in range(3)) < 5 * few + 0.05


def test_each_line_of_a_secret_is_masked_by_itself() -> None:
    hide("other", ["first line\nsecond line\n"])
    assert redact("it says second line") == "it says (sensitive)"


def test_the_secrets_of_the_runs_before_stay_hidden_for_a_while() -> None:
    for number in range(10):
        hide("other", [f"secret-{number}"])
        hide("other", [f"secret-{number}"])
    shown = [number for number in range(10) if redact(f"secret-{number}") != "(sensitive)"]
    assert shown == [0, 1, 2, 3, 4, 5]
    assert redact(SECRET) == "(sensitive)"


def test_no_error_of_ours_holds_one() -> None:
    error = Invalid(f"refused: {SECRET}", hint=f"not {SECRET}")
    assert (str(error), error.message, error.hint) == ("refused: (sensitive)",) * 2 + ("not (sensitive)",)
    problem = ManifestError([Problem(SECRET, hint=SECRET)]).problems[0]
    assert (problem.message, problem.hint) == ("(sensitive)", "(sensitive)")
    assert degraded(SECRET).why == progressing(SECRET).why == "(sensitive)"


def test_no_log_line_holds_one_not_even_with_a_traceback() -> None:
    stream = StringIO()
    configure_logs(stream, logging.DEBUG)
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        logging.getLogger("some.library").exception("failed with %s", SECRET)
    line = stream.getvalue()
    assert "failed with (sensitive)" in line
    assert "RuntimeError: (sensitive)" in line
    json.loads(line)


def test_the_traceback_of_a_bug_holds_none(capsys: pytest.CaptureFixture[str]) -> None:
    def make_engine(_store: str, _parallelism: int) -> object:
        raise RuntimeError(SECRET)

    assert run_cli(["plan", "."], engine=make_engine) == 1
    shown = capsys.readouterr().err
    assert "RuntimeError: (sensitive)" in shown
    assert "heim" not in shown
