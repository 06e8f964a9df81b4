"""Which cameras there are, what they will still be called tomorrow, and whether pictures come out of them.

`/dev/video0` is another camera after the next boot, so what is named here is a link of /dev/v4l: by-id where the
camera has a serial number of its own, by-path where it has none and a second one would look the same.  A device is
asked what it can do by one ioctl; pictures are taken in a process of its own (`camera_scan_probe`), because OpenCV
can hang in a read and must not enter the one that runs this.

Sources: Linux, Documentation/userspace-api/media/v4l/vidioc-querycap.rst; systemd 60-persistent-v4l.rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgeagent.errors import ConfigError, SourceUnavailable
from edgeagent.install.serial_ports import links, usb_device
from edgeagent.sources.camera_messages import without_password

__all__ = ["SCHEMES", "Camera", "Capability", "Shown", "address_problem", "cameras", "capability", "look"]

SCHEMES = ("rtsp", "rtsps", "http", "https", "tcp", "udp", "rtmp", "srt")
_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
_CAPABILITY = struct.Struct("16s32s32sIII12x")
_HAS_DEVICE_CAPS, _CAPTURES = 0x8000_0000, 0x0000_0001
_CSI = ("unicam", "rp1-cfe", "bcm2835-isp", "pispbe")  # feed libcamera; OpenCV's V4L2 gets no picture out of them
_LIMIT_S, _LOOK_S = 25.0, 2.0
_PROBE = "edgeagent.install.camera_scan_probe"

Progress = Callable[[str, float, float], None]
"""(camera, seconds so far, seconds at most)"""


class Capability(msgspec.Struct, frozen=True):
    """What a device says of itself: kernel driver, name, bus, and whether it gives pictures."""

    driver: str
    card: str
    bus: str
    captures: bool


class Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A device that gives pictures.

    Attributes:
        name: what to write into the config.
        device: what the kernel calls it today.
        by_id, by_path: its lasting names, "" where it has none.
        card, driver: as the device says.
        serial_number: of the camera, "" where it has none.
        notes: codes of the message area `scan`: what a person must know about it.
    """

    name: str
    device: str
    by_id: str = ""
    by_path: str = ""
    card: str = ""
    driver: str = ""
    serial_number: str = ""
    notes: tuple[str, ...] = ()


class Shown(msgspec.Struct, frozen=True):
    """The pictures that came: size in pixels, how many a second, how many were taken."""

    width: int
    height: int
    fps: float
    pictures: int


class _Said(msgspec.Struct, frozen=True):
    """The probe's answer: pictures, or an error of ours by code and facts."""

    shown: Shown | None = None
    code: str = ""
    facts: dict[str, str] = {}


def capability(device: str) -> Capability | None:
    """Ask a device what it can do; None where it is no video device or may not be asked."""
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = bytearray(_CAPABILITY.size)
        fcntl.ioctl(handle, _QUERYCAP, answer)
    except OSError:
        return None
    finally:
        os.close(handle)
    driver, card, bus, _version, all_of_it, of_this_node = _CAPABILITY.unpack(answer)
    flags = of_this_node if all_of_it & _HAS_DEVICE_CAPS else all_of_it
    return Capability(_text(driver), _text(card), _text(bus), bool(flags & _CAPTURES))


def cameras(
    *,
    dev: Path = Path("/dev"),
    sys: Path = Path("/sys"),
    ask: Callable[[str], Capability | None] = capability,
) -> list[Camera]:
    """Every device that gives pictures, by its lasting name; a camera's second node (metadata) is left out."""
    ids, paths = links(dev / "v4l/by-id"), links(dev / "v4l/by-path")
    found = []
    for node in sorted(dev.glob("video[0-9]*"), key=lambda one: int(one.name.removeprefix("video"))):
        about = ask(str(node))
        if about is None or not about.captures:
            continue
        usb = usb_device(sys / "class/video4linux" / node.name / "device")
        serial = usb["serial"] if usb else ""
        by_id, by_path = ids.get(node.name, ""), paths.get(node.name, "")
        notes = ["scan.camera-no-serial"] if usb is not None and not serial else []
        notes += ["scan.camera-csi"] if about.driver in _CSI else []
        found.append(
            Camera(
                name=(by_id if serial else by_path) or by_path or by_id or str(node),
                device=str(node),
                by_id=by_id,
                by_path=by_path,
                card=about.card,
                driver=about.driver,
                serial_number=serial,
                notes=tuple(notes),
            )
        )
    return found


def address_problem(camera: str, path: str) -> ConfigError | None:
    """Whether this can be a camera: a URL of a kind that FFmpeg opens, a device, a file.

    Args:
        camera: as it was typed.
        path: where it stands, for the message.
    """
    scheme, sign, rest = camera.partition("://")
    if sign and (scheme.lower() not in SCHEMES or not rest.strip("/")):
        return ConfigError("scan.bad-camera", path=path, got=without_password(camera), schemes=", ".join(SCHEMES))
    return None


async def look(
    camera: str, *, seconds: float = _LOOK_S, limit_s: float = _LIMIT_S, progress: Progress = lambda *_: None
) -> Shown:
    """Take pictures for a moment.

    Args:
        camera: URL, /dev path or file, as in the config.
        seconds: how long, from the first picture on.
        limit_s: then it has failed.
        progress: told twice a second.

    Raises:
        SourceUnavailable: no picture came, and why.  Nothing of the probe is left, whatever ended it.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _PROBE, camera, str(seconds), str(limit_s)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    loop = asyncio.get_running_loop()
    began_s, shown = loop.time(), without_password(camera)
    answer = asyncio.create_task(process.communicate())
    try:
        while not answer.done() and (took_s := loop.time() - began_s) < limit_s:
            progress(shown, took_s, limit_s)
            await asyncio.wait({answer}, timeout=0.5)
        if not answer.done():
            raise SourceUnavailable("camera.no-picture", camera=shown, silent_s=round(limit_s))
        out, _ = answer.result()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        answer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer
    try:
        said = msgspec.json.decode(out, type=_Said)
    except msgspec.DecodeError as error:
        raise SourceUnavailable(
            "camera.worker-died", camera=shown, status=process.returncode, last=out[-80:].decode(errors="replace")
        ) from error
    if said.shown is None:
        raise SourceUnavailable(said.code, **said.facts)
    return said.shown


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")
