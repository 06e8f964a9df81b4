"""The built wheel, installed in a venv of its own, brings all it needs and runs the demo."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("edgeagent-*.whl"))


@pytest.mark.slow
def test_wheel_ships_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {n.removeprefix("edgeagent/_shipped/") for n in names if n.startswith("edgeagent/_shipped/")}
    profiles = {f"profiles/{p.name}" for p in (ROOT / "hardware/profiles").glob("*.toml")}
    models = {f"models/{p.name}" for p in (ROOT / "models").iterdir() if p.suffix in (".onnx", ".toml")}
    tags = {f"tags/{p.name}" for p in (ROOT / "hardware/tags").glob("*.toml")}
    assert shipped - {"profiles/.gitkeep"} == profiles | models | tags
    assert models, "a wheel without a model cannot count"
    assert "edgeagent/ngsi/context.jsonld" in names and "edgeagent/messages/ja/config.toml" in names
    assets = {f"edgeagent/web/assets/{p.name}" for p in (ROOT / "edgeagent/web/assets").iterdir()}
    assert assets <= set(names) and "edgeagent/web/assets/page.css" in assets
    assert not [n for n in names if not n.startswith(("edgeagent/", "edgeagent-"))]


@pytest.mark.slow
@pytest.mark.tool("dbus-daemon")
def test_wheel_in_a_new_venv_runs_the_demo(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "-q", "install", "--no-deps", "--no-index", wheel], check=True, capture_output=True
    )
    # the libraries come from the venv that runs the tests; the package itself must come from the wheel
    env = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    where = subprocess.run(
        [python, "-c", "import edgeagent; print(edgeagent.__file__)"],
        env=env,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert str(tmp_path) in where.stdout
    script = tmp_path / "venv" / "bin" / "edgeagent"
    done = subprocess.run(
        [script, "demo", "--seconds", "20", "--json"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["lost"] == told["wrong"] == 0 and told["vehicles_counted"] > 0
