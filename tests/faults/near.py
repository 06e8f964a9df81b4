"""A city in the same process: the real uplink, without a line between.

Stands where an uplink has its `Endpoint`, takes the bodies that would have gone over the line, and
says whom it heard of.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from random import Random
from unittest import mock

import msgspec

from edgeagent.clock import Clock
from edgeagent.errors import UplinkUnavailable
from edgeagent.ngsi import ld
from edgeagent.outbox import sqlite
from edgeagent.ports import Site, Surroundings
from edgeagent.uplinks import ngsi_delivery
from edgeagent.uplinks.http import Answer
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig

LOST = 0.05  # of requests, and as many of the answers
Moments = list[tuple[str, int, int]]  # name of the gauge, sequence number, level


class NearCity:
    """Answers 204.

    Args:
        heard: told of every request: W for a write to the current state, H for history.
        luck: chooses which requests are lost, and which answers; None: none.
    """

    where = "near"

    def __init__(self, heard: Callable[[str, Moments], None], luck: Random | None = None) -> None:
        self._heard, self._luck = heard, luck

    def post(self, path: str, _headers, body: bytes) -> Answer:
        chance = self._luck.random() if self._luck else 1.0
        if chance > LOST:
            found = msgspec.json.decode(body)
            if path == ld.TEMPORAL:
                self._heard("H", _several(found))
            else:
                self._heard("W", [moment for one in found for moment in _several(one)])
        if chance < 2 * LOST:
            raise UplinkUnavailable("uplinks.timeout", where=self.where, why="luck")
        return Answer(204, {}, b"")

    def get(self, _path: str, _headers) -> Answer:
        return Answer(404, {}, b"")

    def close(self) -> None:
        pass


def _several(entity: dict) -> Moments:
    if "waterLevel" not in entity:
        return []  # what the outbox itself has to say: a gap, the books of a day
    numbers, levels = (_values(entity[name]) for name in ("sequenceNumber", "waterLevel"))
    name = entity["id"].rpartition(":")[2]
    return [(name, number, round(level)) for number, level in zip(numbers, levels, strict=True)]


def _values(attribute) -> list:
    return [one["value"] for one in (attribute if isinstance(attribute, list) else [attribute])]


def uplink_to(city: NearCity, folder: Path, clock: Clock, history: str) -> NgsiLd:
    """The real uplink, its marks file in `folder`, with this city at its end."""
    config = NgsiLdConfig(id="city", driver="ngsi-ld", url="http://127.0.0.1:9", history=history)
    made = NgsiLd(config, Surroundings(clock, Site("GW-1"), folder))
    made._endpoint = city
    return made


class SameThread(Executor):
    """Does it now, where it was asked: thousands of stores are opened without waiting for thousands of threads."""

    def __init__(self, *_, **__) -> None:
        pass

    def submit(self, work, /, *args, **kwargs) -> Future:
        done: Future = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  handed over, as an executor does
            done.set_exception(error)
        return done

    async def run(self, work):
        """As `NamedThread`."""
        return work()

    def close(self) -> None:
        pass


@contextlib.contextmanager
def without_threads():
    """Outboxes and uplinks made meanwhile work in the thread that calls them."""
    with (
        mock.patch.object(sqlite, "ThreadPoolExecutor", SameThread),
        mock.patch.object(ngsi_delivery, "NamedThread", SameThread),
    ):
        yield
