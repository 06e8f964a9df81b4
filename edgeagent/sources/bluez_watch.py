"""What bleak does not tell: which adapter has which address, and that BlueZ has gone away.

bleak names adapters hciN, numbers that change when one is unplugged, and picks one at random when
none is named; and it does not notice when bluetoothd leaves the bus: its scanner then hears
nothing for ever, without an error.  So one D-Bus connection of our own asks and watches.
May import: nothing of ours; dbus-fast (bleak's own D-Bus library).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType, Variant, unpack_variants
from dbus_fast.aio import MessageBus

__all__ = ["Adapter", "BluezWatch", "KnownDevice"]

_BLUEZ, _ADAPTER, _DEVICE = "org.bluez", "org.bluez.Adapter1", "org.bluez.Device1"
_OBJECTS, _PROPERTIES = "org.freedesktop.DBus.ObjectManager", "org.freedesktop.DBus.Properties"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_SYSTEMD = "org.freedesktop.systemd1"


@dataclass(frozen=True)
class Adapter:
    """A Bluetooth radio: `hci0`, its object path, its address in capitals, whether it is on."""

    name: str
    path: str
    address: str
    powered: bool


@dataclass(frozen=True)
class KnownDevice:
    """What BlueZ remembers of a device from before: old news, never a sighting."""

    address: str
    manufacturer_data: Mapping[int, bytes]
    service_data: Mapping[str, bytes]


class BluezWatch:
    """One connection to the system bus, from `open` to `close`.

    Its coroutines have no timeouts of their own: a D-Bus call may never be answered, so the
    caller sets a deadline.  They raise OSError, EOFError and dbus-fast's errors.
    """

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether bluetoothd, the watched adapter, its power or the bus itself went away."""
        return self._lost or self._bus is None or not self._bus.connected

    async def open(self) -> None:
        """Connect."""
        self._bus = MessageBus(bus_type=BusType.SYSTEM)
        await self._bus.connect()

    def close(self) -> None:
        """Let go of the connection; also after a failed `open`."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def look(self) -> tuple[Sequence[Adapter], Sequence[KnownDevice]]:
        """Every adapter that can scan (sorted by address) and every device BlueZ remembers."""
        body = await self._call(Message(_BLUEZ, "/", _OBJECTS, "GetManagedObjects"))
        adapters, devices = [], []
        for path, interfaces in unpack_variants(body[0]).items():
            if _ADAPTER in interfaces and "central" in interfaces[_ADAPTER].get("Roles", ("central",)):
                about = interfaces[_ADAPTER]
                adapters.append(Adapter(path.rpartition("/")[2], path, about["Address"].upper(), about["Powered"]))
            elif _DEVICE in interfaces:
                devices.append(_known(interfaces[_DEVICE]))
        return sorted(adapters, key=lambda adapter: adapter.address), devices

    async def watch(self, adapter: Adapter) -> None:
        """From now on `lost` tells whether this adapter is still there and on."""
        assert self._bus is not None
        self._bus.add_message_handler(self._on_message)
        for rule in (
            f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{_BLUEZ}'",
            f"type='signal',sender='{_BLUEZ}',member='InterfacesRemoved',arg0path='{adapter.path}'",
            f"type='signal',sender='{_BLUEZ}',member='PropertiesChanged',path='{adapter.path}'",
        ):
            await self._call(Message(_BUS, _BUS_PATH, _BUS, "AddMatch", signature="s", body=[rule]))

    async def power_cycle(self, adapter: Adapter) -> None:
        """Switch the radio off and on: what frees a discovery that is stuck in the kernel."""
        for on in (False, True):
            await self.power(adapter, on=on)

    async def power(self, adapter: Adapter, *, on: bool) -> None:
        """Switch the radio."""
        body = [_ADAPTER, "Powered", Variant("b", on)]
        await self._call(Message(_BLUEZ, adapter.path, _PROPERTIES, "Set", signature="ssv", body=body))

    async def restart_bluetoothd(self) -> None:
        """Ask systemd for it; a polkit rule must allow it (`hardware/bluetooth/`)."""
        body = ["bluetooth.service", "replace"]
        path, manager = "/org/freedesktop/systemd1", f"{_SYSTEMD}.Manager"
        await self._call(Message(_SYSTEMD, path, manager, "RestartUnit", signature="ss", body=body))

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged":
            self._lost = self._lost or message.body[1] != ""  # an owner left, whoever comes next
        elif message.member == "InterfacesRemoved":
            self._lost = self._lost or _ADAPTER in message.body[1]
        elif message.member == "PropertiesChanged" and "Powered" in message.body[1]:
            self._lost = self._lost or not message.body[1]["Powered"].value

    async def _call(self, message: Message) -> list[Any]:
        assert self._bus is not None
        reply = await self._bus.call(message)
        if reply is None or reply.message_type is MessageType.ERROR:
            name = (reply.error_name if reply else None) or f"{_BUS}.Error.NoReply"
            raise DBusError(name, " ".join(map(str, reply.body)) if reply else "", reply)
        return list(reply.body)


def _known(about: Mapping[str, Any]) -> KnownDevice:
    return KnownDevice(about.get("Address", ""), about.get("ManufacturerData", {}), about.get("ServiceData", {}))
