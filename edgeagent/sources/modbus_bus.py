"""One Modbus bus: the port, its one open question, and whether the answer may be believed.

pymodbus keeps the connection, writes the frames and waits; what comes in is judged by
`wire.rtu` and `wire.mbap` before pymodbus sees it, through a framer of ours.  Stock pymodbus 3.16
takes a wrong function, a wrong count and a late answer for good data, without an error.

A question is never cancelled while the port stays open: whoever is cancelled here closes it.
May import: wire errors clock, pymodbus.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import random
import termios
from dataclasses import dataclass
from typing import Any

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse

from edgeagent.clock import Clock
from edgeagent.errors import FrameError, SourceUnavailable
from edgeagent.sources.serial_port import explain, possible_frame
from edgeagent.wire.mbap import Stream
from edgeagent.wire.rtu import Answer, Line, Refusal, Request, encode, gap_s, question, wire_s

__all__ = ["Bus", "RtuBus", "SerialLine", "TcpBus"]

_CONNECT_S = 3.0
_BABBLE_S = 3.0  # a line that is never quiet for so long is noise, not a conversation
_BEHIND_S = 0.3  # and behind an answer: what is said in its time must still be true
_NEVER = 1_000_000_000  # pymodbus hangs up after so many silent units in a row; we decide that
_HOLDING = 3
_IDS = 0xFFFF


@dataclass(frozen=True)
class SerialLine:
    """A serial port and how it is set: bits per second, and e.g. `8E1`."""

    port: str
    baud: int
    frame: str


class _RtuFramer(FramerRTU):
    """pymodbus' RTU framer, with our judge at its door."""

    def __init__(self, line: Line, clock: Clock) -> None:
        super().__init__(DecodePDU(False))
        self._line = line
        self._clock = clock

    def buildFrame(self, message: ModbusPDU) -> bytes:  # noqa: N802  pymodbus' name
        """The question as bytes.  Anything but a read stops here, whoever asks."""
        request = Request(message.dev_id, message.function_code, message.address, message.count)
        frame = encode(request)
        self._line.sent(request, self._clock.mono())
        return frame

    def handleFrame(  # noqa: N802  pymodbus' name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """Bytes came in: all are taken over by our judge, so pymodbus keeps none."""
        found = self._line.received(data, self._clock.mono())
        return len(data), None if found is None else _as_pdu(found, exp_devid, exp_tid)


class _TcpFramer(FramerSocket):
    """pymodbus' MBAP framer, with our judge at its door."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(DecodePDU(False))
        self._stream = stream
        self.found: Answer | Refusal | None = None

    def buildFrame(self, message: ModbusPDU) -> bytes:  # noqa: N802  pymodbus' name
        """The question as bytes.  Anything but a read stops here, whoever asks."""
        request = Request(message.dev_id, message.function_code, message.address, message.count)
        body = question(request)[1:]
        self.found = None
        self._stream.sent(request, message.transaction_id)
        return self.encode(body, message.dev_id, message.transaction_id)

    def handleFrame(  # noqa: N802  pymodbus' name
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """Bytes came in: all are taken over by our judge, so pymodbus keeps none."""
        found = self._stream.received(data)
        if found is not None:
            self.found = found
            return len(data), _as_pdu(found, exp_devid, exp_tid)
        if self._stream.broken:  # no use in waiting for the timeout; the bus asks the stream
            return len(data), ExceptionResponse(_HOLDING, 0, device_id=exp_devid, transaction=exp_tid)
        return len(data), None


class Bus(abc.ABC):
    """What both kinds of bus share: one client, one question at a time.

    Attributes:
        name: port or address, for messages.
        patience: silent polls in a row of every gauge on it before it is opened again.
    """

    name: str
    patience = 5
    _client: AsyncModbusSerialClient | AsyncModbusTcpClient | None = None

    async def open(self) -> None:
        """Open the port or connection.

        Raises:
            SourceUnavailable: with the reason and the remedy.
        """
        # its errors repeat what our counters say, once per poll of a dead unit
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
        self.close()
        client = self._make_client()
        client.set_max_no_responses(_NEVER)
        self._client = client
        try:
            connected = await client.connect()
        except (ValueError, termios.error):  # pymodbus catches only OSError here
            connected = False
        _stop_if_cancelled()
        if not connected:
            self.close()
            raise self._why_not()
        self._opened()

    def close(self) -> None:
        """Let go of the port, and of whatever question was open on it."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @abc.abstractmethod
    async def ask(self, request: Request, timeout_s: float, *, once: bool = False) -> Answer:
        """Ask one unit; at most one call may be open at a time.

        Args:
            request: a read.
            timeout_s: how long the device may take, the time on the wire not counted.
            once: the question may go out once only; an answer that would have to be asked for again to
                be believed is refused.

        Raises:
            FrameError: no believable answer (gauges.timeout, crc, wrong-unit, …), or the unit's
                own refusal (gauges.exception-N).
            SourceUnavailable: the port or connection is gone.
        """

    @abc.abstractmethod
    def may_ask_at(self, unit: int) -> float:
        """When this unit may be asked at the earliest, in seconds of the clock."""

    @property
    @abc.abstractmethod
    def dropped(self) -> dict[str, int]:
        """What was heard and not believed, by kind."""

    @abc.abstractmethod
    def _make_client(self) -> AsyncModbusSerialClient | AsyncModbusTcpClient: ...

    @abc.abstractmethod
    def _why_not(self) -> SourceUnavailable: ...

    @abc.abstractmethod
    def _opened(self) -> None: ...

    @abc.abstractmethod
    def _lost(self) -> SourceUnavailable: ...

    async def _exchange(self, request: Request, timeout_s: float) -> None:
        """Send one question and wait until an answer was found or the timeout ran out."""
        question(request)  # anything but a read stops here
        client = self._client
        if client is None or not client.connected:
            raise self._lost()
        client.ctx.comm_params.timeout_connect = timeout_s
        read = client.read_holding_registers if request.function == _HOLDING else client.read_input_registers
        try:
            await read(request.address, count=request.words, device_id=request.unit)
        except (ModbusException, OSError) as error:
            _stop_if_cancelled()
            if not client.connected:
                raise self._lost() from error
        _stop_if_cancelled()

    def _refused(self, request: Request, found: Refusal) -> FrameError:
        known = found.code if found.code in (1, 2, 3, 4, 5, 6, 10, 11) else "other"
        return FrameError(f"gauges.exception-{known}", **self._facts(request), number=found.code)

    def _facts(self, request: Request) -> dict[str, Any]:
        return {"bus": self.name, "unit": request.unit, "address": request.address, "count": request.words}


class RtuBus(Bus):
    """An RS-485 line.

    Args:
        serial: the port and its settings.
        late_s: the longest that any instrument on it lags behind with an owed answer.
        clock: for silence and quarantine.
    """

    def __init__(self, serial: SerialLine, *, late_s: float, clock: Clock) -> None:
        self.name = serial.port
        self._serial = serial
        self._clock = clock
        self._line = Line(gap_s=gap_s(serial.baud, serial.frame), late_s=late_s)
        self._framer = _RtuFramer(self._line, clock)

    async def ask(self, request: Request, timeout_s: float, *, once: bool = False) -> Answer:
        """See `Bus.ask`; asks twice when the unit is not known to be in step, or the answer may be an older one."""
        again = not self._line.in_step(request.unit)
        if once and again:
            raise FrameError("gauges.not-in-step", **self._facts(request))
        answer, doubt = await self._ask_once(request, timeout_s)
        if once and doubt:
            raise FrameError("gauges.two-answers", **self._facts(request))
        if again or doubt:
            first, (answer, doubt) = answer, await self._ask_once(request, timeout_s)
            if doubt == "repeat" and answer.raw != first.raw:
                raise FrameError("gauges.two-answers", **self._facts(request))
        return answer

    def may_ask_at(self, unit: int) -> float:
        """See `Bus.may_ask_at`: silence on the line, and the unit's quarantine."""
        return self._line.ready_at(unit)

    @property
    def dropped(self) -> dict[str, int]:
        """See `Bus.dropped`."""
        return dict(self._line.dropped)

    async def _ask_once(self, request: Request, timeout_s: float) -> tuple[Answer, str]:
        await self._until_quiet(request)
        timeout_s += 2 * wire_s(request, self._serial.baud, self._serial.frame)
        await self._exchange(request, timeout_s)
        if self._line.answer is not None:
            await self._until_quiet(request, _BEHIND_S)  # rule 3: a second answer may follow
        found, doubt = self._line.answer, self._line.doubt
        if found is None or self._line.contradicted:
            why = self._line.gave_up(self._clock.mono())
            raise FrameError(f"gauges.{why}", **self._facts(request), timeout_s=round(timeout_s, 2))
        self._line.agreed(request.unit)
        if isinstance(found, Refusal):
            raise self._refused(request, found)
        return found, doubt

    async def _until_quiet(self, request: Request, at_most_s: float | None = None) -> None:
        """Wait for silence.  At least one turn of the loop, so that what lies in the port is heard."""
        at_most_s = _BABBLE_S if at_most_s is None else at_most_s
        waited_from = self._clock.mono()
        wait_s = 0.0
        while True:
            await asyncio.sleep(wait_s)
            now = self._clock.mono()
            wait_s = self._line.quiet_at() - now
            if wait_s <= 0:
                return
            if now - waited_from > at_most_s:
                self._line.gave_up(now)
                raise FrameError("gauges.babble", **self._facts(request))

    def _make_client(self) -> AsyncModbusSerialClient:
        frame = possible_frame(self._serial.port, self._serial.frame)
        client = AsyncModbusSerialClient(
            self._serial.port,
            baudrate=self._serial.baud,
            bytesize=int(frame[0]),
            parity=frame[1],
            stopbits=int(frame[2]),
            timeout=_CONNECT_S,
            retries=0,
            reconnect_delay=0,
        )
        client.ctx.framer = self._framer
        return client

    def _why_not(self) -> SourceUnavailable:
        return explain(self._serial.port)

    def _opened(self) -> None:
        self._line.opened(self._clock.mono())

    def _lost(self) -> SourceUnavailable:
        return SourceUnavailable("gauges.unplugged", port=self._serial.port)


class TcpBus(Bus):
    """A Modbus TCP device or gateway."""

    patience = 2  # a peer that was switched off leaves a connection that looks alive for minutes

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port = host, port
        self._stream = Stream()
        self._stream.transaction = random.randrange(_IDS)  # noqa: S311  not a secret, only another one than before
        self._framer = _TcpFramer(self._stream)

    async def ask(self, request: Request, timeout_s: float, *, once: bool = False) -> Answer:  # noqa: ARG002
        """See `Bus.ask`; asks once in any case, over a connection that is opened again if it was closed."""
        if self._client is None or not self._client.connected:
            await self.open()  # many gateways close what was idle for some seconds
        await self._exchange(request, timeout_s)
        found = self._framer.found
        if isinstance(found, Answer):
            return found
        if found is not None:
            raise self._refused(request, found)
        why = self._stream.gave_up()
        error = FrameError(f"gauges.{why}", **self._facts(request), timeout_s=round(timeout_s, 2))
        if self._stream.broken:
            raise SourceUnavailable("gauges.tcp-out-of-step", bus=self.name) from error
        raise error

    def may_ask_at(self, unit: int) -> float:  # noqa: ARG002  transaction ids make waiting needless
        """See `Bus.may_ask_at`."""
        return 0.0

    @property
    def dropped(self) -> dict[str, int]:
        """See `Bus.dropped`."""
        return dict(self._stream.dropped)

    def _make_client(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(self._host, port=self._port, timeout=_CONNECT_S, retries=0, reconnect_delay=0)
        client.ctx.framer = self._framer
        return client

    def _why_not(self) -> SourceUnavailable:
        return SourceUnavailable("gauges.tcp-no-connection", bus=self.name)

    def _opened(self) -> None:
        self._stream.opened()
        if self._client is not None:
            self._client.ctx.next_tid = self._stream.transaction

    def _lost(self) -> SourceUnavailable:
        return SourceUnavailable("gauges.tcp-lost", bus=self.name)


def _stop_if_cancelled() -> None:
    """Cancel the present task once more, if it was cancelled and did not notice.

    pymodbus waits with `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that
    comes in the same turn of the loop as the answer; the daemon would then never stop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _as_pdu(found: Answer | Refusal, unit: int, transaction: int) -> ModbusPDU:
    """What pymodbus wants to see, so that its waiting ends; nobody reads numbers from it."""
    if isinstance(found, Refusal):
        return ExceptionResponse(_HOLDING, found.code, device_id=unit, transaction=transaction)
    return ReadHoldingRegistersResponse(dev_id=unit, transaction_id=transaction, registers=found.registers)
