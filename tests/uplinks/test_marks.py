"""Marks on disk: only while older rows may wait, added to line by line, a torn line forgiven."""

from edgeagent.uplinks import marks
from edgeagent.uplinks.marks import MarksFile
from tests.uplinks.test_lanes import row


def deliver(file, *rows, behind=True, kept=()):
    for one in rows:
        file.marks.written(one)
    file.settle([*rows, *kept], kept, behind=behind)


def test_nothing_is_written_while_nothing_waits(tmp_path):
    file = MarksFile(tmp_path / "m")
    for number in range(1, 9):
        deliver(file, row(number), behind=False)
    assert not (tmp_path / "m").exists() and not file.holds


def test_marks_of_streams_with_a_backlog_outlive_a_restart(tmp_path):
    file = MarksFile(tmp_path / "m")
    deliver(file, row(5), row(6, source="n"))
    deliver(file, row(7))
    deliver(file, row(2), row(3))  # the backlog, replayed: the state is older than the mark for a moment
    again = MarksFile(tmp_path / "m")
    assert again.marks.newest("water:m") == row(7) and again.marks.newest("water:n") == row(6, source="n")
    assert again.marks.regressed == {"water:m"}
    deliver(again, row(7))
    deliver(again, row(8), behind=False)
    assert not again.holds and not MarksFile(tmp_path / "m").holds


def test_a_mark_outlives_the_delivery_of_the_last_older_row(tmp_path):
    """The outbox forgets the older row a moment later; until then a power cut brings it back, without its mark."""
    file = MarksFile(tmp_path / "m")
    deliver(file, row(7))
    file.settle([row(3)], (), behind=False)  # went to the history
    assert MarksFile(tmp_path / "m").marks.newest("water:m") == row(7)
    deliver(file, row(8), behind=False)
    assert not MarksFile(tmp_path / "m").holds


def test_a_torn_last_line_costs_that_line(tmp_path):
    file = MarksFile(tmp_path / "m")
    deliver(file, row(5))
    deliver(file, row(6))
    whole = (tmp_path / "m").read_bytes()
    assert whole.count(b"\n") == 2
    (tmp_path / "m").write_bytes(whole[:-20])
    torn = MarksFile(tmp_path / "m")
    assert torn.marks.newest("water:m") == row(5)
    deliver(torn, row(7))
    assert MarksFile(tmp_path / "m").marks.newest("water:m") == row(7)
    (tmp_path / "m").write_bytes(b"\xff\x00 nonsense")
    assert MarksFile(tmp_path / "m").marks.newest("water:m") is None


def test_the_log_is_written_anew_when_it_is_long(tmp_path, monkeypatch):
    monkeypatch.setattr(marks, "_LONGEST", 2_000)
    file = MarksFile(tmp_path / "m")
    for number in range(1, 60):
        deliver(file, row(number))
    assert (tmp_path / "m").stat().st_size < 3_000
    assert MarksFile(tmp_path / "m").marks.newest("water:m") == row(59)
