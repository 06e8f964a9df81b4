"""A virtual bluetoothd: `org.bluez` on a private D-Bus, so that the real bleak backend has a world.

It does what the scanner's side of BlueZ does, with BlueZ's types, and on demand what hurts there:
scripted errors, calls that never answer, adapters that vanish, two ways of reporting RSSI.

    python -m edgeagent.simulate.bluez --people 3      # a process that can be killed, like the real one

The bus is the one in DBUS_SYSTEM_BUS_ADDRESS, where bleak looks too; `simulate.private_bus` starts one.
D-Bus shapes: BlueZ doc/org.bluez.Adapter.rst and org.bluez.Device.rst.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from edgeagent.simulate.tags import Walk, crowd

__all__ = ["HANG", "VirtualBluez", "play"]

HANG: Final = "hang"
"""A scripted answer that never comes."""

_ADAPTER, _DEVICE = "org.bluez.Adapter1", "org.bluez.Device1"
_MONITORS = "org.bluez.AdvertisementMonitorManager1"
_SYSTEMD = "org.freedesktop.systemd1"
_OBJECTS, _PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"
_BUS = "org.freedesktop.DBus"
_ANSWERED = frozenset((_OBJECTS, _PROPERTIES, _ADAPTER, _MONITORS, f"{_SYSTEMD}.Manager"))
_SIGNALS_PER_ROUND_TRIP = 100
_NUDGE_S = 0.02
_LEAVE_S = 5.0

Properties = dict[str, Variant]


class VirtualBluez:
    """Adapters and devices on a bus, for as long as it is started.

    Args:
        rssi_step_db: 0 signals RSSI with every packet (BlueZ up to 5.87); 8 only changes of at
            least so much (later BlueZ, for filters that ask for neither RSSI nor path loss).
        experimental: offer passive scans, as BlueZ does when started so.

    Attributes:
        calls: every method call as (object path, member), oldest first, the last 1,000.
        restarts: how often systemd was asked to restart bluetooth.service, where `serve_systemd` was called.
    """

    def __init__(self, *, rssi_step_db: int = 0, experimental: bool = False) -> None:
        self.restarts = 0
        self._experimental = experimental
        self._deaf: dict[str, str] = {}  # adapter path -> what cures it
        self._monitors: dict[str, set[tuple[str, str]]] = {}  # adapter path -> (bus name, monitor path)
        self.calls: deque[tuple[str, str]] = deque(maxlen=1000)
        self._rssi_step_db = rssi_step_db
        self._objects: dict[str, dict[str, Properties]] = {}
        self._sessions: dict[str, set[str]] = {}  # adapter path -> bus names that discover on it
        self._wants_duplicates: dict[str, bool] = {}  # by bus name, from its discovery filter
        self._script: dict[str, list[str]] = {}
        self._bus: MessageBus | None = None
        self._unsettled = 0

    async def start(self) -> None:
        """Take the name `org.bluez` on the bus of DBUS_SYSTEM_BUS_ADDRESS."""
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._on_message)
        rule = f"type='signal',sender='{_BUS}',member='NameOwnerChanged'"
        await self._bus.call(Message(_BUS, f"/{_BUS.replace('.', '/')}", _BUS, "AddMatch", signature="s", body=[rule]))
        await self._bus.request_name("org.bluez")

    async def stop(self) -> None:
        """Leave the bus without a word, as a killed daemon does."""
        bus, self._bus = self._bus, None
        if bus is not None:
            # what is being written leaves first: dbus-fast would report it, from anywhere, when it is collected
            with contextlib.suppress(EOFError, OSError, TimeoutError):
                await asyncio.wait_for(bus.call(Message(_BUS, "/", f"{_BUS}.Peer", "Ping")), _NUDGE_S * 50)
            bus.disconnect()
            with contextlib.suppress(EOFError, TimeoutError):  # the bus itself went first
                await asyncio.wait_for(bus.wait_for_disconnect(), _LEAVE_S)  # type: ignore[no-untyped-call]  # dbus-fast left it untyped

    async def serve_systemd(self) -> None:
        """Answer for systemd too: a restart of bluetooth.service cures what only that cures."""
        assert self._bus is not None
        await self._bus.request_name(_SYSTEMD)

    def deafen(self, name: str, *, cure: str) -> None:
        """The adapter hears nobody and says nothing about it, until `Powered` off and on, or `RestartUnit`."""
        self._deaf[f"/org/bluez/{name}"] = cure

    async def forget(self, address: str, adapter: str = "hci0") -> None:
        """Drop a device that was not heard for half a minute, as BlueZ does."""
        path = f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
        if path in self._objects:
            self._remove(path)
            await self._settle()

    def script(self, member: str, *answers: str) -> None:
        """Let the next calls of `member` fail with these D-Bus error names (or HANG), in order."""
        self._script.setdefault(member, []).extend(answers)

    def add_adapter(self, name: str, address: str, *, powered: bool = True) -> None:
        """Plug an adapter in: `hci0`, `B8:27:EB:00:00:01`."""
        properties = {
            "Address": Variant("s", address),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central", "peripheral"]),
        }
        interfaces: dict[str, Properties] = {_ADAPTER: properties}
        if self._experimental:
            interfaces[_MONITORS] = {"SupportedMonitorTypes": Variant("as", ["or_patterns"])}
        self._add(f"/org/bluez/{name}", interfaces)

    def remove_adapter(self, name: str) -> None:
        """Pull an adapter out, with all it had heard."""
        path = f"/org/bluez/{name}"
        self._sessions.pop(path, None)
        self._monitors.pop(path, None)
        for gone in [p for p in self._objects if p.startswith(f"{path}/")]:
            self._remove(gone)
        self._remove(path)

    def power(self, name: str, *, on: bool) -> None:
        """Switch an adapter on or off, as rfkill does."""
        path = f"/org/bluez/{name}"
        self._power(path, on=on)
        self._show_discovering(path)

    def discovering(self, name: str = "hci0") -> bool:
        """Whether some client is scanning on the adapter."""
        return bool(self._sessions.get(f"/org/bluez/{name}") or self._monitors.get(f"/org/bluez/{name}"))

    async def advertise(
        self,
        address: str,
        rssi: int,
        *,
        manufacturer_data: Mapping[int, bytes] | None = None,
        service_data: Mapping[str, bytes] | None = None,
        adapter: str = "hci0",
    ) -> bool:
        """A device was heard.

        Returns:
            False when nobody scans: then nothing is signalled, like the real daemon.
        """
        sessions = self._sessions.get(f"/org/bluez/{adapter}", set())
        if not self.discovering(adapter) or f"/org/bluez/{adapter}" in self._deaf:
            return False
        path = f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
        data: Properties = {}
        if manufacturer_data:
            data["ManufacturerData"] = Variant("a{qv}", {k: Variant("ay", v) for k, v in manufacturer_data.items()})
        if service_data:
            data["ServiceData"] = Variant("a{sv}", {k: Variant("ay", v) for k, v in service_data.items()})
        if path not in self._objects:
            self._add(path, {_DEVICE: _new_device(address, adapter) | data | {"RSSI": Variant("n", rssi)}})
        else:
            duplicates = any(self._wants_duplicates.get(name, False) for name in sessions) or not sessions
            self._update(path, data, rssi, duplicates=duplicates)
        await self._settle()
        return True

    def _update(self, path: str, data: Properties, rssi: int, *, duplicates: bool) -> None:
        """Merge what was heard into what is known, and signal as much of it as BlueZ would."""
        known = self._objects[path][_DEVICE]
        changed: Properties = {}
        for name, variant in data.items():
            before = known[name].value if name in known else {}
            if duplicates or any(before.get(k) != v for k, v in variant.value.items()):
                changed[name] = Variant(variant.signature, {**before, **variant.value})
        if abs(rssi - known["RSSI"].value) >= self._rssi_step_db:
            changed["RSSI"] = Variant("n", rssi)
        known |= changed
        if changed:
            self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [_DEVICE, changed, []])

    def _on_message(self, message: Message) -> Message | bool | None:
        if self._bus is None:
            return True  # stopped while a batch of calls was being read: the dead do not answer
        if message.message_type is MessageType.SIGNAL and message.member == "NameOwnerChanged":
            name, _, owner = message.body
            if not owner:
                self._forget(name)
            return None
        if message.message_type is not MessageType.METHOD_CALL or message.interface not in _ANSWERED:
            return None
        member, path = message.member or "", message.path or ""
        self.calls.append((path, member))
        scripted = self._script.get(member)
        if scripted:
            answer = scripted.pop(0)
            return True if answer == HANG else Message.new_error(message, answer, "scripted")
        if member == "RestartUnit":
            return self._restart(message)
        if message.interface == _MONITORS and path in self._objects:
            return self._monitor(message, path, (message.sender or "", message.body[0]))
        return self._answer(message, member, path)

    def _restart(self, message: Message) -> Message:
        """As systemd does: the daemon forgets all that its clients asked for."""
        self.restarts += 1
        for held in (self._deaf, self._monitors, self._sessions):
            held.clear()
        for path in [p for p, interfaces in self._objects.items() if _ADAPTER in interfaces]:
            self._show_discovering(path)
        return Message.new_method_return(message, "o", ["/org/freedesktop/systemd1/job/1"])

    def _answer(self, message: Message, member: str, path: str) -> Message:
        if member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])
        adapter = self._objects.get(path, {}).get(_ADAPTER)
        if adapter is None:
            return Message.new_error(message, f"{_BUS}.Error.UnknownObject", f"no object {path}")
        sender = message.sender or ""
        if member == "Set" and message.body[1] == "Powered":
            self._power(path, on=message.body[2].value)
        elif member == "SetDiscoveryFilter":
            wanted = message.body[0].get("DuplicateData")
            self._wants_duplicates[sender] = bool(wanted and wanted.value)
        elif member == "StartDiscovery":
            if not adapter["Powered"].value:
                return Message.new_error(message, "org.bluez.Error.NotReady", "Resource Not Ready")
            if sender in self._sessions.get(path, ()):
                return Message.new_error(message, "org.bluez.Error.InProgress", "Operation already in progress")
            self._sessions.setdefault(path, set()).add(sender)
        elif member == "StopDiscovery":
            if sender not in self._sessions.get(path, ()):
                return Message.new_error(message, "org.bluez.Error.Failed", "No discovery started")
            self._sessions[path].remove(sender)
        self._show_discovering(path)
        return Message.new_method_return(message)

    def _monitor(self, message: Message, path: str, monitor: tuple[str, str]) -> Message:
        """A passive scan begins or ends."""
        if _MONITORS not in self._objects[path]:
            return Message.new_error(message, f"{_BUS}.Error.UnknownMethod", f"no method {message.member}")
        of_adapter = self._monitors.setdefault(path, set())
        of_adapter.add(monitor) if message.member == "RegisterMonitor" else of_adapter.discard(monitor)
        return Message.new_method_return(message)

    def _power(self, path: str, *, on: bool) -> None:
        self._objects[path][_ADAPTER]["Powered"] = Variant("b", on)
        if not on:
            self._sessions.pop(path, None)
            self._monitors.pop(path, None)
            if self._deaf.get(path) == "Powered":
                del self._deaf[path]
        self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [_ADAPTER, {"Powered": Variant("b", on)}, []])

    def _forget(self, name: str) -> None:
        """A client left the bus; BlueZ ends its discovery."""
        self._wants_duplicates.pop(name, None)
        for monitors in self._monitors.values():
            monitors -= {one for one in monitors if one[0] == name}
        for path, sessions in self._sessions.items():
            if name in sessions:
                sessions.remove(name)
                self._show_discovering(path)

    def _show_discovering(self, path: str) -> None:
        adapter, now = self._objects[path][_ADAPTER], bool(self._sessions.get(path))
        if adapter["Discovering"].value != now:
            adapter["Discovering"] = Variant("b", now)
            changed = {"Discovering": adapter["Discovering"]}
            self._signal(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [_ADAPTER, changed, []])

    def _add(self, path: str, interfaces: dict[str, Properties]) -> None:
        self._objects[path] = interfaces
        self._signal("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _remove(self, path: str) -> None:
        interfaces = list(self._objects.pop(path))
        self._signal("/", _OBJECTS, "InterfacesRemoved", "oas", [path, interfaces])

    def _signal(self, path: str, interface: str, member: str, signature: str, body: Sequence[object]) -> None:
        if self._bus is not None:
            self._unsettled += 1
            sent = self._bus.send(Message.new_signal(path, interface, member, signature, list(body)))
            sent.add_done_callback(_forgive)

    async def _settle(self) -> None:
        # dbus-fast's writer takes a full socket for a dead bus.  The bus daemon reads in order, so
        # its answer to one call proves that everything sent before has left the socket.
        if self._unsettled >= _SIGNALS_PER_ROUND_TRIP and self._bus is not None:
            self._unsettled = 0
            await self._bus.call(Message(_BUS, "/", f"{_BUS}.Peer", "Ping"))


def _forgive(sent: asyncio.Future[None]) -> None:
    """A signal into a bus that has ended is lost, as it should be."""
    if not sent.cancelled():
        sent.exception()


def _new_device(address: str, adapter: str) -> Properties:
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Alias": Variant("s", address.replace(":", "-")),
        "Adapter": Variant("o", f"/org/bluez/{adapter}"),
        "Paired": Variant("b", False),
        "Connected": Variant("b", False),
    }


async def play(bluez: VirtualBluez, walk: Walk) -> None:
    """Let the people of a walk pass by, in real time, until the last frame was sent."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for frame in walk.frames():
        wait = started + frame.at_s - loop.time()
        if wait > _NUDGE_S:
            await asyncio.sleep(wait)
        await bluez.advertise(
            frame.address, frame.rssi, manufacturer_data=frame.manufacturer_data, service_data=frame.service_data
        )


async def _serve(options: argparse.Namespace) -> None:
    bluez = VirtualBluez(rssi_step_db=options.rssi_step)
    await bluez.start()
    bluez.add_adapter("hci0", options.adapter)
    ended = asyncio.Event()
    for order in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(order, ended.set)
    sys.stdout.write(f"org.bluez is up, adapter {options.adapter}\n")
    sys.stdout.flush()
    player = asyncio.create_task(play(bluez, crowd(options.people, seconds=options.seconds, seed=options.seed)))
    await ended.wait()
    player.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await player
    await bluez.stop()


def main() -> None:
    """Serve until SIGTERM: one adapter, people with tags walking by."""
    parser = argparse.ArgumentParser(prog="python -m edgeagent.simulate.bluez", description=main.__doc__)
    parser.add_argument("--adapter", default="B8:27:EB:00:00:01", help="address of the adapter")
    parser.add_argument("--people", type=int, default=3, help="how many tags walk by")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the walk lasts")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another crowd")
    parser.add_argument("--rssi-step", type=int, default=0, help="8: signal RSSI as BlueZ after 5.87 does")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
