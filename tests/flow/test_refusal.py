"""A city that answers 401 or 403 keeps its readings waiting; the other cities are told, once, and told when it ends."""

import asyncio

import msgspec
import pytest

from edgeagent.clock import SystemClock
from edgeagent.daemon.courier import Courier
from edgeagent.daemon.flow import Flow
from edgeagent.daemon.health import Health, UplinkHealth
from edgeagent.daemon.refusal import Refusal
from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.outbox.memory import MemoryOutbox
from edgeagent.ports import UplinkConfig
from edgeagent.reading import Kind, ReadingClass
from tests.fakes import water
from tests.flow.test_courier import Receiver, until

CLOCK = SystemClock()


class Gate(Receiver):
    """Takes or refuses, as it is told."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error

    async def deliver(self, rows, *, behind=False):
        if self.error is not None:
            raise self.error
        return await super().deliver(rows, behind=behind)


def refused():
    return UplinkRefused("uplinks.credentials-refused", uplink="a", where="x", why="403")


def courier(tmp_path, said, gate):
    async def take(reading):
        said.append(reading)

    refusal = Refusal("a", tmp_path, take, CLOCK)
    return Courier(
        lambda: gate, UplinkConfig(id="a", driver="x"), outbox=MemoryOutbox(CLOCK, ["a"]),
        health=UplinkHealth("a", "x"), clock=CLOCK, luck=lambda: 0.0, refusal=refusal,
    )  # fmt: skip


async def deliver(made, gate, lane="live"):
    """One reading, leased and tried."""
    await made._outbox.put([water(1.0, at=CLOCK.now())])
    leased = await made._outbox.lease("a", 50)
    await made._deliver(gate, msgspec.structs.replace(leased, lane=lane))


async def test_once_when_it_begins_and_once_when_it_ends(tmp_path):
    said, gate = [], Gate(refused())
    made = courier(tmp_path, said, gate)
    for _ in range(3):
        await deliver(made, gate)
    gate.error = None
    for _ in range(2):
        await deliver(made, gate)
    assert [one.quantities["active"].value for one in said] == [True, False]
    assert {(one.kind, one.cls, one.entity) for one in said} == {(Kind.ALERT, ReadingClass.ALARM, "uplink-a")}


async def test_it_is_remembered_across_a_restart(tmp_path):
    said, gate = [], Gate(refused())
    await deliver(courier(tmp_path, said, gate), gate)
    again = courier(tmp_path, said, gate)
    await deliver(again, gate)
    assert len(said) == 1, "the alert is out already"
    gate.error = None
    await deliver(again, gate)
    assert [one.quantities["active"].value for one in said] == [True, False]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "lane"),
    [
        (UplinkUnavailable("uplinks.busy", uplink="a", where="x", why="503"), "live"),
        (UplinkRefused("uplinks.no-temporal", uplink="a", where="x", why="404"), "backfill"),
    ],
)
async def test_an_outage_and_a_missing_history_are_no_refusal(tmp_path, error, lane):
    said, gate = [], Gate(error)
    await deliver(courier(tmp_path, said, gate), gate, lane)
    assert said == []


async def test_a_state_directory_that_cannot_be_written_is_no_reason_to_be_silent(tmp_path):
    said, gate = [], Gate(refused())
    await deliver(courier(tmp_path / "gone", said, gate), gate)
    assert len(said) == 1


async def test_the_other_city_hears_of_it(tmp_path):
    """Through the whole flow: pump, outbox, and the lane of alarms."""
    outbox, there, closed = MemoryOutbox(CLOCK, ["a", "b"]), Receiver(), Gate(refused())
    flow = Flow(
        groups=[], chains={}, outbox=outbox, uplinks={"a": lambda: closed, "b": lambda: there},
        health=Health({}, {"a": UplinkHealth("a", "x"), "b": UplinkHealth("b", "x")}), clock=CLOCK,
        luck=lambda: 0.0, state_dir=tmp_path,
    )  # fmt: skip
    stop = asyncio.Event()
    running = asyncio.create_task(flow.run(stop))
    try:
        await flow.take(water(1.0, at=CLOCK.now()))

        async def told():
            return any(source == "agent" for batch in there.seen for source, _ in batch)

        await until(told)
    finally:
        stop.set()
        await running
