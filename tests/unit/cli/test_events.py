from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli import samples
from tests.unit.cli.past_samples import START, make_past
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run
from trueup.cli.events import render_events
from trueup.state.store import Event, Store


def make_events(folder: Path) -> Store:
    store = make_past(folder)
    of = samples.drifted().address
    gone = samples.address("gone")
    store.add_events(
        "shop",
        [
            Event("approved", "eve@desk approved sha256:16d1", at=START),
            Event(
                "quarantined", "quarantined until noon: cron changes /spec/content\x1b[2J", of, 2, START + 60
            ),
            Event("released", "its quarantine is over", of, 3, START + 660),
            Event("released", "its resource is gone", gone, 3, START + 661),
            Event("waits", "the daemon waits: base\nhas not converged", at=START + 700),
        ],
    )
    return store


def test_events_read_like_this(tmp_path: Path) -> None:
    store = make_events(tmp_path)
    samples.check_snapshot("events.txt", samples.render(render_events("shop", store.events("shop"))))
    assert samples.render(render_events("blog", [])) == "blog has no events yet\n"


def test_the_command_needs_no_source_and_takes_one_resource(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_events(tmp_path).close()
    monkeypatch.chdir(tmp_path)
    options = ["--store", str(tmp_path / "past.db"), "--output", "json"]

    def ask(*more: str) -> list[tuple[str, str | None]]:
        assert run(["events", "shop", *more, *options]) == 0
        document = json.loads(capsys.readouterr().out)
        check(document, "events-v1")
        return [(each["kind"], each["address"]) for each in document["events"]]

    motd = samples.drifted().address.text
    kinds = [kind for kind, _address in ask()]
    assert kinds == ["waits", "released", "released", "quarantined", "approved"]
    assert ask("--limit", "1") == [("waits", None)]
    assert ask("File/motd") == [("released", motd), ("quarantined", motd)]
    assert ask("File/motd", "--limit", "1") == [("released", motd)]
    # It is in no inventory any more.
    assert ask("File/gone@web-1") == [("released", "shop/File/gone@web-1")]
    assert run(["events", "shop", "File/never", *options[:2]]) == 1
    assert "nothing in the stack is called File/never" in capsys.readouterr().err
