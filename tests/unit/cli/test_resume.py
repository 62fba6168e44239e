from __future__ import annotations

import json
import time
from pathlib import Path

from trueup.cli import run
from trueup.model.address import Address
from trueup.state.open import open_store
from trueup.state.store import Quarantine

STORE = ["--store", "s.db"]
INDEX = Address("shop", "File", "index", "here")


def _fight(until: float) -> None:
    store = open_store("s.db")
    lease = store.acquire_lease("shop", "test", 30.0)
    assert lease is not None
    store.write_quarantine(lease, Quarantine(INDEX, ("/spec/mode",), "cron", 1, time.time(), until))
    store.release_lease(lease)
    store.close()


def test_a_quarantine_is_lifted_and_the_pin_stays(stack: Path, capsys) -> None:
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0
    _fight(time.time() + 600)
    assert run(["suspend", str(stack), *STORE]) == 0
    capsys.readouterr()
    assert run(["resume", str(stack), "--only", "File/index", *STORE]) == 0
    assert capsys.readouterr().out == (
        "shop/File/index@here is in quarantine no longer: the next run acts on it.\n"
    )
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 3
    capsys.readouterr()
    assert run(["resume", str(stack), "--only", "File/index", *STORE]) == 0
    assert capsys.readouterr().out == "Nothing that is called File/index in shop is in quarantine.\n"


def test_as_json_it_says_what_was_lifted(stack: Path, capsys) -> None:
    assert run(["reconcile", str(stack), "--yes", *STORE]) == 0
    _fight(time.time() + 600)
    capsys.readouterr()
    assert run(["resume", str(stack), "--only", INDEX.text, "-o", "json", *STORE]) == 0
    assert json.loads(capsys.readouterr().out)["lifted"] == [INDEX.text]
    assert run(["resume", str(stack), "-o", "json", *STORE]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] is False


def test_there_must_be_a_store(stack: Path, capsys) -> None:
    assert run(["resume", str(stack), "--store", "mistyped.db"]) == 1
    assert "there is no store at" in capsys.readouterr().err
