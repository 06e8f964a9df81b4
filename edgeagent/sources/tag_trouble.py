"""What bleak, D-Bus and the operating system raise -> our errors, named for what can be done.

`FOREIGN` is what may come through the door; anything else is a bug of ours and is not caught.
"""

from __future__ import annotations

from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import AuthError, DBusError, InvalidAddressError

from edgeagent.errors import SourceUnavailable

__all__ = ["FOREIGN", "ours"]

FOREIGN = (BleakError, DBusError, AuthError, InvalidAddressError, OSError, EOFError, TimeoutError, AssertionError)
"""TimeoutError is our deadline; EOFError and bleak's bare assertions are a bus that died under it."""

_BY_NAME = {
    "org.bluez.Error.InProgress": "tags.busy",
    "org.bluez.Error.NotReady": "tags.not-ready",
    "org.bluez.Error.NotAuthorized": "tags.denied",
    "org.bluez.Error.NotPermitted": "tags.denied",
    "org.freedesktop.DBus.Error.AccessDenied": "tags.denied",
    "org.freedesktop.DBus.Error.ServiceUnknown": "tags.no-bluetoothd",
    "org.freedesktop.DBus.Error.NameHasNoOwner": "tags.no-bluetoothd",
    "org.freedesktop.DBus.Error.UnknownObject": "tags.lost",
}


def ours(error: BaseException, source: str, doing: str, waited_s: float) -> SourceUnavailable:
    """The error to raise in place of a foreign one.

    Args:
        error: one of FOREIGN.
        source: id of the source.
        doing: the D-Bus call that was under way.
        waited_s: the deadline that a TimeoutError means, in seconds.
    """
    if isinstance(error, TimeoutError):  # before OSError, which it is a kind of
        return SourceUnavailable("tags.hung", source=source, call=doing, seconds=waited_s)
    if isinstance(error, BleakDBusError):
        return _by_name(error.dbus_error, source, str(error))
    if isinstance(error, DBusError):
        return _by_name(error.type, source, error.text)
    if isinstance(error, AuthError):
        return SourceUnavailable("tags.denied", source=source, why=str(error))
    if isinstance(error, BleakBluetoothNotAvailableError):
        return SourceUnavailable("tags.scan-failed", source=source, why=str(error.args[0]))
    if isinstance(error, OSError | EOFError | InvalidAddressError):
        return SourceUnavailable("tags.no-bus", source=source, why=str(error) or type(error).__name__)
    return SourceUnavailable("tags.scan-failed", source=source, why=str(error) or type(error).__name__)


def _by_name(name: str, source: str, why: str) -> SourceUnavailable:
    return SourceUnavailable(_BY_NAME.get(name, "tags.scan-failed"), source=source, why=f"{name} {why}".strip())
