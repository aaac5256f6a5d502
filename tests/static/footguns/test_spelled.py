"""Footguns: paths, dates and fractions are what their texts say; what they tell of files and clocks is not captured."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from datetime import timedelta, timezone
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import dualgraph as dg
from tests.side_by_side import Wrap, both_modes
from tests.static.footguns.inputs import x

PLACE: Any = Path("a/b.txt")
RATIO: Any = Fraction(3, 4)
START: Any = datetime.datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLACE", "RATIO", "START"):
        monkeypatch.setitem(globals(), name, globals()[name])


@both_modes(6)
def test_state_that_they_are_may_change(wrap: Wrap) -> Iterator[Any]:
    global PLACE, RATIO, START
    held = {"limit": timedelta(seconds=3)}

    @wrap
    def f(a: Any) -> Any:
        a = a * float(RATIO) + len(PLACE.stem) * RATIO.denominator
        if held["limit"] > timedelta(seconds=1):
            a = a * (START + datetime.timedelta(days=40)).month
        return a, PLACE.parent / f"{START.year}.pt", Fraction(1, 2) + RATIO

    values = [
        ("a/bcd.txt", Fraction(1, 2), 2026, 3),
        (PurePosixPath("a/bcd.txt"), Fraction(2), 2026, 3),
        ("a/bcd.txt", 2, 2027, 0),
    ]
    for place, RATIO, year, limit in values:
        PLACE, START = Path(place), datetime.datetime(year, 12, 2)
        held["limit"] = timedelta(seconds=limit)
        for _ in range(3):
            PLACE = Path(str(PLACE))
            yield f(x())


@both_modes(4)
def test_arguments_that_they_are_tell_calls_apart(wrap: Wrap) -> Iterator[Any]:
    @wrap
    def f(a: Any, where: Any = Path("q"), when: Any = None, share: Any = 1) -> Any:
        return a * len(str(where)) * share.numerator + (0 if when is None else when.day)

    for _ in range(3):
        for share in (Fraction(1, 3), Fraction(2), 2, True):
            yield f(x(), Path("a"), datetime.date(2026, 1, share.numerator), share)
        yield f(x(), PurePosixPath("ab"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a * 2 if PLACE.exists() else a,
        lambda a: a * getattr(PLACE, "exis" + "ts")(),
        lambda a: a * len(str(Path.cwd())),
        lambda a: a * START.astimezone().hour,
        lambda a: a * datetime.datetime.now().microsecond,
        lambda a: a * datetime.date.today().day,
    ],
)
def test_what_they_tell_of_files_and_clocks_stays_eager(ask: Any) -> None:
    f = dg.compile(ask, wait=True)
    f(x()), f(x())
    assert not f.programs
    assert "may change from call to call" in f.explain()


def test_time_zones_of_the_users_are_not_taken_for_granted() -> None:
    class Zone(datetime.tzinfo):
        hours = 1

        def utcoffset(self, when: Any) -> Any:
            return timedelta(hours=self.hours)

    zone = Zone()
    when = datetime.datetime(2026, 1, 2, tzinfo=zone)
    f = dg.compile(lambda a: a * when.utcoffset().seconds, wait=True)
    f(x())
    zone.hours = 2
    assert f(x())[0, 2].item() == 3.0 * 7200
