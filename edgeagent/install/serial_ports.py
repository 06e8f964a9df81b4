"""Which serial ports there are, what they will still be called tomorrow, and who holds them.

`ttyUSB0` is another adapter after the next boot.  An adapter with a serial number of its own has a
lasting name under /dev/serial/by-id; one without (CH340, cheap CP2102: all of them look alike) has
only its place, /dev/serial/by-path, so it must stay in its socket.  Nothing is opened here: opening
a port moves its control lines, and some gauges restart by that.

Source of the layout: Linux, Documentation/ABI/stable/sysfs-bus-usb; systemd 60-serial.rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

__all__ = ["Holder", "Port", "links", "ports", "twins", "usb_device"]

_ADAPTERS = re.compile(r"tty(USB|ACM|AMA|THS|mxc|S)\d+")
_UNKNOWN_UART = "0"  # the kernel reserves ttyS0..3 whether the chip is there or not


class Holder(msgspec.Struct, frozen=True):
    """A process that has the port open."""

    pid: int
    program: str


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One serial port.

    Attributes:
        name: what to write into the config.
        device: what the kernel calls it today.
        by_id, by_path: its lasting names, "" where it has none.
        product: what the adapter says it is.
        usb: vendor and product number, "" for a port on the board.
        serial_number: of the adapter, "" where it has none.
        holders: who has it open, as far as this user may see.
        notes: codes of the message area `install`: what a person must know about it.
    """

    name: str
    device: str
    by_id: str = ""
    by_path: str = ""
    product: str = ""
    usb: str = ""
    serial_number: str = ""
    holders: tuple[Holder, ...] = ()
    notes: tuple[str, ...] = ()


def ports(*, dev: Path = Path("/dev"), sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> list[Port]:
    """Every serial port, those with a lasting name first."""
    ids, paths = links(dev / "serial/by-id"), links(dev / "serial/by-path")
    holders, all_seen = _holders(dev, proc)
    console = _read(sys / "class/tty/console/active").split()
    found = []
    for node in sorted((sys / "class/tty").glob("*")):
        if not _ADAPTERS.fullmatch(node.name) or not (node / "device").exists():
            continue
        if _read(node / "type") == _UNKNOWN_UART:
            continue
        name, who = node.name, holders.get(node.name, ())
        notes = ["install.console-on-port"] if name in console else []
        notes += ["install.holders-hidden"] if not who and not all_seen else []
        by_id, by_path = ids.get(name, ""), paths.get(name, "")
        found.append(_port(node, str(dev / name), by_id=by_id, by_path=by_path, holders=who, notes=notes))
    return sorted(found, key=lambda port: (not port.by_id, port.device))


def twins(found: Sequence[Port]) -> list[tuple[Port, ...]]:
    """Groups of adapters that only their sockets tell apart: the same kind, and no serial number."""
    alike: dict[tuple[str, str], list[Port]] = {}
    for port in found:
        if port.usb and not port.serial_number:
            alike.setdefault((port.usb, port.product), []).append(port)
    return [tuple(group) for group in alike.values() if len(group) > 1]


def _port(node: Path, device: str, *, by_id: str, by_path: str, holders: tuple[Holder, ...], notes: list[str]) -> Port:
    about = usb_device(node / "device")
    if about is None:
        name = by_path or device
    elif about["serial"]:
        name = by_id or by_path or device
    else:
        name = by_path or device
        notes.insert(0, "install.no-serial-number")
    return Port(
        name=name,
        device=device,
        by_id=by_id,
        by_path=by_path,
        product="" if about is None else " ".join(filter(None, (about["manufacturer"], about["product"]))),
        usb="" if about is None else f"{about['idVendor']}:{about['idProduct']}",
        serial_number="" if about is None else about["serial"],
        holders=holders,
        notes=tuple(notes),
    )


def usb_device(device: Path) -> dict[str, str] | None:
    """The USB device a node of sysfs belongs to, found by walking up to the folder that has an idVendor."""
    here = device.resolve()
    for folder in (here, *here.parents):
        if (folder / "idVendor").is_file():
            return {n: _read(folder / n) for n in ("idVendor", "idProduct", "manufacturer", "product", "serial")}
    return None


def links(folder: Path) -> dict[str, str]:
    """Device name -> a link of this folder that leads to it."""
    return {link.resolve().name: str(link) for link in sorted(folder.glob("*"), reverse=True)}


def _holders(dev: Path, proc: Path) -> tuple[dict[str, tuple[Holder, ...]], bool]:
    """Device name -> who has it open; and whether every process could be looked into."""
    made: dict[str, set[Holder]] = {}
    all_seen = True
    for process in proc.glob("[0-9]*"):
        try:
            handles = list((process / "fd").iterdir())
        except PermissionError:
            all_seen = False
            continue
        except OSError:  # it ended meanwhile
            continue
        for handle in handles:
            try:
                target = handle.readlink()
            except OSError:
                continue
            if target.parent == dev and _ADAPTERS.fullmatch(target.name):
                made.setdefault(target.name, set()).add(Holder(int(process.name), _read(process / "comm")))
    return {name: tuple(sorted(who, key=lambda h: h.pid)) for name, who in made.items()}, all_seen


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
