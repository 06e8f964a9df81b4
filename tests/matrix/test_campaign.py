"""Random faults in every answer, and not one wrong value; `make torture` lets it run for 20,000 polls."""

import pytest

from edgeagent.wire.mbap import Stream
from edgeagent.wire.rtu import Line
from tests.faults.verdict import rounds
from tests.matrix.campaign import campaign
from tests.matrix.virtual_bus import RTU_FAULTS, TCP_FAULTS

POLLS = rounds(1500, 20_000)


@pytest.mark.parametrize("seed", range(rounds(1, 5)))
@pytest.mark.parametrize("tcp", [False, True], ids=["rtu", "tcp"])
def test_every_published_value_was_held_at_that_time(tmp_path, tcp, seed):
    outcome = campaign(seed, POLLS, tmp_path, tcp=tcp)
    assert outcome.wrong == []
    assert set(outcome.functions) == {3}, "nothing but reads was ever asked"
    assert set(outcome.drawn) == {"sound", *(TCP_FAULTS if tcp else RTU_FAULTS)}
    assert outcome.values > POLLS / 4 and outcome.missing > POLLS / 100, "faults were met, and values came through"


@pytest.mark.parametrize("tcp", [False, True], ids=["rtu", "tcp"])
def test_a_quiet_line_is_read_without_a_loss(tmp_path, tcp):
    outcome = campaign(0, 300, tmp_path, tcp=tcp, share=0.0)
    assert not outcome.wrong and not outcome.missing and not outcome.problems
    assert outcome.values >= 290, "one handshake per unit, no other question asked twice"


def test_the_campaign_sees_a_master_that_believes_too_easily(tmp_path, monkeypatch):
    monkeypatch.setattr(Line, "in_step", lambda *_: True)
    monkeypatch.setattr(Line, "ready_at", lambda self, _: self.quiet_at())
    monkeypatch.setattr(Line, "_look_for_late", lambda *_: None)
    monkeypatch.setattr(Line, "_is_repeat", lambda *_: False)
    assert campaign(0, 1500, tmp_path, kinds=("late", "previous", "silent")).wrong


def test_and_one_that_does_not_look_at_transaction_ids(tmp_path, monkeypatch):
    judge = Stream._judge
    monkeypatch.setattr(Stream, "_judge", lambda self, frame, _, unit: judge(self, frame, self.transaction, unit))
    assert campaign(0, 1500, tmp_path, tcp=True).wrong
