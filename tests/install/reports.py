"""Reports to be printed and proven, and gateways that sign them."""

import hashlib
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from edgeagent.install import report_seal
from edgeagent.install.report_facts import Box, Check, Counting, Curve, Facts, Gateway, Measured, Model, Value, Why
from edgeagent.install.report_page import page
from edgeagent.install.tag_survey import WalkTest
from tests.uplinks.certificates import Authority

KEYS = {
    "ecdsa-sha256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa-pss-sha256": lambda: rsa.generate_private_key(65537, 2048),
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 220"><path d="M36 150L300 60"/></svg>'


class Signing(Authority):
    """A city's authority and the PEM files (key and certificate) of its gateways."""

    def gateway(self, name="GW-0147", kind="ecdsa-sha256", *, begins=-1, ends=10):
        key = KEYS[kind]()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), begins, ends, "gateway")
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}-{kind}.pem", pem + certificate.public_bytes(serialization.Encoding.PEM))


def gauge(number, **more):
    given = {
        "id": f"gauge{number}",
        "name": "宮川",
        "driver": "modbus-gauge",
        "about": "vega-c2x-modbus",
        "place": "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0",
        "serial": "A50285BI",
        "reads": 3,
        "values": (
            Value(name="level", value=1.423, unit="MTR", quality="good"),
            Value(name="distance", value=5.997, unit="MTR", quality="good"),
        ),
        "level_m": 1.423,
        "staff_m": 1.42,
        "difference_m": 0.003,
        "agrees": True,
    }
    return Measured(**{**given, **more})


CAMERA = Measured(
    id="route140",
    name="国道140号",
    driver="traffic-camera",
    about="vehicles",
    place="rtsp://192.168.1.20:554/stream1",
    serial="7F2A9C10",
    reads=3,
    values=(Value(name="count", value=14, unit="C62", quality="good"),),
)
TAGS = Measured(
    id="watch",
    name="",
    driver="ble-tags",
    about="",
    place="hci0",
    serial="",
    reads=1,
    values=(Value(name="listening", value=True, unit="C62", quality="good"),),
)
AWAY = gauge(
    3,
    values=(),
    reads=0,
    level_m=None,
    difference_m=None,
    agrees=None,
    why=Why("gauges.no-port", {"port": "/dev/serial/by-id/usb-FTDI_away"}),
)
CHECKS = [
    (group, n)
    for group in ("CONFIG", "POWER", "CLOCK", "STORE", "IDENT", "NET", "DEVICE", "BUFFER", "OTA", "SERVICE")
    for n in (1, 2, 3)
]


def facts(devices=None, *, lang="ja", wrong=3, **more):
    """A report; `wrong` checks of the self-test are not well."""
    devices = (gauge(1),) if devices is None else devices
    bad = {4: "failed", 7: "warning", 13: "warning", 16: "failed", 20: "warning", 22: "failed", 25: "warning"}
    bad = dict(list(bad.items())[:wrong])
    long = {
        "ja": "電圧低下を 2 回検出しました。電源が弱いと SD カードの書き込み中に停止し、記録が壊れることがあります。",
        "en": "Undervoltage was seen twice. A weak supply stops the box in the middle of a write and may damage the card.",
    }[lang]
    checks = tuple(
        Check(code=f"E-{group}-0{n}", state=bad.get(at, "ok"), about="", text=long, remedy="")
        for at, (group, n) in enumerate(CHECKS)
    )
    given = {
        "lang": lang,
        "made_at": "2026-11-26T01:02:03+00:00",
        "clock": "synced",
        "site": {"ja": "宮川橋 水位観測所", "en": "Miyagawa bridge gauging station"}[lang],
        "installer": {"ja": "佐藤 健 (株式会社 川測)", "en": "K. Sato, Kawasoku Ltd."}[lang],
        "gateway": Gateway(id="GW-0147", name="宮川橋", longitude=138.2529, latitude=36.6513),
        "box": Box(
            model="Raspberry Pi 4 Model B Rev 1.5",
            serial="10000000a1b2c3d4",
            system="Debian GNU/Linux 12 (bookworm)",
            kernel="6.12 aarch64",
        ),
        "versions": {"edgeagent": "1.0.0", "python": "3.11.2"},
        "package_sha256": "ab" * 32,
        "config_file": "/etc/edgeagent/config.toml",
        "config_sha256": "cd" * 32,
        "running_sha256": "ef" * 32,
        "certificate_sha256": "12" * 32,
        "models": (Model(name="vehicles", sha256="34" * 32),),
        "devices": tuple(devices),
        "hydrographs": tuple(Curve(source=d.id, points=1440, low_m=0.9, high_m=1.5) for d in devices if d.staff_m),
        "counting": tuple(
            Counting(
                source=d.id, lines={"up-down": {"forward": 7, "backward": 5}}, seconds=11.8, picture_sha256="56" * 32
            )
            for d in devices
            if d.driver == "traffic-camera"
        ),
        "walk": WalkTest(1_795_000_000_000, 183, 0.97, 0.91, -88.0, 4),
        "doctor": checks,
    }
    return Facts(**{**given, **more})


def written(folder: Path, said: Facts, pem: Path | None, *, drawings=None, pictures=None):
    """(html, json) as `report.make` writes them."""
    by = report_seal.signer(pem) if pem else None
    said = msgspec.structs.replace(said, certificate_sha256=by.sha256 if by else "")
    report = msgspec.to_builtins(said)
    sha256 = report_seal.digest(report)
    drawn = {c.source: SVG for c in said.hydrographs} if drawings is None else drawings
    shown = page(said, sha256, drawn, pictures or {}, signed=by is not None)
    document = report_seal.signed(report, shown, by)
    name = hashlib.sha256(document).hexdigest()[:12]
    html, json = folder / f"{name}.html", folder / f"{name}.json"
    html.write_bytes(report_seal.with_document(shown, document))
    json.write_bytes(document + b"\n")
    return html, json
