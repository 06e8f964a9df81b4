"""One Modbus gauge: the questions its profile asks, and what the answers of one burst say.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from edgeagent.profiles import Profile
from edgeagent.reading import Kind, Moment, Quality, Quantity, Reading, ReadingClass, Unit
from edgeagent.sources.burst import Burst, Samples
from edgeagent.wire.registers import Block, Register, Value, decode, number
from edgeagent.wire.rtu import Answer, Request

__all__ = ["GaugePoll", "described"]


class _Config(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def unit(self) -> int | None: ...
    @property
    def timeout_s(self) -> float | None: ...
    @property
    def every_s(self) -> float: ...
    @property
    def samples(self) -> int: ...
    @property
    def sample_gap_s(self) -> float: ...


class GaugePoll:
    """One gauge.

    Args:
        config: its section.
        profile: its instrument.

    Attributes:
        unit: Modbus unit id.
        timeout_s: how long the device may take to answer.
        requests: the questions of one poll, the most important one first, destructive ones last.
    """

    def __init__(self, config: _Config, profile: Profile) -> None:
        self.config = config
        self.id = config.id
        self.unit = profile.link.unit if config.unit is None else config.unit
        self.timeout_s = profile.link.timeout_s if config.timeout_s is None else config.timeout_s
        self.missing_due = float("-inf")
        self._blocks = sorted(profile.blocks, key=_is_destructive)
        self.requests = tuple(Request(self.unit, b.function, b.address, b.words) for b in self._blocks)
        self._destructive = {r for r, b in zip(self.requests, self._blocks, strict=True) if _is_destructive(b)}
        self._asked_at: dict[Request, float] = {}
        self._units = profile.units
        self._kind = Kind.RAIN if profile.kind == "rain" else Kind.WATER
        self._facts = {"profile": profile.id, "rung": profile.rung}
        self._gone = {name: Quantity.missing(unit) for name, unit in profile.units.items()}
        self._watched = {r.valid_if.name for b in profile.blocks for _, r in b.registers if r.valid_if}
        self._samples: dict[str, Samples] = {}
        self._count = 0
        self._raw = ""
        self._began: Moment | None = None
        self._at: Moment | None = None

    @property
    def in_burst(self) -> bool:
        """Whether samples were taken and not yet made into a reading."""
        return self._count > 0

    def is_destructive(self, request: Request) -> bool:
        """Whether asking this empties what is asked for."""
        return request in self._destructive

    def may_ask(self, request: Request, now: float) -> bool:
        """A destructive question is never asked a second time within its period, whatever became of the first."""
        if request not in self._destructive:
            return True
        return not self.in_burst and now - self._asked_at.get(request, float("-inf")) >= 0.9 * self.config.every_s

    def asked(self, request: Request, now: float) -> None:
        """This question went out."""
        self._asked_at[request] = now

    def add(self, answers: Sequence[Answer | str], at: Moment) -> bool:
        """The answers of one poll: per request an answer, or the reason why there is none.

        Returns:
            The burst is complete.
        """
        if not self.in_burst:
            self._samples = {name: Samples() for name in self._units}
            self._began = at
        self._count += 1
        if any(not isinstance(a, str) for a in answers):
            self._at = at
            self._raw = " ".join(a.raw.hex() for a in answers if not isinstance(a, str))
        for name, value in self.values(answers).items():
            self._samples[name].add(value)
        return self._count >= self.config.samples and self._at is not None

    def values(self, answers: Sequence[Answer | str]) -> dict[str, Value]:
        """What one poll says of every published quantity."""
        made = {}
        states = self._states(answers) if self._watched else {}
        for block, answer in zip(self._blocks, answers, strict=True):
            for offset, register in block.registers:
                if not register.published:
                    continue
                if isinstance(answer, str):
                    made[register.name] = Value(None, answer)
                    continue
                value = decode(register, answer.registers, offset)
                if register.valid_if is not None and value.value is not None:
                    value = _checked(register, value, states)
                made[register.name] = value
        return made

    def reading(self) -> Reading:
        """The reading of the burst, which begins anew."""
        assert self._at is not None and self._began is not None
        facts = self._facts | {"raw": self._raw}
        bursts = {name: samples.result() for name, samples in self._samples.items()}
        several = self.config.samples > 1
        quantities = described(bursts, self._units, facts, several=several)
        span_ms = self._at.mono_ms - self._began.mono_ms if several else 0
        at, self._at, self._count = self._at, None, 0
        return self._made(quantities, facts, at, span_ms)

    def missing(self, reason: str, at: Moment) -> Reading:
        """A reading that says that nothing could be read, and why; what a burst had so far is dropped."""
        self._at, self._count = None, 0
        facts = self._facts | {f"reason:{name}": reason for name in self._gone}
        return self._made(dict(self._gone), facts, at, 0)

    def _made(self, quantities: dict[str, Quantity], facts: dict[str, str], at: Moment, span_ms: int) -> Reading:
        return Reading(
            source=self.id,
            kind=self._kind,
            entity=self.id,
            at=at,
            quantities=quantities,
            cls=ReadingClass.LIVE,
            span_ms=span_ms,
            facts=facts,
        )

    def _states(self, answers: Sequence[Answer | str]) -> dict[str, int]:
        return {
            register.name: int(number(register.kind, register.order, answer.registers, offset))
            for block, answer in zip(self._blocks, answers, strict=True)
            if not isinstance(answer, str)
            for offset, register in block.registers
            if register.name in self._watched
        }


def described(
    bursts: Mapping[str, Burst], units: Mapping[str, Unit], facts: dict[str, str], *, several: bool
) -> dict[str, Quantity]:
    """The quantities of a burst; reasons, and the lowest and highest sample, go into `facts`.

    Args:
        bursts: by quantity, the profile's main one first.
        units: of these.
        facts: is added to.
        several: there was more than one sample, so n_valid and mad are said.
    """
    quantities = {}
    for number_, (name, burst) in enumerate(bursts.items()):
        value, reason = burst.value
        if value is None:
            quantities[name] = Quantity.missing(units[name])
        else:
            quantities[name] = Quantity(value, units[name], Quality.SUSPECT if reason else Quality.GOOD)
        if reason:
            facts[f"reason:{name}"] = reason
        if number_ == 0 and several:
            quantities["n_valid"] = Quantity(burst.n_valid)
            if burst.n_valid:
                quantities["mad"] = Quantity(burst.mad, units[name])
                facts["low"], facts["high"] = f"{burst.low:g}", f"{burst.high:g}"
    return quantities


def _is_destructive(block: Block) -> bool:
    return any(register.destructive for _, register in block.registers)


def _checked(register: Register, value: Value, states: Mapping[str, int]) -> Value:
    status = register.valid_if
    assert status is not None
    state = states.get(status.name)
    if state is None:
        return Value(None, "no-status")
    return value if state & status.mask == status.equals else Value(None, "bad-status")
