"""The README's config is one that `edgeagent check` accepts."""

import re
import tomllib
from pathlib import Path

from edgeagent.config import load
from edgeagent.daemon.build import catalogue

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_config_in_the_readme_is_valid():
    text = re.search(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    config, problems = load(tomllib.loads(text), catalogue())
    assert [str(p) for p in problems] == []
    assert {s.config.driver for s in config.sources} == {
        "modbus-gauge",
        "serial-gauge",
        "ble-tags",
        "traffic-camera",
        "host",
    }


def test_every_driver_is_in_the_readme():
    text = README.read_text(encoding="utf-8")
    from edgeagent import sources, uplinks  # noqa: PLC0415

    for name in (*sources.SOURCES, *uplinks.UPLINKS):
        assert f"`{name}`" in text, name
