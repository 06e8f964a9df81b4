"""`ngsi-ld` and `ngsi-v2`: which requests each API takes; `ngsi_delivery` decides what is in them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgeagent.ngsi import entities, ld, v2
from edgeagent.ngsi.replies import Reply
from edgeagent.ports import Surroundings
from edgeagent.uplinks.http import Endpoint
from edgeagent.uplinks.ngsi_config import NgsiLdConfig, NgsiV2Config
from edgeagent.uplinks.ngsi_delivery import NgsiHttp

__all__ = ["NgsiLd", "NgsiLdConfig", "NgsiV2", "NgsiV2Config"]

_MARGIN_MS = 1000  # around a time span: brokers disagree about its ends


class NgsiLd(NgsiHttp):
    """`ngsi-ld`: batch upsert, and the temporal endpoint for what is older."""

    Config = NgsiLdConfig

    def __init__(self, config: NgsiLdConfig, around: Surroundings) -> None:
        super().__init__(config, around)
        self._headers = ld.headers(config.context, config.tenant)
        self._asking = {name: text for name, text in self._headers.items() if name != "Content-Type"}
        self._form = ld.concise if config.form == "concise" else ld.normalized

    @classmethod
    def make(cls, config: NgsiLdConfig, around: Surroundings) -> NgsiLd:
        """The uplink of one section."""
        return cls(config, around)

    def _text(self, entity: entities.Entity) -> bytes:
        return self._form(entity)

    def _upsert(self, texts: Sequence[bytes]) -> Reply:
        answer = self._endpoint.post(ld.UPSERT, self._headers, b"[" + b",".join(texts) + b"]")
        return ld.judge(answer.status, answer.headers, answer.body)

    def _add_history(self, moments: Sequence[entities.Entity]) -> Reply:
        answer = self._endpoint.post(ld.TEMPORAL, self._headers, ld.temporal(moments))
        return ld.judge_temporal(answer.status, answer.headers, answer.body)

    def _held(self, moments: Sequence[entities.Entity]) -> frozenset[int]:
        answer = self._endpoint.get(ld.temporal_query(moments[0].id, *_span(moments)), self._asking)
        return ld.held(answer.status, answer.body)


class NgsiV2(NgsiHttp):
    """`ngsi-v2`: `op/update` append; QuantumLeap for what is older, where the city has it."""

    Config = NgsiV2Config

    def __init__(self, config: NgsiV2Config, around: Surroundings) -> None:
        super().__init__(config, around)
        self._headers = v2.headers(config.tenant, config.service_path)
        self._asking = {name: text for name, text in self._headers.items() if name != "Content-Type"}
        url = config.quantumleap_url.rstrip("/").removesuffix("/v2")
        door = msgspec.structs.replace(self._door, url=url)
        self._quantumleap = Endpoint(door, around.clock, around.state_dir, self._meter) if url else None

    @classmethod
    def make(cls, config: NgsiV2Config, around: Surroundings) -> NgsiV2:
        """The uplink of one section."""
        return cls(config, around)

    def _text(self, entity: entities.Entity) -> bytes:
        return v2.normalized(entity)

    def _upsert(self, texts: Sequence[bytes]) -> Reply:
        answer = self._endpoint.post(v2.UPDATE, self._headers, v2.append(texts))
        return v2.judge(answer.status, answer.headers, answer.body)

    def _add_history(self, moments: Sequence[entities.Entity]) -> Reply:
        if self._quantumleap is None:
            return super()._add_history(moments)
        body = v2.notification([v2.normalized(moment) for moment in moments])
        answer = self._quantumleap.post(v2.NOTIFY, self._headers, body)
        return v2.judge_notify(answer.status, answer.headers, answer.body)

    def _held(self, moments: Sequence[entities.Entity]) -> frozenset[int]:
        if self._quantumleap is None:
            return super()._held(moments)
        answer = self._quantumleap.get(v2.history_query(moments[0], *_span(moments)), self._asking)
        return v2.held(answer.status, answer.body)

    async def close(self) -> None:
        """Let go of both connections."""
        await super().close()
        if self._quantumleap is not None:
            self._quantumleap.close()


def _span(moments: Sequence[entities.Entity]) -> tuple[str, str]:
    times = sorted(moment.wall_ms for moment in moments)
    return entities.time_text(max(times[0] - _MARGIN_MS, 0)), entities.time_text(times[-1] + _MARGIN_MS)
