"""The tables of the store and every statement that touches them.

STEPS[n] lifts a file from `user_version` n to n + 1; a step, once released, is never edited.
"""

from __future__ import annotations

from zlib import crc32

__all__ = [
    "ACCOUNTS",
    "ADD_ACCOUNT",
    "ADD_BOOT",
    "ADD_DAY",
    "ADD_DAY_STREAM",
    "ADD_DEAD",
    "ADD_ROW",
    "ADD_THINNED",
    "ALARMS",
    "A_DAY",
    "CHANGE_ROW",
    "COUNT_DEAD",
    "DATE_STREAMS",
    "DATE_THINNED",
    "DAY_DEAD",
    "DAY_STREAMS",
    "DAY_THINNED",
    "DEAD",
    "DELETE_ROWS",
    "DROP_ACCOUNT",
    "DROP_DEAD",
    "DROP_RUN",
    "DROP_RUNS",
    "LAST_ROW",
    "NEXT",
    "OLD",
    "ONE",
    "PRUNE_BOOTS",
    "PRUNE_DAYS",
    "PRUNE_DEAD",
    "RAISE_STREAMS",
    "RUNS",
    "SET_ACCOUNT",
    "SET_NUMBER",
    "SET_RUN",
    "SET_STREAM",
    "SHAPE",
    "STEPS",
    "check",
]


def check(name: str, *ids: int) -> int:
    """A checksum of what says that rows are settled: garbled, it would make them vanish without a word."""
    return crc32(repr((name, *ids)).encode()) or 1


STEPS = (
    (
        # Readings still owed to somebody.  id counts up from 1 without holes; cls is 0 alarm, 1 live,
        # 2 routine; record is the format of record.py.
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, cls INTEGER NOT NULL, record BLOB NOT NULL)",
        "CREATE INDEX alarms ON rows (id) WHERE cls = 0",
        # The last sequence number given in each stream; outlives the rows.
        "CREATE TABLE streams (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
        # Progress per uplink; '' is the store itself (see ledger.py).
        (
            "CREATE TABLE accounts (name TEXT PRIMARY KEY, floor INTEGER NOT NULL, acknowledged INTEGER NOT NULL, "
            "dead INTEGER NOT NULL) WITHOUT ROWID"
        ),
        (
            "CREATE TABLE runs (name TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, "
            "PRIMARY KEY (name, first)) WITHOUT ROWID"
        ),
        # Refused for good: `row` is the id it had, `reason` what the receiver said.
        (
            "CREATE TABLE dead (id INTEGER PRIMARY KEY, row INTEGER NOT NULL, uplink TEXT NOT NULL, "
            "wall_ms INTEGER NOT NULL, reason TEXT NOT NULL, record BLOB NOT NULL)"
        ),
        # Wall minus monotonic milliseconds, learnt once per boot.
        "CREATE TABLE boots (id INTEGER PRIMARY KEY, boot_id TEXT UNIQUE NOT NULL, offset_ms INTEGER NOT NULL)",
        # base: sequence numbers of this file start above it; lost, thinned: counters.
        "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    ),
    # The id of the newest row of the stream, which may be gone; 0: stored before this was noted.
    ("ALTER TABLE streams ADD COLUMN row INTEGER NOT NULL DEFAULT 0",),
    (
        # The day (number, in Japan) of the last number of the stream, and the number before the first of that day.
        "ALTER TABLE streams ADD COLUMN day INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE streams ADD COLUMN before INTEGER NOT NULL DEFAULT 0",
        "UPDATE streams SET before = last",
        # Of name and ids (`check`); 0 where an older edgeagent wrote the line.
        "ALTER TABLE accounts ADD COLUMN crc INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE runs ADD COLUMN crc INTEGER NOT NULL DEFAULT 0",
        # Bytes sent to the uplink in a month (number, in Japan).
        "ALTER TABLE accounts ADD COLUMN month INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE accounts ADD COLUMN sent INTEGER NOT NULL DEFAULT 0",
        # Days that are over: row ids, readings lost, readings whose time was not trusted; see days.py.
        (
            "CREATE TABLE days (day INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, "
            "lost INTEGER NOT NULL, unsynced INTEGER NOT NULL)"
        ),
        (
            "CREATE TABLE day_streams (day INTEGER NOT NULL, name TEXT NOT NULL, first INTEGER NOT NULL, "
            "last INTEGER NOT NULL, PRIMARY KEY (day, name)) WITHOUT ROWID"
        ),
        (
            "CREATE TABLE day_thinned (day INTEGER NOT NULL, source TEXT NOT NULL, count INTEGER NOT NULL, "
            "PRIMARY KEY (day, source)) WITHOUT ROWID"
        ),
    ),
)

SHAPE = "SELECT type, name, sql FROM sqlite_master ORDER BY name"

ADD_ROW = "INSERT INTO rows (id, cls, record) VALUES (?, ?, ?)"
CHANGE_ROW = "UPDATE rows SET record = ? WHERE id = ?"
DELETE_ROWS = "DELETE FROM rows WHERE id BETWEEN ? AND ?"
# The cast: a flipped bit in a row header can turn the blob into text or a number.
_RECORD = "CAST(coalesce(record, '') AS BLOB)"
ALARMS = "SELECT id FROM rows INDEXED BY alarms WHERE cls = 0"
NEXT = f"SELECT id, {_RECORD} FROM rows WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"  # noqa: S608  a constant
OLD = f"SELECT id, cls, {_RECORD} FROM rows WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"  # noqa: S608  a constant
ONE = f"SELECT {_RECORD} FROM rows WHERE id = ?"  # noqa: S608  a constant

LAST_ROW = (
    "SELECT max((SELECT coalesce(max(id), 0) FROM rows), (SELECT coalesce(max(floor), 0) FROM accounts), "
    "(SELECT coalesce(max(last), 0) FROM runs))"
)

RAISE_STREAMS = "UPDATE streams SET last = ?1, before = ?1"
SET_STREAM = (
    "INSERT INTO streams (name, last, row, day, before) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) "
    "DO UPDATE SET last = excluded.last, row = excluded.row, day = excluded.day, before = excluded.before"
)
SET_NUMBER = "INSERT INTO numbers VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"

ADD_ACCOUNT = "INSERT OR IGNORE INTO accounts (name, floor, acknowledged, dead) VALUES (?, 0, 0, 0)"
ACCOUNTS = "SELECT name, floor, crc, acknowledged, dead, month, sent FROM accounts"
RUNS = "SELECT name, first, last, crc FROM runs"
SET_ACCOUNT = "UPDATE accounts SET floor = ?, crc = ?, acknowledged = ?, dead = ?, month = ?, sent = ? WHERE name = ?"
DROP_ACCOUNT = "DELETE FROM accounts WHERE name = ?"
SET_RUN = "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)"
DROP_RUN = "DELETE FROM runs WHERE name = ? AND first = ?"
DROP_RUNS = "DELETE FROM runs WHERE name = ?"

ADD_DEAD = (
    "INSERT INTO dead (row, uplink, wall_ms, reason, record) "
    "SELECT id, :uplink, :wall_ms, :reason, record FROM rows WHERE id = :row"
)
DEAD = (
    "SELECT id, uplink, wall_ms, reason, CAST(coalesce(record, '') AS BLOB) FROM dead WHERE id > ? ORDER BY id LIMIT ?"
)
DROP_DEAD = "DELETE FROM dead WHERE id = ?"
COUNT_DEAD = "SELECT count(*) FROM dead"
PRUNE_DEAD = "DELETE FROM dead WHERE id IN (SELECT id FROM dead ORDER BY id LIMIT max(?, 0))"

ADD_BOOT = "INSERT OR IGNORE INTO boots (boot_id, offset_ms) VALUES (?, ?)"
PRUNE_BOOTS = "DELETE FROM boots WHERE id <= (SELECT max(id) FROM boots) - 1000"

ADD_DAY = "INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?)"
ADD_DAY_STREAM = "INSERT OR REPLACE INTO day_streams VALUES (?, ?, ?, ?)"
ADD_THINNED = (
    "INSERT INTO day_thinned VALUES (?, ?, ?) ON CONFLICT (day, source) DO UPDATE SET count = count + excluded.count"
)
DATE_STREAMS = "UPDATE streams SET day = ? WHERE day = 0"
DATE_THINNED = "UPDATE day_thinned SET day = ? WHERE day = 0"
A_DAY = "SELECT first, last, lost, unsynced FROM days WHERE day = ?"
DAY_STREAMS = "SELECT name, first, last FROM day_streams WHERE day = ? ORDER BY name"
DAY_THINNED = "SELECT coalesce(sum(count), 0) FROM day_thinned WHERE day = ?"
DAY_DEAD = "SELECT uplink, count(*) FROM dead WHERE row BETWEEN ? AND ? GROUP BY uplink"
PRUNE_DAYS = (
    "DELETE FROM days WHERE day < ?",
    "DELETE FROM day_streams WHERE day < ?",
    "DELETE FROM day_thinned WHERE day < ?",
)
