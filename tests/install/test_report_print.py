"""The page on paper: exactly one sheet of A4 in both languages, with one device and with six."""

import re
import subprocess
import zlib

import pytest

from edgeagent.install.report_page import drawing_size
from edgeagent.web.hydrograph import svg
from tests.install.reports import AWAY, CAMERA, TAGS, Signing, facts, gauge, written
from tests.web.test_hydrograph import every, history

SIX = (gauge(1), gauge(2, staff_m=1.3, difference_m=0.123, agrees=False), AWAY, CAMERA, CAMERA, TAGS)


def png(wide=640, high=480):
    """A grey picture."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = wide.to_bytes(4, "big") + high.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    rows = zlib.compress((b"\0" + b"\x90" * wide) * high)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.slow
@pytest.mark.tool("chromium")
@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize("devices", [(gauge(1),), SIX, (*SIX, *SIX)], ids=["one", "six", "twelve"])
def test_it_prints_on_one_sheet_of_a4(tmp_path, lang, devices):
    city = Signing(tmp_path)
    said = facts(devices, lang=lang, wrong=7)
    width, height = drawing_size(len(said.hydrographs) + len(said.counting))
    trace, answer = history(every(1))
    drawn = {c.source: svg(trace, answer, lang=lang, width=width, height=height) for c in said.hydrographs}
    pictures = {c.source: png() for c in said.counting}
    # unsigned is longer: it has the alarm
    pem = city.gateway() if len(devices) == 1 else None
    html, _ = written(tmp_path, said, pem, drawings=drawn, pictures=pictures)
    pdf = tmp_path / "page.pdf"
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path}/c",
    ]
    done = subprocess.run(
        ["chromium", *options, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", html.as_uri()],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert pdf.is_file(), done.stderr[-800:]
    paper = pdf.read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1
    (box,) = set(re.findall(rb"/MediaBox\s*\[([^\]]*)\]", paper))
    assert [round(float(n)) for n in box.split()] == [0, 0, 595, 842], "A4 in points"
