"""The signs on the doors: each room's first docstring says whom it may know, and this reads them.

A sign ends with `May import: reading errors …; numpy.`: rooms and modules of ours before the
semicolon, foreign libraries after it.  Own room and the standard library are always allowed.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source_tree import PACKAGE, parsed

SIGN = re.compile(r"May import:\s*(?P<ours>[^.;]*)(?:;(?P<theirs>[^.]*))?\.", re.DOTALL)
EVERYTHING = re.compile(r"everything(?: but (?P<but>[a-z ]+))?")
# What one file of a room may know beyond its room's sign (STYLE: "each driver its own library").
ALSO = {
    "sources/modbus_gauge.py": "wire profiles",
    "sources/modbus_poll.py": "wire profiles",
    "sources/modbus_bus.py": "wire pymodbus",
    "sources/serial_gauge.py": "wire profiles",
    "sources/serial_port.py": "serial",
    "sources/serial_sdi12.py": "wire profiles serial",
    "sources/pulse_gauge.py": "wire profiles",
    "sources/burst.py": "wire",
    "sources/ble_tags.py": "wire bleak",
    "sources/bleak_bus.py": "bleak",
    "sources/tag_radio.py": "bleak",
    "sources/tag_patterns.py": "wire bleak",
    "sources/tags_config.py": "wire",
    "sources/tag_windows.py": "wire",
    "sources/tag_profile_files.py": "config shipped wire",
    "wire/bthome_cipher.py": "cryptography",
    "sources/tag_trouble.py": "bleak dbus_fast",
    "sources/bluez_watch.py": "dbus_fast",
    "simulate/bluez.py": "dbus_fast",
    "sources/camera_worker.py": "vision shipped cv2 numpy onnxruntime",
    "sources/camera_lookout.py": "vision shipped",
    "sources/annotate.py": "vision cv2 numpy",
    "sources/count_sheet.py": "vision cv2 numpy",
    "sources/count_spot.py": "vision cv2 numpy",
    "sources/model_check.py": "vision numpy",
    "sources/motion_eye.py": "vision cv2 numpy",
    "sources/model_trial.py": "vision numpy",
    "sources/video.py": "vision cv2 numpy",
    "sources/detector.py": "vision shipped cv2 numpy onnxruntime",
    "sources/count_eval.py": "vision shipped cv2 numpy onnxruntime",
    "simulate/road.py": "cv2 numpy",
    "simulate/road_scene.py": "cv2 numpy",
    "simulate/road_weather.py": "cv2 numpy",
    "simulate/road_traffic.py": "numpy",
    "simulate/road_vehicles.py": "numpy",
    "uplinks/ngsi_http.py": "ngsi",
    "uplinks/ngsi_config.py": "ngsi",
    "uplinks/ngsi_delivery.py": "ngsi",
    "uplinks/http.py": "urllib3",
    "uplinks/iota_mqtt.py": "ngsi",
    "uplinks/mqtt_link.py": "paho",
    "update/trust.py": "tuf",
    "install/doctor_world.py": "daemon",
    "install/report.py": "daemon",
    "update/origin.py": "urllib3",
}
LIGHT = ("typer", "msgspec")  # allowed everywhere: values are msgspec Structs; typer only in cli, tested below
HEAVY = {
    "cv2",
    "onnxruntime",
    "numpy",
    "bleak",
    "pymodbus",
    "paho",
    "serial",
    "urllib3",
    "dbus_fast",
    "rich",
    "cryptography",
    "tuf",
    "securesystemslib",
}


def files():
    return sorted(p for p in PACKAGE.rglob("*.py") if "_shipped" not in p.parts)


def sign_of(path: Path):
    door = path if path.parent == PACKAGE else path.parent / "__init__.py"
    return SIGN.search(ast.get_docstring(parsed(door)) or "")


def imports_of(path: Path):
    """(ours, theirs): names of rooms or modules of ours, top-level names of foreign packages."""
    ours, theirs = set(), set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "edgeagent":
            names = [f"edgeagent.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "edgeagent" and rest:
                ours.add(rest.split(".")[0])
            elif top != "edgeagent" and top not in sys.stdlib_module_names:
                theirs.add(top)
    return ours - {"__version__"}, theirs


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_knows_only_whom_its_door_says(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room in ("__init__.py", "__main__.py"):
        return
    sign = sign_of(path)
    assert sign, f"{path.relative_to(PACKAGE)}: no sign 'May import: …' on its door"
    ours, theirs = imports_of(path)
    ours.discard(room.removesuffix(".py"))
    whole = EVERYTHING.search(sign["ours"])
    also = ALSO.get(str(path.relative_to(PACKAGE)), "").split()
    allowed = ours - set((whole["but"] or "").split()) if whole else set(sign["ours"].split()) - {"nothing"}
    assert ours <= allowed | set(also), f"knows {sorted(ours - allowed - set(also))}"
    if not whole:
        libraries = set((sign["theirs"] or "").split()) | set(also) | set(LIGHT)
        assert theirs <= libraries, f"uses {sorted(theirs - libraries)}"


def test_no_cycles_between_modules():
    graph = {}
    for path in files():
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        wanted = set()
        for node in parsed(path).body:  # imports inside functions cannot make a cycle at import time
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("edgeagent"):
                wanted |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        graph[name] = wanted
    graph = {name: {w for w in wanted if w in graph and w != name} for name, wanted in graph.items()}
    # a package's __init__ that its own modules import from is fine; a module ring is not
    seen, ring = {}, []

    def visit(name, path):
        if seen.get(name) == "open":
            ring.append([*path[path.index(name) :], name])
            return
        if name in seen:
            return
        seen[name] = "open"
        for nxt in sorted(graph[name]):
            visit(nxt, [*path, name])
        seen[name] = "done"

    for name in graph:
        visit(name, [])
    assert not ring, ring


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom edgeagent.cli import app\n"
        "try:\n app(['--help'])\nexcept SystemExit as e:\n assert not e.code\n"
        f"heavy = sorted(set(sys.modules) & {HEAVY | {'msgspec', 'asyncio', 'sqlite3'}!r})\n"
        "print('HEAVY', heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout[-300:]


def test_daemon_without_camera_loads_no_camera_library(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        f'[gateway]\nid = "GW-1"\nstate_dir = "{tmp_path}"\n'
        '[[sources]]\nid = "a"\ndriver = "traffic-camera"\ncamera = "/dev/v4l/by-id/x"\n'
        'lines = [{ id = "l", from = [0, 10], to = [100, 10], forward = "down" }]\n'
        '[[sources]]\nid = "h"\ndriver = "host"\n[[uplinks]]\nid = "u"\ndriver = "jsonl"\npath = "-"\n'
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgeagent.clock import SystemClock\n"
        "import edgeagent.daemon.run\nfrom edgeagent.daemon.build import build, read_config\n"
        f"config, problems = read_config(Path({str(config)!r}))\nassert config, [str(p) for p in problems]\n"
        "build(config, SystemClock())\n"
        "heavy = {'cv2', 'onnxruntime', 'numpy', 'bleak', 'pymodbus', 'paho', 'rich', 'tuf', 'cryptography'}\n"
        "heavy = sorted(set(sys.modules) & heavy)\n"
        "print('HEAVY', heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.rstrip().endswith("HEAVY []"), done.stdout[-300:] + done.stderr[-1500:]
