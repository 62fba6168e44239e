from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import structlog

from trueup.cli import run

STACK = '[[stacks]]\nname = "shop"\nlocation = "repo"\n'


@pytest.fixture(autouse=True)
def _logs_as_before():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("trueup").setLevel(logging.NOTSET)


@pytest.fixture
def follow(tmp_path, capsys):
    """Runs the command with a trueup.toml of that text; exit code and what it said."""

    def start(text):
        config = tmp_path / "trueup.toml"
        config.write_text(f'store = "state.db"\n{text}')
        code = run(["daemon", "--config", str(config)])
        return code, capsys.readouterr().err

    return start


def test_a_file_that_is_not_there_is_a_message(tmp_path, capsys):
    assert run(["daemon", "--config", str(tmp_path / "none.toml")]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_nothing_to_follow_is_a_message(follow):
    code, errors = follow("")
    assert code == 1
    assert "no stack to follow" in errors


def test_listening_where_others_can_connect_needs_a_word(follow):
    code, errors = follow(f'[daemon]\nlisten = "0.0.0.0:0"\n{STACK}')
    assert code == 1
    assert "allow_remote" in errors


def test_a_store_that_cannot_be_opened_is_told_at_once(follow, tmp_path):
    (tmp_path / "state.db").mkdir()
    code, errors = follow(STACK)
    assert code == 1
    assert "state.db" in errors


def test_without_its_extra_it_names_what_to_install(tmp_path):
    config = tmp_path / "trueup.toml"
    config.write_text(STACK)
    script = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from trueup.cli import run\n"
        f"sys.exit(run(['daemon', '--config', {str(config)!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 1
    assert "pip install 'trueup[daemon]'" in result.stderr
    assert "Traceback" not in result.stderr
