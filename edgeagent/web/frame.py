"""Whole pages: the templates in `assets/`, filled in.  Pure but for reading its own files."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

import msgspec

from edgeagent import messages
from edgeagent.web import parts
from edgeagent.web.gate import Gate
from edgeagent.web.offers import Camera, Offers

__all__ = ["asset", "camera", "entry", "home", "refused"]

_OTHER = {"ja": ("en", "English"), "en": ("ja", "日本語")}
_SPOKEN = (  # what the scripts say
    "loading", "watched", "line", "line-id", "from", "to", "forward", "towards-down", "towards-up",
    "towards-left", "towards-right", "handle", "at", "remove", "crossed", "line-ok", "fault-outside",
    "fault-edge", "fault-nobody", "fault-beside", "fault-along", "fault-one-way", "fault-short",
    "fault-forward", "saved", "restart-how", "restarted", "unsaved", "doctor-running", "stale", "closed",
    "left",
)  # fmt: skip


@functools.cache
def asset(name: str) -> bytes:
    """A file of `assets/`."""
    return (resources.files("edgeagent.web") / "assets" / name).read_bytes()


def entry(lang: str, code: str) -> bytes:
    """The field for the code; a code from the link is in it already, and still has to be sent by a person."""
    other, called = _OTHER[lang]
    return _filled(
        "entry.html",
        lang,
        {"code": escape(code[:20], quote=True), "other": other, "called": called, "note": ""},
    )


def refused(lang: str, why: str, tries_left: int) -> bytes:
    """Why nobody comes in, and the field once more where that helps."""
    note = f'<p class="note" role="alert"><span aria-hidden="true">✗</span> {parts.word(why, lang, n=tries_left)}</p>'
    if why != "wrong":
        return _filled("closed.html", lang, {"note": note})
    other, called = _OTHER[lang]
    return _filled("entry.html", lang, {"code": "", "other": other, "called": called, "note": note})


def home(offers: Offers, lang: str, gate: Gate, *, now: str, sending: str, cameras: Sequence[Camera]) -> bytes:
    """The page."""
    shown = parts.cameras(cameras, lang)
    return _filled(
        "home.html",
        lang,
        {
            **_session(offers, lang, gate),
            "now": now,
            "sending": sending,
            "cameras": f'<section id="cameras"><h2>{parts.word("cameras", lang)}</h2>{shown}</section>'
            if shown
            else "",
            "cameras_tab": f'<a href="#cameras">{parts.word("cameras", lang)}</a>' if shown else "",
        },
    )


def camera(offers: Offers, lang: str, gate: Gate, one: Camera) -> bytes:
    """A camera with its counting lines."""
    lines = msgspec.to_builtins(one.lines)
    restart = parts.word("restart", lang)
    return _filled(
        "camera.html",
        lang,
        {
            **_session(offers, lang, gate),
            "source": escape(one.id, quote=True),
            "camera_name": escape(one.name or one.id),
            "lines": _data(lines),
            "restart": f'<p><button type="button" id="restart" hidden>{restart}</button></p>' if offers.restart else "",
        },
    )


def _session(offers: Offers, lang: str, gate: Gate) -> dict[str, str]:
    minutes = max(0, int(gate.left_s // 60))
    spoken = {name: messages.catalogue("web", lang)[name]["what"] for name in _SPOKEN}  # `{n}` is the script's to fill
    return {
        "gateway": escape(offers.gateway),
        "name": escape(offers.name),
        "csrf": gate.csrf,
        "left": parts.word("left", lang, minutes=minutes),
        "called": _OTHER[lang][1],
        "other": _OTHER[lang][0],
        "spoken": _data(spoken),
    }


def _filled(name: str, lang: str, values: Mapping[str, str]) -> bytes:
    template = Template(asset(name).decode())
    wanted = {key for key in template.get_identifiers() if key.startswith("w_")}
    words = {key: parts.word(key.removeprefix("w_").replace("_", "-"), lang) for key in wanted}
    return template.substitute(words, lang=lang, **values).encode()


def _data(value: object) -> str:
    """JSON that may stand in an attribute."""
    return escape(json.dumps(value, ensure_ascii=False), quote=True)
