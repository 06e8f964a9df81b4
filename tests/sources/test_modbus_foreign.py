"""The same gauges against a slave that others wrote (uModbus), and our slave against others' masters."""

import contextlib
import socketserver
import threading

import minimalmodbus
import pytest
from umodbus.server.serial import get_server as get_serial_server
from umodbus.server.serial.rtu import RTUServer
from umodbus.server.tcp import RequestHandler
from umodbus.server.tcp import get_server as get_tcp_server

from edgeagent.clock import SystemClock
from edgeagent.errors import FrameError
from edgeagent.simulate.modbus_slave import ModbusSlave, registers_from
from edgeagent.simulate.pty_line import PtyLine
from edgeagent.sources.modbus_bus import RtuBus, SerialLine, TcpBus
from edgeagent.wire.registers import number
from edgeagent.wire.rtu import Request

LEVEL = 0x20


class FarEnd:
    """The device's side of a pty, as uModbus wants a serial port to look."""

    baudrate = 9600

    def __init__(self):
        self.line = PtyLine()
        self.timeout = self.inter_byte_timeout = 0.05

    def read(self, _size):
        return self.line.read(0.05)

    def write(self, data):
        self.line.write(data)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


def fill(server):
    """Units 1 and 2: address -> address x 10 + unit, for holding (3) and input (4) registers."""

    @server.route(slave_ids=[1, 2], function_codes=[3, 4], addresses=list(range(200)))
    def held(slave_id, function_code, address):
        return address * 10 + slave_id


@contextlib.contextmanager
def rtu():
    port = FarEnd()
    server = get_serial_server(RTUServer, port)
    fill(server)
    thread = threading.Thread(target=server.serve_forever, name="umodbus-rtu")
    thread.start()
    try:
        yield RtuBus(SerialLine(port.line.path, 9600, "8N1"), late_s=0.2, clock=SystemClock())
    finally:
        server._shutdown_request = True
        thread.join(timeout=5)
        port.line.unplug()


@contextlib.contextmanager
def tcp():
    server = get_tcp_server(TcpServer, ("127.0.0.1", 0), RequestHandler)
    fill(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="umodbus-tcp")
    thread.start()
    try:
        yield TcpBus("127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@pytest.mark.parametrize("foreign", [rtu, tcp])
async def test_a_foreign_slave(foreign):
    with foreign() as bus:
        await bus.open()
        for unit in (1, 2, 1):
            for function in (3, 4):
                for address, count in ((LEVEL, 1), (100, 2), (0, 125)):
                    answer = await bus.ask(Request(unit, function, address, count), 1.0)
                    assert answer.registers == tuple(a * 10 + unit for a in range(address, address + count))
        with pytest.raises(FrameError, match="exception-2"):
            await bus.ask(Request(1, 3, 199, 2), 1.0)
        assert (await bus.ask(Request(2, 3, 5, 1), 1.0)).registers == (52,)
        bus.close()


def test_a_foreign_master_reads_our_slave():
    float_words = {100: 0x4016, 101: 0x147B}
    with ModbusSlave({7: registers_from({LEVEL: 1234} | float_words)}) as slave:
        master = minimalmodbus.Instrument(slave.path, 7)
        master.serial.baudrate, master.serial.timeout = 9600, 1.0
        try:
            assert master.read_register(LEVEL) == 1234
            assert master.read_register(LEVEL, functioncode=4) == 1234
            assert master.read_float(100) == pytest.approx(2.345)
            assert master.read_float(100) == pytest.approx(number("f32", "ABCD", [0x4016, 0x147B]))
            with pytest.raises(minimalmodbus.IllegalRequestError):
                master.read_register(500)
            with pytest.raises(minimalmodbus.IllegalRequestError):
                master.write_register(LEVEL, 1)
        finally:
            master.serial.close()
    assert [h.values for h in slave.held][:2] == [(1234,), (1234,)]
