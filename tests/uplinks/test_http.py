"""The connection under the HTTP uplinks."""

import socket

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import UplinkUnavailable
from edgeagent.uplinks.http import Door, Endpoint
from edgeagent.uplinks.meter import Meter

BODY = b"x" * 8_000_000  # more than both kernels hold for a receiver that does not read


def test_a_request_that_was_given_up_does_not_arrive_later(tmp_path):
    """Else an old value would be written over a newer one, when the line is back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = Door(url=f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.5)
        endpoint = Endpoint(door, SystemClock(), tmp_path, Meter())
        with pytest.raises(UplinkUnavailable):
            endpoint.post("/", {}, BODY)
        line, _ = server.accept()
        with line:
            line.settimeout(10)
            with pytest.raises(ConnectionResetError):
                read_all(line)


def read_all(line):
    while line.recv(1 << 20):
        pass
