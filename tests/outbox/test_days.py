"""The books of a day: told to the city when it ends, and to whoever asks."""

import datetime as dt
import sqlite3

import pytest

from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox import days, schema
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Delivery
from edgeagent.reading import Kind, Reading, ReadingClass, TimeTrust
from tests.fakes import FakeClock, water

JST = dt.timezone(dt.timedelta(hours=9))
HOUR = 3600.0


def ms(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=JST).timestamp() * 1000)


def open_(folder, clock, *uplinks, **config) -> SqliteOutbox:
    return SqliteOutbox(folder / "outbox.db", clock, OutboxConfig(**config), uplinks or ("city",))


async def put(outbox, clock, *sources, level=1.0, **more):
    return await outbox.put([water(level, source=source, at=clock.now(), **more) for source in sources])


async def drain(outbox, uplink="city"):
    got = []
    while (await outbox.stats()).uplinks[uplink].waiting:
        batch = await outbox.lease(uplink, 500)
        got += [row.reading for row in batch.rows]
        await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows)))
    return got


def told(readings):
    """Of the reports: day, source -> (numbers, readings, thinned, lost, waiting, clock)."""
    found = {}
    for r in readings:
        if r.kind is Kind.COMPLETENESS:
            counts = tuple(r.quantities[name].value for name in ("readings", "thinned", "lost", "waiting"))
            found[(r.facts["day"], r.source)] = (r.facts["streams"], *counts, r.facts["clock"])
    return found


def test_a_day_is_a_japanese_one():
    assert days.day_name(days.day_number(ms("2026-11-25T00:00:00"))) == "2026-11-25"
    assert days.day_name(days.day_number(ms("2026-11-24T23:59:59.999"))) == "2026-11-24"
    assert days.day_number_of("2026-11-25") == days.day_number(ms("2026-11-25T12:00:00"))
    assert days.day_number_of("yesterday") is None


async def test_each_day_is_told_when_it_is_over_with_no_hole_between_days(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-24T20:00:00"))
    outbox = open_(tmp_path, clock)
    for _ in range(12):  # every hour, until noon... restarted once in the middle of a day
        await put(outbox, clock, "miyagawa", "miyagawa", "sai")
        clock.advance(HOUR)
    await outbox.close()
    outbox = open_(tmp_path, clock)
    for _ in range(30):
        await put(outbox, clock, "miyagawa", "miyagawa", "sai")
        clock.advance(HOUR)
    reports = told(await drain(outbox))
    assert reports[("2026-11-24", "miyagawa")] == ("water:miyagawa 1-8", 8, 0, 0, 12, "synced")
    first = reports[("2026-11-25", "miyagawa")]
    assert first[0] == "completeness:miyagawa 1-1, water:miyagawa 9-56" and first[1] == 49
    assert reports[("2026-11-25", "sai")][0] == "completeness:sai 1-1, water:sai 5-28"
    assert len(reports) == 4, "nothing is said of the day that is not over"
    assert (await outbox.stats()).waiting == 0
    await outbox.close()


async def test_a_day_without_a_reading_is_not_claimed(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-20T12:00:00"))
    outbox = open_(tmp_path, clock)
    await put(outbox, clock, "miyagawa")
    clock.advance(4 * 24 * HOUR)
    await put(outbox, clock, "miyagawa")
    assert set(told(await drain(outbox))) == {("2026-11-20", "miyagawa")}
    with pytest.raises(OutboxUnavailable):
        await outbox.day("2026-11-22")
    assert (await outbox.day("2026-11-20")).accepted == 1
    await outbox.close()


async def test_a_clock_that_is_not_trusted_or_goes_back_turns_no_day(tmp_path):
    clock = FakeClock(wall_ms=ms("1970-01-02T00:00:00"), trust=TimeTrust.UNSYNCED)
    outbox = open_(tmp_path, clock)
    await put(outbox, clock, "miyagawa")
    clock.advance(48 * HOUR)
    await put(outbox, clock, "miyagawa")
    clock.wall_ms, clock.trust = ms("2026-11-25T10:00:00"), TimeTrust.SYNCED
    await put(outbox, clock, "miyagawa")
    books = await outbox.day("2026-11-25")
    assert (books.accepted, books.unsynced, books.open) == (3, 2, True), "what came before the clock was set is in it"
    clock.wall_ms = ms("2026-11-23T10:00:00")
    await put(outbox, clock, "miyagawa")
    assert (await outbox.day("2026-11-25")).accepted == 4
    clock.wall_ms = ms("2026-11-26T00:00:01")
    await put(outbox, clock, "miyagawa")
    assert told(await drain(outbox)) == {
        ("2026-11-25", "miyagawa"): ("water:miyagawa 1-4", 4, 0, 0, 4, "mixed"),
    }
    assert (await outbox.day("2026-11-26")).unsynced == 0
    await outbox.close()


async def test_the_books_say_what_each_uplink_still_owes(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-25T10:00:00"))
    outbox = open_(tmp_path, clock, "a", "b")
    for _ in range(5):
        await put(outbox, clock, "miyagawa", cls=ReadingClass.LIVE)
    batch = await outbox.lease("a", 10, together=True)
    ids = [row.id for row in batch.rows]
    await outbox.settle(batch, Delivery(frozenset(ids[:3]), {ids[3]: "no"}))
    books = await outbox.day("2026-11-25")
    assert [(s.stream, s.first, s.last) for s in books.streams] == [("water:miyagawa", 1, 5)]
    assert (books.uplinks["a"].waiting, books.uplinks["a"].dead) == (1, 1)
    assert (books.uplinks["b"].waiting, books.uplinks["b"].dead) == (5, 0)
    clock.advance(24 * HOUR)
    await put(outbox, clock, "miyagawa")
    await drain(outbox, "a")
    books = await outbox.day("2026-11-25")
    assert not books.open and (books.uplinks["a"].waiting, books.uplinks["b"].waiting) == (0, 5)
    assert books.accepted == 5
    await outbox.close()


async def test_what_was_thinned_is_in_the_books_of_its_source(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-25T00:00:01"))
    outbox = open_(tmp_path, clock, max_bytes=4 << 20)
    while (await outbox.stats()).thinned == 0:
        for _ in range(20):
            clock.advance(0.5)
            await put(outbox, clock, *["miyagawa"] * 20, facts={"raw": "f" * 500})
    books = await outbox.day("2026-11-25")
    assert books.thinned == (await outbox.stats()).thinned > 0
    clock.advance(24 * HOUR)
    await put(outbox, clock, "miyagawa")
    gaps, reports = 0, {}
    for reading in await drain(outbox):
        gaps += reading.quantities["readings"].value if reading.kind is Kind.GAP else 0
        reports |= told([reading])
    assert reports[("2026-11-25", "miyagawa")][2] == books.thinned == gaps
    assert (await outbox.day("2026-11-25")).thinned == books.thinned
    await outbox.close()


async def test_many_streams_come_in_parts(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-25T10:00:00"))
    outbox = open_(tmp_path, clock)
    sightings = [
        Reading(source="tags", kind=Kind.TAG, entity=f"tags:{n:016x}", at=clock.now(), quantities={}) for n in range(95)
    ]
    await outbox.put(sightings)
    clock.advance(24 * HOUR)
    await put(outbox, clock, "miyagawa")
    parts = sorted((r for r in await drain(outbox) if r.kind is Kind.COMPLETENESS), key=lambda r: r.entity)
    assert [r.entity for r in parts] == ["tags", "tags:2", "tags:3"]
    assert [r.facts["part"] for r in parts] == ["1/3", "2/3", "3/3"]
    named = [one.split()[0] for r in parts for one in r.facts["streams"].split(", ")]
    assert len(named) == len(set(named)) == 95
    assert {r.quantities["readings"].value for r in parts} == {95}
    await outbox.close()


async def test_a_full_disk_at_midnight_loses_nothing(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-25T23:59:00"))
    outbox = open_(tmp_path, clock)
    await put(outbox, clock, "miyagawa")
    clock.advance(HOUR)
    db = outbox._store._file.db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    outbox._thread.submit(lambda: db.execute(f"PRAGMA max_page_count = {pages}").close()).result()
    with pytest.raises(OutboxUnavailable):
        await put(outbox, clock, *["miyagawa"] * 50, facts={"raw": "f" * 2000})
    assert (await outbox.day("2026-11-25")).accepted == 1
    outbox._thread.submit(lambda: db.execute("PRAGMA max_page_count = 100000").close()).result()
    await put(outbox, clock, "miyagawa")
    assert told(await drain(outbox))[("2026-11-25", "miyagawa")][0] == "water:miyagawa 1-1"
    await outbox.close()


async def test_old_days_are_forgotten_in_the_end(tmp_path):
    clock = FakeClock(wall_ms=ms("2024-01-01T10:00:00"))
    outbox = open_(tmp_path, clock)
    await put(outbox, clock, "miyagawa")
    for _ in range(3):
        clock.advance(200 * 24 * HOUR)
        await put(outbox, clock, "miyagawa")
        await drain(outbox)
    with pytest.raises(OutboxUnavailable):
        await outbox.day("2024-01-01")
    assert (await outbox.day("2025-02-04")).accepted == 2  # the reading, and the report of the day before
    await outbox.close()


async def test_a_store_of_an_older_edgeagent_is_lifted_and_its_day_begins_now(tmp_path):
    clock = FakeClock(wall_ms=ms("2026-11-25T10:00:00"))
    path = tmp_path / "outbox.db"
    outbox = open_(tmp_path, clock)
    await put(outbox, clock, "miyagawa", "miyagawa")
    await outbox.close()
    lower_schema(path)
    (tmp_path / "outbox.db.tail").unlink()
    outbox = open_(tmp_path, clock)
    assert (await outbox.stats()).waiting == 2
    await put(outbox, clock, "miyagawa")
    books = await outbox.day("2026-11-25")
    assert [(s.stream, s.first, s.last) for s in books.streams] == [("water:miyagawa", 3, 3)]
    await outbox.close()


def lower_schema(path, version=1):
    """Make the file what an older edgeagent would have left."""
    db = sqlite3.connect(path)
    old = sqlite3.connect(":memory:")
    for step in schema.STEPS[:version]:
        for statement in step:
            old.execute(statement)
    wanted = {name: sql for kind, name, sql in old.execute(schema.SHAPE) if kind == "table"}
    columns = {name: [c[1] for c in old.execute(f"PRAGMA table_info({name})")] for name in wanted}
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if name not in wanted:
            db.execute(f"DROP TABLE {name}")
        else:
            for column in db.execute(f"PRAGMA table_info({name})").fetchall():
                if column[1] not in columns[name]:
                    db.execute(f"ALTER TABLE {name} DROP COLUMN {column[1]}")
    db.execute("DELETE FROM numbers WHERE name LIKE 'day%' OR name = 'unsynced'")
    db.execute(f"PRAGMA user_version = {version}")
    db.commit()
    db.execute("VACUUM")
    db.close()
