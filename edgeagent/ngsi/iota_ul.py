"""IoT Agent for UltraLight 2.0: readings -> MQTT topics and measures.

- `/ul/<apikey>/<device>/attrs`; a measure is `time|name|value|name|value`, several are joined by `#`
  and sorted by time by the agent.
- The time stands first and makes the number of fields odd; without it the agent's clock counts.
- Everything is text; the agent's group says which attribute is a number.  `|` and `#` separate and
  cannot be escaped: in values they become their full-width forms, as do the characters that Orion
  forbids (see `v2`).  A text that is empty is left out.
- Which attributes there are is what `iota_json` says: the same names, the same omissions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgeagent.ngsi.entities import time_text
from edgeagent.ngsi.iota_json import attributes
from edgeagent.ports import Site
from edgeagent.reading import Reading

__all__ = ["measure", "payload", "topic"]

_SEPARATORS = str.maketrans("|#\r\n", "｜＃  ")


def topic(apikey: str, device: str) -> str:
    """Where the agent listens for measures of a device."""
    return f"/ul/{apikey}/{device}/attrs"


def measure(reading: Reading, site: Site) -> bytes:
    """One reading as a measure.

    Raises:
        ValueError: its time is not a time.
    """
    return "|".join((time_text(reading.at.wall_ms), *_fields(reading, site))).encode()


def payload(measures: Sequence[bytes]) -> bytes:
    """Measures of one device, oldest first, as one message."""
    return b"#".join(measures)


def _fields(reading: Reading, site: Site) -> Iterator[str]:
    for name, value in attributes(reading, site).items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, str):
            text = value.translate(_SEPARATORS).strip()
        else:
            text = str(value)
        if text:
            yield name
            yield text
