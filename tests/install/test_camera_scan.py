"""Cameras in a made-up /dev and /sys; pictures out of real streams; the verb as a person meets it."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeagent import messages
from edgeagent.cli import scan_camera
from edgeagent.errors import SourceUnavailable
from edgeagent.install import camera_scan
from edgeagent.install.camera_scan import Camera, Capability, Shown, cameras, look
from edgeagent.simulate.road import render_clip
from tests.cli.test_verbs import edgeagent
from tests.sources.camera_rig import RtspCamera, free_port, mjpeg_camera, mute_camera

C270 = {"idVendor": "046d", "idProduct": "0825", "product": "C270", "serial": "2C5A9F10"}
NAMELESS = {"idVendor": "1bcf", "idProduct": "2c99", "product": "HD Webcam"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "road.mp4"
    render_clip(path, 2, size=(320, 180))
    return path


@pytest.fixture
def machine(tmp_path):
    """A C270 with a metadata node, two webcams that look alike, and a CSI camera."""
    dev, sys = tmp_path / "dev", tmp_path / "sys"
    for folder in (dev / "v4l/by-id", dev / "v4l/by-path", sys / "class/video4linux"):
        folder.mkdir(parents=True)
    nodes = {}

    def video(number, usb, driver="uvcvideo", *, captures=True, socket="", by_id=""):
        name = f"video{number}"
        (dev / name).touch()
        node, at = sys / "class/video4linux" / name, sys / f"devices/{name}-dev/if"
        node.mkdir()
        at.mkdir(parents=True)
        for key, value in (usb or {}).items():
            (at.parent / key).write_text(value + "\n")
        (node / "device").symlink_to(at)
        nodes[str(dev / name)] = Capability(driver, (usb or {}).get("product", driver), "bus", captures)
        for folder, link in (("by-path", socket), ("by-id", by_id)):
            if link:
                (dev / f"v4l/{folder}" / link).unlink(missing_ok=True)
                (dev / f"v4l/{folder}" / link).symlink_to(f"../../{name}")

    video(0, C270, socket="pci-usb-0:1.1-video-index0", by_id="usb-046d_C270_2C5A9F10-video-index0")
    video(1, C270, captures=False, by_id="usb-046d_C270_2C5A9F10-video-index1")
    # udev has one by-id link for both: the last one plugged in wins
    video(2, NAMELESS, socket="pci-usb-0:1.2-video-index0", by_id="usb-1bcf_HD_Webcam-video-index0")
    video(4, NAMELESS, socket="pci-usb-0:1.3-video-index0", by_id="usb-1bcf_HD_Webcam-video-index0")
    video(10, None, driver="unicam", socket="platform-fe801000.csi-video-index0")
    return lambda: cameras(dev=dev, sys=sys, ask=lambda path: nodes[path])


def test_every_camera_by_its_lasting_name(machine):
    seen = {one.device.rpartition("/")[2]: one for one in machine()}
    assert list(seen) == ["video0", "video2", "video4", "video10"], "no metadata nodes; in the kernel's order"
    assert seen["video0"].name.endswith("by-id/usb-046d_C270_2C5A9F10-video-index0")
    assert (seen["video0"].serial_number, seen["video0"].notes) == ("2C5A9F10", ())
    for name, socket in (("video2", "1.2"), ("video4", "1.3")):
        assert seen[name].name.endswith(f"by-path/pci-usb-0:{socket}-video-index0")
        assert seen[name].notes == ("scan.camera-no-serial",)
    assert seen["video10"].notes == ("scan.camera-csi",)


@pytest.mark.parametrize(
    ("caps", "this_node", "captures"),
    [(0x85200001, 0x04200001, True), (0x85200001, 0x04A00000, False), (0x00000001, 0, True)],
)
def test_what_the_kernel_answers(monkeypatch, tmp_path, caps, this_node, captures):
    """vidioc-querycap: device_caps speaks of this node where V4L2_CAP_DEVICE_CAPS is set."""
    packed = struct.pack(
        "=16s32s32sIII3I",
        b"uvcvideo",
        "カメラ C270".encode(),
        b"usb-0000:01:00.0-1.2",
        0x60112,
        caps,
        this_node,
        0,
        0,
        0,
    )
    (tmp_path / "video0").touch()

    def ioctl(handle, request, answer):
        assert request >> 16 & 0x3FFF == len(answer) == len(packed), "the size is part of the number"
        answer[:] = packed

    monkeypatch.setattr(camera_scan.fcntl, "ioctl", ioctl)
    told = camera_scan.capability(str(tmp_path / "video0"))
    assert told == Capability("uvcvideo", "カメラ C270", "usb-0000:01:00.0-1.2", captures)


def test_what_is_no_camera(tmp_path):
    (tmp_path / "video0").touch()
    assert camera_scan.capability(str(tmp_path / "video0")) is None
    assert camera_scan.capability(str(tmp_path / "none")) is None
    assert camera_scan.capability("/dev/null") is None


async def test_pictures_of_a_file(clip):
    told = []
    shown = await look(str(clip), progress=lambda *words: told.append(words))
    assert (shown.width, shown.height, shown.fps) == (320, 180, 10.0) and shown.pictures > 1
    assert told and told[0][0] == str(clip)


@pytest.mark.tool("ffmpeg")
async def test_pictures_of_streams(clip, tmp_path):
    port = free_port()
    with mjpeg_camera(clip, port):
        shown = await look(f"http://127.0.0.1:{port}/", seconds=1)
    assert (shown.width, shown.height) == (320, 180) and shown.fps > 1 and shown.pictures > 1
    with RtspCamera(clip, tmp_path) as camera:
        shown = await look(camera.url, seconds=0.5)
        assert (shown.width, shown.height) == (320, 180) and camera.transports


async def test_what_gives_no_picture(tmp_path):
    (tmp_path / "not.mp4").write_bytes(b"no video")
    for camera, code in (
        (str(tmp_path / "none.mp4"), "camera.no-file"),
        (str(tmp_path / "not.mp4"), "camera.not-video"),
        ("rtsp://installer:geheim@127.0.0.1:9/x", "camera.not-open"),
    ):
        with pytest.raises(SourceUnavailable) as caught:
            await look(camera)
        assert caught.value.code == code and "geheim" not in str(caught.value)
    with mute_camera() as camera, pytest.raises(SourceUnavailable) as caught:
        await look(camera, limit_s=1.5)
    assert caught.value.code == "camera.no-picture"


def test_as_a_person_and_a_script_meet_it(clip):
    done = edgeagent("scan", "camera", "--url", clip, "--lang", "ja")
    assert done.returncode == 0 and "✓ 320x180  10 fps" in done.stdout
    done = edgeagent("scan", "camera", "--url", clip, "--url", "/none.mp4", "--json")
    works, fails = json.loads(done.stdout)["cameras"]
    assert done.returncode == 3 and works["ok"] and works["width"] == 320
    assert (fails["ok"], fails["code"]) == (False, "camera.no-file") and "/none.mp4" in fails["message"]
    for lang, word in (("ja", "アドレスではありません"), ("en", "not the address")):
        done = edgeagent("scan", "camera", "--url", "rstp://a:geheim@host/x", "--lang", lang)
        assert (
            done.returncode == 2 and word in done.stderr and "--url[0]" in done.stderr and "geheim" not in done.stderr
        )


def test_ctrl_c_stops_and_leaves_nothing_running():
    with mute_camera() as camera:
        args = [sys.executable, "-m", "edgeagent", "scan", "camera", "--url", camera, "--timeout", "60", "--json"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ}) as running:
            probes = Path(f"/proc/{running.pid}/task/{running.pid}/children")
            while not (children := probes.read_text().split()):
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=30)
    assert running.returncode == 6 and json.loads(out)["stopped"]
    cmdline = Path(f"/proc/{children[0]}/cmdline")
    assert not cmdline.exists() or b"camera_scan_probe" not in cmdline.read_bytes()


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_as_text(machine, monkeypatch, lang):
    monkeypatch.setenv("EDGEAGENT_LANG", lang)
    monkeypatch.setenv("COLUMNS", "40")
    one = machine()[1]
    text = "\n".join(scan_camera.lines_of(one, Shown(640, 480, 15.0, 30)))
    assert "✓ 640x480  15 fps" in text
    assert ("シリアル番号がなく" if lang == "ja" else "noserialnumber") in "".join(text.split())  # wherever it breaks
    text = "\n".join(
        scan_camera.lines_of(
            Camera(name="rtsp://a:geheim@h/", device=""), SourceUnavailable("camera.not-open", camera="h")
        )
    )
    assert "✗" in text and "→" in text and "geheim" not in text
    assert messages.text("scan.no-cameras", {}, lang).remedy
