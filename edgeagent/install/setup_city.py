"""Addresses of receivers, as a person types them, and the sections they mean.  Pure.

    https://city.example/ nagano          NGSI-LD, tenant nagano
    mqtts://river@mqtt.city.example       IoT Agent (JSON) over MQTT, API key river

`http://` and `mqtt://` are the same without TLS.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from edgeagent.errors import ConfigError

__all__ = ["addresses", "host_of", "receivers"]

_PORTS = {"https": 443, "http": 80, "mqtts": 8883, "mqtt": 1883}


def receivers(text: str) -> list[dict[str, Any]]:
    """Sections for the addresses in a line; none for "-".

    Raises:
        ConfigError: `setup.bad-city`.
    """
    made: list[dict[str, Any]] = []
    for word in text.split():
        if word == "-":
            continue
        if "://" in word:
            made.append(_section(word, len(made)))
        elif made and made[-1]["driver"] == "ngsi-ld" and "tenant" not in made[-1]:
            made[-1]["tenant"] = word
        else:
            raise ConfigError("setup.bad-city", path="city", got=word)
    return made


def addresses(sections: Iterable[Any]) -> list[str]:
    """The other way: what would be typed for these sections; those that cannot be typed are left out."""
    made = []
    for one in sections:
        driver = one.get("driver") if isinstance(one, dict) else ""
        if driver == "ngsi-ld" and one.get("url"):
            made.append(f"{one['url']} {one.get('tenant', '')}".strip())
        elif driver == "iota-json" and one.get("host"):
            scheme = "mqtts" if one.get("tls", True) else "mqtt"
            port = f":{one['port']}" if one.get("port") else ""
            made.append(f"{scheme}://{one.get('apikey', '')}@{one['host']}{port}")
    return made


def host_of(section: Mapping[str, Any]) -> tuple[str, int, bool] | None:
    """(host, port, whether TLS is spoken) of a receiver; None for a file."""
    if section.get("url"):
        parts = urllib.parse.urlsplit(str(section["url"]))
        return (parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443), parts.scheme == "https")
    if section.get("host"):
        tls = bool(section.get("tls", True))
        return str(section["host"]), int(section.get("port") or _PORTS["mqtts" if tls else "mqtt"]), tls
    return None


def _section(word: str, before: int) -> dict[str, Any]:
    name = "city" if not before else f"city-{before + 1}"
    try:
        parts = urllib.parse.urlsplit(word)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError("setup.bad-city", path="city", got=word) from error
    if parts.scheme not in _PORTS or not host or parts.query or parts.fragment:
        raise ConfigError("setup.bad-city", path="city", got=word)
    if parts.scheme in ("http", "https"):
        return {"id": name, "driver": "ngsi-ld", "url": word}
    made: dict[str, Any] = {"id": name, "driver": "iota-json", "host": host}
    made |= {"port": port} if port else {}
    made["apikey"] = parts.username or "edgeagent"
    return made | ({"tls": False} if parts.scheme == "mqtt" else {})
