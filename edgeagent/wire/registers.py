"""Register words -> numbers in SI, or the reason why there is none.  Pure.

Word order is written as the bytes of the number lie in the registers, A being the most
significant: ABCD (the standard), CDAB (words swapped), BADC (bytes swapped), DCBA (both).
May import: nothing.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["ORDERS", "TYPES", "Block", "Register", "Scale", "Status", "Value", "blocks", "decode", "number"]

TYPES = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2}
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
_FORMATS = {"i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
_MOST_REGISTERS = 125
_NOT_ZERO = 1e-9  # floats nearer to 0 come from no instrument, but from words in the wrong order
_DIGITS = 6  # a micrometre; hides the dust of binary fractions, not the measurement


class Value(NamedTuple):
    """A number in SI, or None and why; a number with a reason is in doubt (edge-of-range).

    Reasons: not-a-number, word-order, out-of-range, empty, bad-status, no-status, or a
    sentinel's name.
    """

    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """From the number on the wire to SI.

    Attributes:
        factor, offset: SI = raw x factor + offset.
        sane: lowest and highest believable value, in SI.
        usual: lowest and highest value that is believed without doubt, in SI.
        sentinels: raw number -> its meaning, e.g. 5000 -> no-target.
    """

    factor: float = 1.0
    offset: float = 0.0
    sane: tuple[float, float] | None = None
    usual: tuple[float, float] | None = None
    sentinels: Mapping[float, str] = field(default_factory=dict)

    def apply(self, raw: float) -> Value:
        """A raw number -> Value."""
        if self.sentinels and raw in self.sentinels:
            return Value(None, self.sentinels[raw])
        if not math.isfinite(raw):
            return Value(None, "not-a-number")
        value = round(raw * self.factor + self.offset, _DIGITS)
        if self.sane is not None and not self.sane[0] <= value <= self.sane[1]:
            return Value(None, "out-of-range")
        if self.usual is not None and not self.usual[0] <= value <= self.usual[1]:
            return Value(value, "edge-of-range")
        return Value(value)


class Status(NamedTuple):
    """Another register that says whether this one counts: `word & mask == equals`."""

    name: str
    mask: int
    equals: int


@dataclass(frozen=True, slots=True)
class Register:
    """One number in a device.

    Attributes:
        name: what it is called in the reading.
        function: 3 (holding) or 4 (input).
        address: of its first word, 0-based as on the wire.
        kind: a key of TYPES.
        order: one of ORDERS; of a 16 bit number only the byte order counts.
        valid_if: a status register of the same device, or None.
        published: False for a register that is only read as a status.
        destructive: reading it resets it ("since last retrieval"): a question of its own, never repeated.
    """

    name: str
    function: int
    address: int
    kind: str = "u16"
    order: str = "ABCD"
    scale: Scale = field(default_factory=Scale)
    valid_if: Status | None = None
    published: bool = True
    destructive: bool = False

    @property
    def words(self) -> int:
        """How many registers it fills."""
        return TYPES[self.kind]


class Block(NamedTuple):
    """Registers that are read with one question, and their word offsets in the answer."""

    function: int
    address: int
    words: int
    registers: tuple[tuple[int, Register], ...]


def number(kind: str, order: str, words: Sequence[int], at: int = 0) -> float:
    """The number in one or two words, as it is on the wire."""
    first = words[at]
    if order in ("BADC", "DCBA"):
        first = (first & 0xFF) << 8 | first >> 8
    if TYPES[kind] == 1:
        return first - 0x10000 if kind == "i16" and first & 0x8000 else first
    second = words[at + 1]
    if order in ("BADC", "DCBA"):
        second = (second & 0xFF) << 8 | second >> 8
    if order in ("CDAB", "DCBA"):
        first, second = second, first
    if kind == "u32":
        return first << 16 | second
    made: float = struct.unpack(_FORMATS[kind], struct.pack(">HH", first, second))[0]
    return made


def decode(register: Register, words: Sequence[int], at: int = 0) -> Value:
    """One register's words -> Value; says nothing about its status register."""
    raw = number(register.kind, register.order, words, at)
    if register.kind == "f32" and raw and -_NOT_ZERO < raw < _NOT_ZERO:
        # 2.345 with its words swapped is 1.3e-26; rounded, it would be a believable 0.000 m
        return Value(None, "word-order")
    return register.scale.apply(raw)


def blocks(registers: Sequence[Register]) -> tuple[Block, ...]:
    """Group registers into questions.

    Only neighbours without a hole share a question: a device may lack what lies between, and
    then refuses the whole block.  The order of the first register of each block is kept.
    """
    made: list[Block] = []
    for function in (3, 4):
        ordered = sorted((r for r in registers if r.function == function), key=lambda r: r.address)
        run: list[Register] = []
        for register in ordered:
            apart = register.destructive or (run and run[-1].destructive)
            if run and (
                apart or register.address != _end(run) or _end(run) + register.words - run[0].address > _MOST_REGISTERS
            ):
                made.append(_block(run))
                run = []
            run.append(register)
        if run:
            made.append(_block(run))
    rank = {id(register): index for index, register in enumerate(registers)}
    return tuple(sorted(made, key=lambda block: min(rank[id(r)] for _, r in block.registers)))


def _fits(run: Sequence[Register], register: Register) -> bool:
    if register.destructive or run[-1].destructive or register.address != _end(run):
        return False
    return _end(run) + register.words - run[0].address <= _MOST_REGISTERS


def _end(run: Sequence[Register]) -> int:
    return run[-1].address + run[-1].words


def _block(run: Sequence[Register]) -> Block:
    start = run[0].address
    return Block(run[0].function, start, _end(run) - start, tuple((r.address - start, r) for r in run))
