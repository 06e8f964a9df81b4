"""Readings to a context broker over HTTP, acknowledged end to end; what `ngsi-ld` and `ngsi-v2` share.

A row is accepted when the broker answered for its entity; what it did not answer for is kept.
A request holds an entity at most once (brokers disagree about the second).  A request that is
refused as a whole is halved until the entity at fault stands alone; that one is rejected with the
broker's words.  But when nobody passes it is not the data that is wrong: then everything is kept
and the whole is reported as refused, so that a wrong address never empties the outbox into the
dead letters.

After an unknown outcome (a timeout, a kill) a row is sent again.  The current state does not mind;
a history endpoint would hold that moment twice, so it is asked first which sequence numbers it has.
One that cannot be asked may hold a moment twice, with one and the same number.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.ngsi import entities
from edgeagent.ngsi.replies import Fate, Reply
from edgeagent.ports import Delivery, Row, Surroundings
from edgeagent.uplinks.http import Door, Endpoint
from edgeagent.uplinks.lanes import Plan, plan
from edgeagent.uplinks.marks import MarksFile
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.ngsi_config import NgsiHttpConfig
from edgeagent.uplinks.oauth import TokenSource
from edgeagent.uplinks.thread import NamedThread

__all__ = ["NgsiHttp"]

_ENOUGH_S = 2.0  # then what is done is reported, so that a stop in a long replay repeats little
_MOST_SURE = 4096  # streams; tag pseudonyms change daily
_MOST_REFUSED = 8  # so many refused and none accepted: the request is wrong, not the data


class _Part(msgspec.Struct, frozen=True):
    """A row, written down."""

    row: Row
    made: entities.Entity
    text: bytes


class _Run:
    """What one delivery has achieved so far."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.ids = frozenset(row.id for row in rows)
        self.accepted: set[int] = set()
        self.rejected: dict[int, str] = {}
        self.unmappable: dict[int, str] = {}
        self.held: set[str] = set()  # streams whose later rows must wait for an earlier one
        self.why_held = ""


class NgsiHttp(abc.ABC):
    """What both drivers do; see the head of this file."""

    def __init__(self, config: NgsiHttpConfig, around: Surroundings) -> None:
        self._config = config
        self._site = around.site
        self._clock = around.clock
        self._marks_path = around.state_dir / f"uplink-{config.id}.marks"
        self._thread = NamedThread(f"uplink-{config.id}")
        self._file: MarksFile | None = None
        self._ever_accepted = False
        self._sure: set[str] = set()  # streams whose last history request had a clear outcome
        self._meter = Meter()
        door = Door(
            url=config.url.rstrip("/").removesuffix("/ngsi-ld/v1").removesuffix("/v2"),
            token=config.token,
            auth=config.auth,
            tokens=_token_source(config),
            ca=config.ca,
            cert=config.cert,
            key=config.key,
            timeout_s=config.timeout_s,
        )
        self._door = door
        self._endpoint = Endpoint(door, around.clock, around.state_dir, self._meter)

    async def deliver(self, rows: Sequence[Row], *, behind: bool = False) -> Delivery:
        """Write rows to the current state, and older ones where `history` says.

        Returns after some seconds with what is done so far; the rest is kept without an error.

        Raises:
            UplinkUnavailable: no row was acknowledged (UplinkRefused: and a person must act).
        """
        try:
            done = await self._thread.run(lambda: self._deliver(rows, behind))
        except UplinkUnavailable as error:
            error.bytes_sent = self._meter.fresh()
            raise
        return msgspec.structs.replace(done, bytes_sent=self._meter.fresh())

    async def close(self) -> None:
        """Let go of the connection; a request under way ends at its timeout at the latest."""
        self._endpoint.close()
        self._thread.close()

    @abc.abstractmethod
    def _text(self, entity: entities.Entity) -> bytes:
        """One entity of a body."""

    @abc.abstractmethod
    def _upsert(self, texts: Sequence[bytes]) -> Reply:
        """Write entities to the current state, in one request."""

    def _add_history(self, moments: Sequence[entities.Entity]) -> Reply:
        """Write older moments of one entity, its current state untouched; not every API can."""
        return Reply(Fate.REFUSED, code="uplinks.no-temporal", detail=moments[0].id)

    def _held(self, moments: Sequence[entities.Entity]) -> frozenset[int]:  # noqa: ARG002  not every API can tell
        """Sequence numbers of one entity that the history has around these moments, as far as it tells."""
        return frozenset()

    def _deliver(self, rows: Sequence[Row], behind: bool) -> Delivery:  # noqa: FBT001  as `deliver`
        if self._file is None:
            self._file = MarksFile(self._marks_path)
        run, error, until = _Run(rows), None, self._clock.mono() + _ENOUGH_S
        todo = plan(rows, self._file.marks, self._config.history)
        run.accepted.update(row.id for row in todo.unsent)
        try:
            for step in self._steps(todo, run):
                step()
                if self._clock.mono() > until:
                    break
        except UplinkUnavailable as found:
            found.facts.setdefault("uplink", self._config.id)
            error = found
        kept = [r for r in rows if r.id not in run.accepted and r.id not in run.rejected]
        self._file.settle(rows, kept, behind=behind)
        return self._outcome(run, error)

    def _steps(self, todo: Plan, run: _Run) -> Iterator[Callable[[], None]]:
        """The requests of a plan, in order; each may leave fewer rows for the later ones."""
        for one in todo.rounds:
            for chunk in self._chunks(self._write(one, run)):
                yield functools.partial(self._send, chunk, run)
        for late in todo.history.values():
            yield functools.partial(self._history, late, run)

    def _outcome(self, run: _Run, error: UplinkUnavailable | None) -> Delivery:
        accepted = frozenset(run.accepted & run.ids)
        self._ever_accepted = self._ever_accepted or bool(accepted)
        if run.rejected and not self._ever_accepted:
            error = error or self._refused("uplinks.refuses-all", next(iter(run.rejected.values())))
            run.rejected.clear()
        if error is None and run.held:
            error = self._away("uplinks.busy", run.why_held)
        rejected = {i: why for i, why in {**run.rejected, **run.unmappable}.items() if i in run.ids}
        if error is not None and not accepted and not rejected:
            raise error
        return Delivery(accepted, rejected, error.retry_after_s if error else None, error)

    def _write(self, rows: Iterable[Row], run: _Run) -> Iterator[_Part]:
        for row in rows:
            if row.reading.stream in run.held:
                continue
            try:
                made = entities.entity(row.reading, self._site)
            except ValueError:
                run.unmappable[row.id] = f"not a time: {row.reading.at.wall_ms} ms"
                continue
            yield _Part(row, made, self._text(made))

    def _chunks(self, parts: Iterable[_Part]) -> Iterator[list[_Part]]:
        chunk: list[_Part] = []
        size = 0
        for part in parts:
            if chunk and (size + len(part.text) > self._config.max_body or len(chunk) >= self._config.max_entities):
                yield chunk
                chunk, size = [], 0
            chunk.append(part)
            size += len(part.text) + 1
        if chunk:
            yield chunk

    def _send(self, parts: Sequence[_Part], run: _Run) -> None:
        reply = self._upsert([p.text for p in parts])
        if reply.fate is Fate.DONE:
            self._accept(parts, run)
        elif reply.fate is Fate.PARTIAL:
            self._accept([p for p in parts if p.made.id in reply.accepted], run)
            for part in parts:
                if part.made.id in reply.rejected:
                    self._reject(part.row, reply.rejected[part.made.id], run)
                elif part.made.id not in reply.accepted:
                    run.held.add(part.row.reading.stream)
                    run.why_held = "207"
        elif reply.fate is Fate.SPLIT:
            if len(parts) == 1:
                self._reject(parts[0].row, reply.detail, run)
            else:
                self._send(parts[: len(parts) // 2], run)
                self._send(parts[len(parts) // 2 :], run)
        else:
            self._stop(reply)

    def _history(self, rows: Sequence[Row], run: _Run) -> None:
        """Write older moments of one entity to the history endpoint; its state stays as it is."""
        stream = rows[0].reading.stream
        if stream in run.held:
            return
        if stream not in self._sure:
            rows = self._unknown(rows, run)
        self._sure.discard(stream)
        self._add(rows, run)
        if len(self._sure) < _MOST_SURE:
            self._sure.add(stream)

    def _unknown(self, rows: Sequence[Row], run: _Run) -> Sequence[Row]:
        """Those of the rows that the history does not have; the others arrived in an earlier attempt."""
        moments = [p.made for p in self._write(rows, run)]
        held = self._held(moments) if moments else frozenset[int]()
        run.accepted.update(row.id for row in rows if row.reading.sequence in held)
        return [row for row in rows if row.id not in run.accepted]

    def _add(self, rows: Sequence[Row], run: _Run) -> None:
        group: list[entities.Entity] = []
        members: list[Row] = []
        size = 0
        for part in self._write(rows, run):
            if group and size + len(part.text) > self._config.max_body:
                self._send_history(group, members, run)
                group, members, size = [], [], 0
            group.append(part.made)
            members.append(part.row)
            size += len(part.text)
        if group:
            self._send_history(group, members, run)

    def _send_history(self, group: Sequence[entities.Entity], rows: Sequence[Row], run: _Run) -> None:
        reply = self._add_history(group)
        if reply.fate is Fate.DONE:
            run.accepted.update(row.id for row in rows)
        elif reply.fate is Fate.SPLIT and len(rows) == 1:
            self._reject(rows[0], reply.detail, run)
        elif reply.fate is Fate.SPLIT:
            half = len(rows) // 2
            self._send_history(group[:half], rows[:half], run)
            self._send_history(group[half:], rows[half:], run)
        else:
            self._stop(reply)

    def _accept(self, parts: Iterable[_Part], run: _Run) -> None:
        assert self._file is not None
        for part in parts:
            run.accepted.add(part.row.id)
            self._file.marks.written(part.row)

    def _reject(self, row: Row, why: str, run: _Run) -> None:
        run.rejected[row.id] = why
        if len(run.rejected) >= _MOST_REFUSED and not run.accepted:
            run.rejected.clear()
            raise self._refused("uplinks.refuses-all", why)

    def _stop(self, reply: Reply) -> None:
        if reply.fate is Fate.REFUSED:
            raise self._refused(reply.code, reply.detail, reply.retry_after_s)
        raise self._away(reply.code, reply.detail, reply.retry_after_s)

    def _away(self, code: str, why: str, retry_after_s: float | None = None) -> UplinkUnavailable:
        return UplinkUnavailable(code, retry_after_s=retry_after_s, **self._facts(why))

    def _refused(self, code: str, why: str, retry_after_s: float | None = None) -> UplinkRefused:
        return UplinkRefused(code, retry_after_s=retry_after_s, **self._facts(why))

    def _facts(self, why: str) -> dict[str, Any]:
        return {"uplink": self._config.id, "where": self._endpoint.where, "why": why, "tenant": self._config.tenant}


def _token_source(config: NgsiHttpConfig) -> TokenSource | None:
    if config.auth != "oauth2":
        return None
    return TokenSource(url=config.token_url, client_id=config.client_id, scope=config.scope)
