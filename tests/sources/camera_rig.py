"""Cameras made of clips: the shared baseline detector, an MJPEG and an RTSP camera played by ffmpeg."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil

RECORDINGS = Path(__file__).parents[1] / "recordings"


def baseline_model(shared: Path, folder: Path) -> Path:
    """The shared baseline detector beside our card for it."""
    shutil.copy(shared / "models" / "yolox_nano.onnx", folder)
    shutil.copy(RECORDINGS / "yolox_nano.toml", folder)
    return folder / "yolox_nano.onnx"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def ffmpeg(*arguments: str):
    """An ffmpeg of our own, gone afterwards even if it is stopped."""
    with subprocess.Popen(
        ["ffmpeg", "-nostdin", "-loglevel", "error", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def mjpeg_camera(clip: Path, port: int):
    """A camera that serves one viewer `http://127.0.0.1:<port>/`, the clip over and over; it listens when this returns."""
    play = ["-re", "-stream_loop", "-1", "-i", str(clip), "-an", "-c:v", "mjpeg", "-q:v", "3"]
    with ffmpeg(*play, "-f", "mpjpeg", "-listen", "1", f"http://127.0.0.1:{port}/") as process:
        for _ in range(200):  # asked of the kernel: a knock at the door would be its one viewer
            if any(c.status == psutil.CONN_LISTEN for c in psutil.Process(process.pid).net_connections("tcp")):
                break
            time.sleep(0.05)
        yield process


class RtspCamera:
    """A small RTSP server: RTP comes from ffmpeg over UDP and leaves interleaved over TCP (RFC 2326 10.12).

    It refuses UDP, as a camera behind a firewall does.
    """

    def __init__(self, clip: Path, folder: Path):
        self._clip, self._sdp = clip, folder / "camera.sdp"
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        self._rtp.settimeout(0.2)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._stop = threading.Event()
        self.transports: list[str] = []
        self.authorization: list[str] = []
        self.url = f"rtsp://installer:geheim@127.0.0.1:{self._door.getsockname()[1]}/stream"

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        rtp = f"rtp://127.0.0.1:{self._rtp.getsockname()[1]}"
        play = ["-re", "-stream_loop", "-1", "-i", str(self._clip), "-an", "-c:v", "mpeg4", "-g", "5", "-q:v", "4"]
        self._stack.enter_context(ffmpeg(*play, "-f", "rtp", "-sdp_file", str(self._sdp), rtp))
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._door.close()
        for thread in self._threads:
            thread.join(5)
        self._stack.close()
        self._rtp.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            self._door.settimeout(20)
            viewer, _ = self._door.accept()
            with viewer:
                viewer.settimeout(20)
                while not self._stop.is_set() and self._answer(viewer):
                    pass
                self._relay(viewer)

    def _answer(self, viewer) -> bool:
        """One request; False when the viewer wants to see."""
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            more = viewer.recv(1)
            if not more:
                self._stop.set()
                return False
            text += more
        method, *lines = text.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        reply, body = {"CSeq": headers["cseq"]}, ""
        status = "200 OK"
        if method.startswith("DESCRIBE"):
            while not self._sdp.exists() or not self._sdp.read_text().strip():
                time.sleep(0.05)
            body = self._sdp.read_text().replace("SDP:\n", "") + "a=control:track0\r\n"
            reply |= {"Content-Type": "application/sdp", "Content-Length": str(len(body))}
        elif method.startswith("SETUP"):
            self.transports.append(headers["transport"])
            if "TCP" in headers["transport"]:
                reply |= {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"}
            else:
                status = "461 Unsupported Transport"
        elif method.startswith("OPTIONS"):
            reply["Public"] = "DESCRIBE, SETUP, PLAY, TEARDOWN"
        elif method.startswith("PLAY"):
            reply["Session"] = "1"
        head = "".join(f"{name}: {value}\r\n" for name, value in reply.items())
        viewer.sendall(f"RTSP/1.0 {status}\r\n{head}\r\n{body}".encode())
        return not method.startswith(("PLAY", "TEARDOWN"))

    def _relay(self, viewer):
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._rtp.recv(65536)
                viewer.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)


@contextlib.contextmanager
def mute_camera():
    """A camera that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
