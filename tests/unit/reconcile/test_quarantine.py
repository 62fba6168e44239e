"""When a correction becomes a fight, by numbers alone."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from trueup.model.address import Address
from trueup.model.quarantine import MARKER, OBJECT, Quarantine
from trueup.reconcile.quarantine import (
    LONGEST_PAUSE,
    QUIET,
    WINDOW,
    describe_quarantine,
    find_fights,
    find_pause,
    is_in_force,
    name_writer,
)
from trueup.state.store import Correction

WEB, JOBS = (Address("shop", "Thing", name, "here") for name in ("web", "jobs"))
NOW = 1_795_629_000.0


def corrected(
    ages: Iterable[float], path: str = "/spec/a", of: Address = WEB, by: str = ""
) -> list[Correction]:
    return [Correction(of, path, by, NOW - age) for age in ages]


def fights(recent: list[Correction], *earlier: Quarantine) -> list[Quarantine]:
    noted = [each for each in recent if each.at == NOW]
    return list(find_fights(noted, recent, {each.address: each for each in earlier}, NOW))


def over(age: float, strikes: int = 1, paths: tuple[str, ...] = ("/spec/a",)) -> Quarantine:
    """A quarantine that ended so many seconds ago."""
    return Quarantine(WEB, paths, "cron", strikes, NOW - age - 600, NOW - age)


def test_five_corrections_are_no_fight_and_six_are() -> None:
    assert fights(corrected(range(5))) == []
    (begun,) = fights(corrected(range(6), by="cron"))
    assert begun == Quarantine(WEB, ("/spec/a",), "cron", 1, NOW, NOW + 600)


def test_only_the_corrections_of_ten_minutes_count() -> None:
    assert fights(corrected([0, 100, 200, 300, 400, WINDOW])) == []
    assert len(fights(corrected([0, 100, 200, 300, 400, WINDOW - 0.001]))) == 1


def test_each_field_counts_by_itself() -> None:
    several = [each for path in "abcdef" for each in corrected([0], f"/spec/{path}")]
    assert fights(several) == []
    mixed = corrected(range(6)) + corrected(range(5), "/spec/b")
    assert [each.paths for each in fights(mixed)] == [("/spec/a",)]
    both = corrected(range(6), "/spec/b", by="bo") + corrected(range(6), by="ada")
    assert [(each.paths, each.writer) for each in fights(both)] == [(("/spec/a", "/spec/b"), "bo, ada")]


def test_each_node_counts_by_itself() -> None:
    assert fights(corrected(range(3)) + corrected(range(3), of=JOBS)) == []
    begun = fights(corrected(range(6)) + corrected(range(6), of=JOBS))
    assert [each.address for each in begun] == [WEB, JOBS]


def test_what_was_not_corrected_now_begins_no_quarantine() -> None:
    assert fights(corrected(range(1, 8))) == []


def test_after_a_quarantine_the_second_correction_is_one_too_many() -> None:
    assert fights(corrected([0]), over(60)) == []
    (again,) = fights(corrected([0, 30]), over(60))
    assert (again.strikes, again.until) == (2, NOW + 1200)
    assert fights(corrected([0, WINDOW]), over(900)) == []


def test_another_field_than_the_one_that_was_fought_for_has_its_five() -> None:
    before = over(60, strikes=3, paths=("/spec/b",))
    assert fights(corrected(range(5)), before) == []
    (begun,) = fights(corrected(range(6)), before)
    assert (begun.strikes, begun.paths) == (4, ("/spec/a",))


def test_strikes_are_forgotten_after_a_quiet_day() -> None:
    assert fights(corrected([0, 30]), over(QUIET)) == []
    assert fights(corrected(range(6)), over(QUIET, strikes=7))[0].strikes == 1
    assert fights(corrected([0, 30]), over(QUIET - 1, strikes=7))[0].strikes == 8


def test_the_pause_doubles_up_to_a_day() -> None:
    assert [find_pause(strikes) for strikes in (1, 2, 3, 8)] == [600, 1200, 2400, 76_800]
    assert find_pause(9) == find_pause(10_000) == LONGEST_PAUSE


def test_a_quarantine_is_in_force_until_its_end() -> None:
    quarantine = Quarantine(WEB, ("/spec/a",), "", 1, NOW, NOW + 600)
    assert is_in_force(quarantine, NOW)
    assert is_in_force(quarantine, NOW + 599.9)
    assert not is_in_force(quarantine, NOW + 600)
    assert not is_in_force(replace(quarantine, since=NOW + 600), NOW)


def test_a_clock_that_is_set_back_keeps_nothing_in_quarantine_for_long() -> None:
    quarantine = Quarantine(WEB, ("/spec/a",), "", 9, NOW, NOW + LONGEST_PAUSE)
    assert is_in_force(quarantine, NOW - 5)
    assert not is_in_force(quarantine, NOW - 400 * 86_400)


def test_corrections_of_a_clock_that_was_set_back_count_if_they_are_near() -> None:
    assert len(fights(corrected([0, -1, -2, -3, -4, -5]))) == 1
    assert fights(corrected([0, *(-86_400 - each for each in range(9))])) == []


@pytest.mark.parametrize(
    ("writer", "name"),
    [
        ("kubectl-edit (Update) at 2026-11-25T17:04:05Z", "kubectl-edit (Update)"),
        ("root (owner of the file), written at 2026-11-25T16:58:11Z", "root (owner of the file)"),
        ("arn:aws:iam::1:user/bo at 2026-11-25T16:58:11.123Z", "arn:aws:iam::1:user/bo"),
        ("kubectl-scale (Update of scale)", "kubectl-scale (Update of scale)"),
        ("bo at home", "bo at home"),
        ("", ""),
    ],
)
def test_a_writer_is_named_without_the_time(writer: str, name: str) -> None:
    assert name_writer(writer) == name


@pytest.mark.parametrize(
    ("paths", "writer", "text"),
    [
        (("/spec/a", "/spec/b"), "cron", "cron changes /spec/a, /spec/b again and again"),
        ((OBJECT,), "", "somebody deletes it again and again"),
        ((MARKER,), "", "somebody takes its ownership marker away again and again"),
        (("/a", OBJECT), "bo", "bo changes /a and deletes it again and again"),
    ],
)
def test_a_fight_is_told_in_words(paths: tuple[str, ...], writer: str, text: str) -> None:
    told = describe_quarantine(Quarantine(WEB, paths, writer, 1, NOW, NOW + 600))
    assert told == f"quarantined until 2026-11-25 18:00:00Z: {text}"


def test_ten_thousand_fights_at_once_are_counted_in_a_moment() -> None:
    nodes = [Address("shop", "Thing", f"n{number}", "here") for number in range(10_000)]
    recent = [each for node in nodes for each in corrected(range(6), of=node, by="cron")]
    started = time.process_time()
    begun = fights(recent)
    assert time.process_time() - started < 20
    assert {(each.address, each.writer) for each in begun} == {(node, "cron") for node in nodes}
