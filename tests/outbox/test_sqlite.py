"""What only the outbox on disk promises: restarts, full and broken storage, changed configs."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from edgeagent import messages
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox import schema, trouble
from edgeagent.outbox.record import pack
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.ports import Batch, Delivery
from edgeagent.reading import Kind, Moment, Reading, ReadingClass, TimeTrust
from tests.fakes import FakeClock, water


@pytest.fixture
async def outboxes(tmp_path):
    """Opens the outbox under test; whatever is still open at the end is closed."""
    opened = []

    def open_(*uplinks, clock=None, path=tmp_path / "state" / "outbox.sqlite", **config):
        opened.append(SqliteOutbox(path, clock or FakeClock(), OutboxConfig(**config), uplinks))
        return opened[-1]

    yield open_
    for outbox in opened:
        await outbox.close()


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


def accept(batch: Batch) -> Delivery:
    return Delivery(frozenset(row.id for row in batch.rows))


def levels(batch: Batch) -> list[float]:
    return [row.reading.quantities["level"].value for row in batch.rows if row.reading.kind is not Kind.GAP]


def gauge(level: float, **more) -> Reading:
    """A reading of a gauge of its own: the newest, and the only one, of its stream."""
    return water(level, source=f"g{level}", **more)


async def drain(outbox, uplink) -> list[float]:
    """Lease and accept until nothing is owed."""
    seen = []
    while (await outbox.stats()).uplinks[uplink].waiting:
        batch = await asyncio.wait_for(outbox.lease(uplink, 7), 5)
        seen += levels(batch)
        await outbox.settle(batch, accept(batch))
    return seen


def columns(file: Path, sql: str) -> list[tuple]:
    db = sqlite3.connect(file)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


async def test_everything_is_there_after_a_restart(outboxes):
    outbox = outboxes("a", "b")
    await outbox.put([gauge(float(i)) for i in range(6)])
    batch = await outbox.lease("a", 4)
    await outbox.settle(batch, Delivery(frozenset([batch.rows[0].id, batch.rows[2].id]), {batch.rows[3].id: "no"}))
    before = await outbox.stats()
    await outbox.close()
    outbox = outboxes("a", "b")
    after = await outbox.stats()
    assert after.uplinks == before.uplinks and after.accepted == 6 and after.waiting == 6
    assert await drain(outbox, "a") == [1.0, 4.0, 5.0]
    assert await drain(outbox, "b") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert (await outbox.stats()).acknowledged == 5


async def test_sequence_numbers_go_on_when_every_row_is_gone(outboxes):
    outbox = outboxes("a")
    await outbox.put([water(1.0), water(2.0)])
    await drain(outbox, "a")
    await outbox.close()
    outbox = outboxes("a")
    assert [r.sequence for r in await outbox.put([water(3.0), water(4.0, source="other")])] == [3, 1]
    assert await drain(outbox, "a") == [3.0, 4.0]


async def test_a_new_uplink_starts_with_what_is_still_there(outboxes):
    outbox = outboxes("a", "c")
    await outbox.put([gauge(float(i)) for i in range(5)])
    for uplink in ("a", "c"):
        batch = await outbox.lease(uplink, 3)
        await outbox.settle(batch, Delivery(frozenset([batch.rows[0].id, batch.rows[2].id])))
    await outbox.close()
    outbox = outboxes("a", "b", "c")
    assert await drain(outbox, "b") == [1.0, 3.0, 4.0]
    await outbox.close()
    outbox = outboxes("a", "b", "c")  # and it is remembered that it had its share
    assert (await outbox.stats()).uplinks["b"].waiting == 0
    assert (await outbox.stats()).waiting == 3


async def test_a_removed_uplink_holds_nothing_back(outboxes, file):
    outbox = outboxes("a", "gone")
    await outbox.put([gauge(float(i)) for i in range(12_000)])
    batch = await outbox.lease("a", 11_000)
    await outbox.settle(batch, accept(batch))
    assert (await outbox.stats()).waiting == 12_000
    await outbox.close()
    outbox = outboxes("a")
    stats = await outbox.stats()
    assert (stats.waiting, stats.acknowledged, stats.lost) == (1000, 11_000, 0)
    await outbox.close()
    assert columns(file, "SELECT count(*), min(id) FROM rows") == [(1000, 11_001)]
    assert columns(file, "SELECT name FROM accounts ORDER BY name") == [("",), ("a",)]


async def test_without_uplinks_everything_waits(outboxes):
    outbox = outboxes()
    await outbox.put([water(1.0)])
    await outbox.close()
    outbox = outboxes()
    assert (await outbox.stats()).waiting == 1
    await outbox.close()
    assert await drain(outboxes("late"), "late") == [1.0]


async def test_the_file_is_private_and_durable_by_its_settings(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([water()])
    for part in (file, file.with_name("outbox.sqlite-wal"), file.with_name("outbox.sqlite.mark")):
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    db = outbox._store._file.db

    def pragma(name):
        return outbox._thread.submit(lambda: db.execute(f"PRAGMA {name}").fetchone()[0]).result()

    assert [pragma(n) for n in ("journal_mode", "synchronous", "locking_mode", "secure_delete")] == [
        "wal",
        2,
        "exclusive",
        0,
    ]
    assert any(t.name.startswith("outbox") for t in threading.enumerate())


async def test_a_boot_offset_outlives_the_process(outboxes):
    clock = FakeClock(trust=TimeTrust.UNSYNCED)
    early = clock.now()
    outbox = outboxes("a", "b", clock=clock)
    await outbox.put([water(1.0, at=early)])
    clock.trust, clock.wall_ms = TimeTrust.SYNCED, early.wall_ms + 7_000_000
    first = (await outbox.lease("a", 1)).rows[0].reading.at
    await outbox.close()
    next_boot = FakeClock(boot_id="b00700000002", mono_s=3.0, wall_ms=1_900_000_000_000)
    outbox = outboxes("a", "b", clock=next_boot)
    assert (await outbox.lease("b", 1)).rows[0].reading.at == first
    assert first == Moment(early.wall_ms + 7_000_000, early.mono_ms, early.boot_id, TimeTrust.SYNCED)


async def test_dead_letters_are_kept_with_their_reason_up_to_a_limit(outboxes, file):
    outbox = outboxes("a", dead_letters=3)
    await outbox.put([gauge(float(i)) for i in range(5)])
    batch = await outbox.lease("a", 5)
    await outbox.settle(batch, Delivery(frozenset(), {row.id: f"400 no. {row.id}" for row in batch.rows}))
    await outbox.close()
    assert columns(file, "SELECT row, uplink, reason FROM dead ORDER BY row") == [
        (i, "a", f"400 no. {i}") for i in (3, 4, 5)
    ]
    stats = await outboxes("a").stats()
    assert (stats.uplinks["a"].dead, stats.waiting, stats.acknowledged) == (5, 0, 0)


# -- full, gone, broken ------------------------------------------------------------------------


async def fill(outbox, monkeypatch) -> int:
    """Put until the quota says no, which it does when nothing may be thinned; how many readings went in."""
    monkeypatch.setattr("edgeagent.outbox.room.Room.thin", lambda _: False)
    count = 0
    with pytest.raises(OutboxUnavailable) as told:  # noqa: PT012  which call it is, is not foretold
        while True:
            await outbox.put([water(float(count + i), facts={"raw": "f" * 2000}) for i in range(100)])
            count += 100
    assert told.value.code == "outbox.full"
    return count


async def test_a_full_store_refuses_and_can_still_be_emptied(outboxes, file, monkeypatch):
    outbox = outboxes("a", "b", max_bytes=4 << 20)
    count = await fill(outbox, monkeypatch)
    stats = await outbox.stats()
    assert stats.accepted == stats.waiting == count
    assert stats.bytes <= 4 << 20
    await outbox.settle(newest := await outbox.lease("a", 50), accept(newest))
    batch = await outbox.lease("a", 50)  # out of order, refused, kept: all of it needs room
    odd = {row.id: "x" * 500 for row in batch.rows[1::3]}
    await outbox.settle(batch, Delivery(frozenset(row.id for row in batch.rows[::3]), odd))
    assert len(await drain(outbox, "a")) == count - 35
    assert len(await drain(outbox, "b")) == count
    assert (await outbox.put([water(1.0)]))[0].sequence == count + 1
    await outbox.close()
    assert file.stat().st_size <= 4 << 20


async def test_numbers_are_not_used_up_by_a_put_that_failed(outboxes, monkeypatch):
    outbox = outboxes("a", max_bytes=4 << 20)
    count = await fill(outbox, monkeypatch)
    await drain(outbox, "a")
    assert (await outbox.put([water(1.0)]))[0].sequence == count + 1


async def test_an_acknowledgement_that_cannot_be_written_is_not_forgotten(outboxes, file, tmp_path):
    outbox = outboxes("a", "b")
    await outbox.put([gauge(1.0), gauge(2.0)])
    batch = await outbox.lease("a", 1)
    db = outbox._store._file.db
    outbox._thread.submit(lambda: db.execute("PRAGMA query_only = 1")).result()
    with pytest.raises(OutboxUnavailable) as told:
        await outbox.settle(batch, accept(batch))
    assert told.value.code == "outbox.read-only"
    assert levels(await outbox.lease("a", 9)) == [2.0]  # reading goes on, and 1.0 is not sent again
    outbox._thread.submit(lambda: db.execute("PRAGMA query_only = 0")).result()
    await outbox.put([gauge(3.0)])
    crashed = tmp_path / "crashed"  # what a power cut would leave now
    crashed.mkdir()
    for part in file.parent.iterdir():
        shutil.copy(part, crashed)
    assert await drain(outboxes("a", "b", path=crashed / file.name), "a") == [2.0, 3.0]


async def test_readings_are_stored_whatever_becomes_of_older_acknowledgements(outboxes, monkeypatch):
    outbox = outboxes("a")
    await outbox.put([water(1.0)])
    batch = await outbox.lease("a", 1)

    def full(_):
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("edgeagent.outbox.books.Books.write", full)
        with pytest.raises(OutboxUnavailable):
            await outbox.settle(batch, accept(batch))
        await outbox.put([water(2.0)])  # not an error: its caller would put them again
    assert await drain(outbox, "a") == [2.0]
    assert (await outbox.stats()).acknowledged == 2


async def test_a_folder_that_vanishes_is_put_back(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([water(1.0)])
    batch = await outbox.lease("a", 1)
    for part in file.parent.iterdir():
        part.unlink()
    file.parent.rmdir()
    await outbox.put([water(2.0)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await outbox.settle(batch, accept(batch))
    await outbox.close()
    outbox = outboxes("a")
    assert await drain(outbox, "a") == [2.0]
    assert (await outbox.put([water(3.0)]))[0].sequence == 3


async def test_another_file_in_its_place_is_not_written_to(outboxes, file):
    outbox = outboxes("a")
    file.unlink()
    file.write_bytes(b"")
    with pytest.raises(OutboxUnavailable) as told:
        await outbox.put([water(1.0)])
    assert told.value.code == "outbox.replaced"


async def test_what_is_no_database_is_set_aside(outboxes, file):
    content = b"not a database at all, but long enough to be looked at " * 40
    file.parent.mkdir()
    file.write_bytes(content)
    outbox = outboxes("a")
    notice, salvaged = outbox.notices
    assert salvaged.facts["count"] == salvaged.facts["missing"] == 0
    assert notice.code == "outbox.set-aside"
    aside = Path(notice.facts["aside"])
    assert aside.read_bytes() == content and aside.name == "outbox.sqlite.bad-20261118T110640Z"
    await outbox.put([water(1.0)])
    assert await drain(outbox, "a") == [1.0]


async def test_an_empty_file_is_a_fresh_start(outboxes, file):
    file.parent.mkdir()
    file.write_bytes(b"")
    outbox = outboxes("a")
    assert outbox.notices == []
    await outbox.put([water(1.0)])


async def test_a_store_of_a_newer_version_is_set_aside(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([water(1.0)])
    await outbox.close()
    columns(file, "PRAGMA user_version = 99")
    outbox = outboxes("a")
    assert outbox.notices[0].code == "outbox.set-aside"
    assert (await outbox.put([water(2.0)]))[0].sequence > 1


async def test_damage_while_running_starts_a_fresh_file_and_no_number_comes_twice(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([water(float(i), facts={"raw": "f" * 3000}) for i in range(200)])
    await outbox.close()
    outbox = outboxes("a")
    out = await outbox.lease("a", 5)
    with file.open("r+b") as raw:  # leaf pages go bad under the running process
        raw.seek(4096 * 20)
        raw.write(os.urandom(4096 * 100))
    with pytest.raises(OutboxUnavailable) as told:  # noqa: PT012  which page is read when is SQLite's choice
        for _ in range(40):
            await outbox.lease("a", 5)
    assert told.value.code == "outbox.set-aside"
    stored = await outbox.put([water(1000.0)])
    assert stored[0].sequence > 200
    await outbox.settle(out, accept(out))  # ids of the old file mean nothing in the new one
    got = await drain(outbox, "a")
    assert got[0] == 1000.0, "what is newest leaves before what was brought back"
    assert len(set(got)) == len(got) > 90 and set(got[1:]) < set(map(float, range(200)))
    await outbox.close()
    assert (await outboxes("a").put([water(1001.0)]))[0].sequence == stored[0].sequence + 1


async def test_a_damaged_record_is_counted_lost_and_stops_nothing(outboxes, file):
    outbox = outboxes("a", "b")
    await outbox.put([gauge(float(i)) for i in range(4)])
    await outbox.close()
    columns_write(
        file, "UPDATE rows SET record = CAST(substr(record, 1, 20) || x'00' || substr(record, 22) AS BLOB) WHERE id = 2"
    )
    outbox = outboxes("a", "b")
    assert await drain(outbox, "a") == [0.0, 2.0, 3.0]
    assert await drain(outbox, "b") == [0.0, 2.0, 3.0]
    stats = await outbox.stats()
    assert (stats.accepted, stats.acknowledged, stats.lost, stats.waiting) == (4, 3, 1, 0)
    assert [n.code for n in outbox.notices] == ["outbox.rows-lost"]
    await outbox.close()
    assert (await outboxes("a", "b").stats()).lost == 1


async def test_rows_the_disk_lost_are_noticed_by_their_numbers(outboxes, file):
    outbox = outboxes("a", "b")
    await outbox.put([gauge(float(i)) for i in range(20)])
    await outbox.close()
    columns_write(file, "DELETE FROM rows WHERE id IN (1, 2, 9, 10, 11, 15)")
    outbox = outboxes("a", "b")
    with pytest.raises(OutboxUnavailable) as told:  # ids have no holes: a file that has some is not sound
        await outbox.lease("a", 20, together=True)
    assert told.value.code == "outbox.set-aside"
    left = [float(i) for i in range(20) if i + 1 not in (1, 2, 9, 10, 11, 15)]
    for uplink in ("a", "b"):
        batch = await outbox.lease(uplink, 50, together=True)
        values = [row.reading.quantities["level"].value for row in batch.rows if row.reading.kind is Kind.WATER]
        gaps = [row.reading.quantities["readings"].value for row in batch.rows if row.reading.kind is Kind.GAP]
        assert values == left and gaps == [6]
        await outbox.settle(batch, accept(batch))
    stats = await outbox.stats()
    assert (stats.accepted, stats.acknowledged, stats.lost, stats.waiting) == (21, 15, 6, 0)  # and the gap itself


async def test_a_record_of_a_newer_format_waits_for_a_newer_edgeagent(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([gauge(1.0), gauge(2.0)])
    await outbox.close()
    newer = b"\x63" + zlib.crc32(b"in another form", 0x63).to_bytes(4, "big") + b"in another form"
    columns_write(file, f"UPDATE rows SET record = x'{newer.hex()}' WHERE id = 1")
    outbox = outboxes("a")
    batch = await outbox.lease("a", 5)
    assert levels(batch) == [2.0]
    await outbox.settle(batch, accept(batch))
    assert (await outbox.stats()).waiting == 1 and outbox.notices[0].code == "outbox.record-version"
    await outbox.close()
    columns_write(file, f"UPDATE rows SET record = x'{pack(gauge(1.0)).hex()}'")
    assert await drain(outboxes("a"), "a") == [1.0]


def columns_write(file: Path, sql: str) -> None:
    db = sqlite3.connect(file, isolation_level=None)
    db.execute(sql)
    db.close()


async def test_an_unreadable_mark_is_no_reason_to_stop(outboxes, file):
    outbox = outboxes("a")
    await outbox.put([water(1.0)])
    await outbox.close()
    file.with_name("outbox.sqlite.mark").write_bytes(b"\xff\x00")
    assert (await outboxes("a").put([water(1.0)]))[0].sequence == 2


async def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(OutboxUnavailable) as told:
        SqliteOutbox(tmp_path / "state" / "outbox.sqlite", FakeClock(), OutboxConfig(), ("a",))
    assert told.value.code == "outbox.unwritable"


_HOLD = """
import pathlib, sys
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from edgeagent.clock import SystemClock
held = SqliteOutbox(pathlib.Path(sys.argv[1]), SystemClock(), OutboxConfig(), ("a",))
print("held", flush=True)
sys.stdin.read()
import os; os._exit(0)
"""


async def test_a_second_process_is_told_clearly(outboxes, file):
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutboxUnavailable) as told:
            outboxes("a")
        assert told.value.code == "outbox.in-use"
    finally:
        holder.communicate(timeout=20)
    await outboxes("a").put([water(1.0)])


_LIMITED = """
import asyncio, pathlib, resource, sys
from edgeagent.errors import OutboxUnavailable
from edgeagent.outbox.sqlite import OutboxConfig, SqliteOutbox
from tests.fakes import FakeClock, water
async def main():
    outbox = SqliteOutbox(pathlib.Path(sys.argv[1]), FakeClock(), OutboxConfig(), ("a",))
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, -1))
    put = refused = 0
    while refused < 3:
        try:
            await outbox.put([water(float(put + i)) for i in range(50)])
            put += 50
        except OutboxUnavailable as error:
            refused += 1
            code = error.code
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    await outbox.put([water(float(put))])
    print(code, put + 1, flush=True)
    await outbox.close()
asyncio.run(main())
"""


async def test_writing_goes_on_when_the_disk_allows_it_again(outboxes, file):
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _LIMITED, str(file), stdout=subprocess.PIPE)
    said, _ = await asyncio.wait_for(child.communicate(), 30)
    code, count = said.decode().split()
    assert code == "outbox.io"  # a file size limit is EFBIG, an I/O error to SQLite
    assert sorted(await drain(outboxes("a"), "a")) == [float(i) for i in range(int(count))]


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (sqlite3.SQLITE_FULL, "outbox.disk-full"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "outbox.read-only"),
        (sqlite3.SQLITE_BUSY_RECOVERY, "outbox.in-use"),
        (sqlite3.SQLITE_CANTOPEN, "outbox.unwritable"),
        (sqlite3.SQLITE_IOERR_FSYNC, "outbox.io"),
    ],
)
def test_every_complaint_of_sqlite_has_a_text(code, ours):
    error = sqlite3.OperationalError("why not")
    error.sqlite_errorcode = code
    told = trouble.of_sqlite(error, Path("/var/lib/edgeagent/outbox.sqlite"))
    assert told.code == ours
    for lang in messages.LANGUAGES:
        text = messages.text(told.code, told.facts, lang)
        assert "?" not in text.what and "/var/lib/edgeagent/outbox.sqlite" in text.what and text.remedy


def test_texts_are_the_same_in_both_languages():
    assert messages.catalogue("outbox", "ja").keys() == messages.catalogue("outbox", "en").keys()


async def test_alarms_are_found_behind_a_long_backlog(outboxes):
    outbox = outboxes("a")
    await outbox.put([water(float(i)) for i in range(3000)])
    await outbox.put([water(-1.0, cls=ReadingClass.ALARM)])
    assert [levels(await outbox.lease("a", 2)) for _ in range(2)] == [[-1.0], [0.0, 1.0]]


async def test_what_is_newest_is_known_after_a_restart(outboxes, file):
    outbox = outboxes("a", "b")
    await outbox.put([water(1.0), gauge(5.0), water(2.0), gauge(6.0, cls=ReadingClass.ALARM)])
    batch = await outbox.lease("a", 9)
    await outbox.settle(batch, accept(batch))
    await outbox.close()
    outbox = outboxes("a", "b", "c")
    assert [levels(await outbox.lease("a", 9)) for _ in range(2)] == [[5.0, 2.0], [1.0]]
    for uplink in "bc":
        assert [levels(await outbox.lease(uplink, 9)) for _ in range(3)] == [[6.0], [5.0, 2.0], [1.0]]


async def test_a_delivered_newest_row_makes_nothing_older_newest_after_a_restart(outboxes):
    outbox = outboxes("a")
    await outbox.put([water(1.0), water(2.0)])
    batch = await outbox.lease("a", 9)
    await outbox.settle(batch, accept(batch))
    await outbox.close()
    outbox = outboxes("a")
    batch = await outbox.lease("a", 9)
    assert (batch.lane, levels(batch)) == ("backfill", [1.0])


async def test_a_store_of_the_first_schema_is_lifted(outboxes, file):
    file.parent.mkdir()
    db = sqlite3.connect(file, isolation_level=None)
    for statement in schema.STEPS[0]:
        db.execute(statement)
    db.execute("PRAGMA user_version = 1")
    db.executemany("INSERT INTO numbers VALUES (?, 0)", [("base",), ("lost",), ("thinned",)])
    db.execute("INSERT INTO accounts VALUES ('', 0, 0, 0)")
    db.execute("INSERT INTO streams VALUES ('water:miyagawa', 1)")
    db.execute("INSERT INTO rows VALUES (1, 1, ?)", (pack(water(1.0, sequence=1)),))
    db.close()
    outbox = outboxes("a")
    assert outbox.notices == []
    assert (await outbox.put([water(2.0)]))[0].sequence == 2
    assert [levels(await outbox.lease("a", 9)) for _ in range(2)] == [[2.0], [1.0]]


async def test_a_failed_start_leaves_nothing_locked(outboxes, file):
    file.parent.mkdir()
    mark = file.with_name("outbox.sqlite.mark")
    mark.mkdir()
    with pytest.raises(OutboxUnavailable) as told:
        outboxes("a")
    assert told.value.code == "outbox.unwritable"
    mark.rmdir()
    await outboxes("a").put([water(1.0)])


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE boots",
        "DELETE FROM numbers",
        "DELETE FROM accounts WHERE name = ''",
        "UPDATE streams SET last = 'many'",
        "UPDATE accounts SET floor = 4000 WHERE name = 'a'",
        "UPDATE accounts SET floor = 3 WHERE name = ''",
        "ALTER TABLE dead RENAME COLUMN wall_ms TO wall_mt",
        "DROP INDEX alarms",
    ],
)
async def test_content_that_makes_no_sense_is_set_aside(outboxes, file, sql):
    outbox = outboxes("a", "b")
    await outbox.put([water(1.0), water(2.0)])
    await outbox.close()
    columns_write(file, sql)
    outbox = outboxes("a", "b")
    for _ in range(2):  # what is seen only while writing is told to the writer, who comes again
        try:
            sequence = (await outbox.put([water(float(i)) for i in range(9)]))[0].sequence
        except OutboxUnavailable:
            sequence = None
    assert outbox.notices[0].code == "outbox.set-aside"
    assert sequence > 2
    assert len(await drain(outbox, "a")) >= 9
