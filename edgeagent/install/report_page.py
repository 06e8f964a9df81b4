"""A report as one printed A4 page: HTML that needs nothing but itself.  Pure.

Nothing in it runs, and nothing is fetched: its own policy forbids both.  It reads on a phone, too.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from edgeagent import messages
from edgeagent.errors import Refused
from edgeagent.install import qr
from edgeagent.install.report_facts import AGREES_M, Check, Counting, Curve, Facts, Measured, Value, Why
from edgeagent.install.report_seal import SLOT
from edgeagent.install.report_style import STYLE
from edgeagent.install.report_words import words
from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.words import named, quantity

__all__ = ["drawing_size", "page", "qr_text"]

_JST = dt.timezone(dt.timedelta(hours=9))
_FIRST = ("level", "distance", "rain", "rain_rate", "people", "listening", "intensity", "count", "cpu_temperature")
_SHOWN = 2  # values of a device on paper; the JSON has all
_PROBLEMS, _PROBLEMS_THEN = 6, 4  # lines of the self-test that are no "ok", with few devices and with more
_FEW = 3
_FIGURES = 6
_SHEET_MM, _FIXED_MM, _DEVICE_MM, _FIGURE_MM = 277, 168, 8, 40  # A4 less its margins; the rest as it is laid out
_SMALLEST = 0.72  # 5 pt for the smallest words
_PHOTOS = 3
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}
_GROUPED = 8


def page(
    facts: Facts, sha256: str, drawings: Mapping[str, str], pictures: Mapping[str, bytes], *, signed: bool
) -> bytes:
    """The page, with an empty SLOT for the document.

    Args:
        facts: what it says.
        sha256: of the report, hex; for people and in the QR code.
        drawings: SVG of each hydrograph, by source.
        pictures: PNG of each counting line, by source.
        signed: whether a signature will stand in the slot.
    """
    say = words(facts.lang)
    figures = [*(_curve(one, drawings, say, facts.lang) for one in facts.hydrographs)]
    figures += [_counting(one, pictures, say, facts.lang) for one in facts.counting]
    drawn = "".join(figures[:_FIGURES])
    body = (
        _head(facts, sha256, say, signed=signed)
        + _facts(facts, say)
        + _devices(facts, say)
        + (f'<section class="figures n{min(len(figures), _FIGURES)}">{drawn}</section>' if figures else "")
        + _doctor(facts.doctor, say, _PROBLEMS if len(facts.devices) <= _FEW else _PROBLEMS_THEN)
        + _walk(facts, say)
        + _photos(say)
        + _foot(facts, sha256, say, signed=signed)
    )
    title = f"{say['title']} {facts.gateway.id} {facts.site}"
    return (
        (
            f'<!DOCTYPE html>\n<html lang="{facts.lang}"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
            "style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_e(title)}</title><style>{STYLE}</style></head>\n"
            f'<body><main style="--fit:{_fit(facts, len(figures)):.2f}">{body}</main>\n'
        ).encode()
        + b"".join(SLOT)
        + b"\n</body></html>\n"
    )


def drawing_size(figures: int) -> tuple[int, int]:
    """User units of a drawing that is one of so many figures, so that its text has the same height in all."""
    return {1: (780, 165), 2: (390, 170), 3: (300, 168), 4: (390, 142)}.get(figures, (300, 140))


def _fit(facts: Facts, figures: int) -> float:
    """How small it is printed so that it stays on one sheet: guessed from what there is, in millimetres."""
    rows = 0 if not figures else 1 if figures <= 3 else 2  # noqa: PLR2004  side by side
    high = _FIXED_MM + _DEVICE_MM * len(facts.devices) + _FIGURE_MM * rows
    return max(_SMALLEST, min(1.0, _SHEET_MM / high))


def qr_text(gateway: str, sha256: str) -> str:
    """What the QR code says: enough to hold a sheet of paper against a file."""
    return f"edgeagent-report {gateway} {sha256}"


def _head(facts: Facts, sha256: str, say: Mapping[str, str], *, signed: bool) -> str:
    name = f" {facts.gateway.name}" if facts.gateway.name else ""
    made = dt.datetime.fromisoformat(facts.made_at).astimezone(_JST)
    unsure = f" ({say['clock unsynced']})" if facts.clock != "synced" else ""
    banner = "" if signed else f'<p class="alarm" role="alert">✗ {_e(say["not signed"])}</p>'
    return (
        f'{banner}<header><div><p class="kind">{_e(say["title"])}</p><h1>{_e(facts.site)}</h1>'
        f'<p class="who"><b>{_e(facts.gateway.id)}</b>{_e(name)}</p>'
        f"<p>{_e(say['date'])} <b>{made:%Y-%m-%d %H:%M} JST</b>{_e(unsure)} · "
        f"{_e(say['installer'])} <b>{_e(facts.installer)}</b></p></div>{_qr(facts.gateway.id, sha256)}</header>"
    )


def _facts(facts: Facts, say: Mapping[str, str]) -> str:
    at = facts.gateway
    where = f"{at.latitude:.5f}, {at.longitude:.5f}" if at.latitude is not None and at.longitude is not None else ""
    rows = [
        (say["position"], _e(where or say["no position"])),
        (say["box"], _e(facts.box.model or facts.box.system)),
        (f"{say['box']} {say['serial']}", _e(facts.box.serial or say["unknown"])),
        (say["package"], f"edgeagent {_e(facts.versions['edgeagent'])} {_hash(facts.package_sha256)}"),
        (say["config"], _hash(facts.config_sha256)),
    ]
    rows += [(say["running"], _hash(facts.running_sha256))] if facts.running_sha256 else []
    rows += [(say["model"], f"{_e(one.name)} {_hash(one.sha256)}") for one in facts.models[:2]]
    rows += [(say["certificate"], _hash(facts.certificate_sha256) if facts.certificate_sha256 else "–")]
    return '<dl class="facts">' + "".join(f"<div><dt>{_e(k)}</dt><dd>{v}</dd></div>" for k, v in rows) + "</dl>"


def _devices(facts: Facts, say: Mapping[str, str]) -> str:
    names = ("device", "kind", "serial", "now", "staff", "difference", "verdict")
    heads = "".join(f'<th scope="col">{_e(say[name])}</th>' for name in names)
    rows = "".join(_device(one, say, facts.lang) for one in facts.devices)
    within = say["within"].format(cm=round(AGREES_M * 100))
    table = f'<table class="devices"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<section><h2>{_e(say["devices"])}<small>{_e(within)}</small></h2><div class="wide">{table}</div></section>'


def _device(one: Measured, say: Mapping[str, str], lang: str) -> str:
    kind = " · ".join(filter(None, (say.get(one.driver, one.driver), one.about)))
    name = f"<br>{_e(one.name)}" if one.name else ""
    place = _e(_place(one.place))
    begin = (
        f'<tr><th scope="row"><b>{_e(one.id)}</b>{name}</th><td>{_e(kind)}<br><small>{place}</small></td>'
        f"<td>{_e(one.serial or '–')}</td>"
    )
    staff = "–" if one.staff_m is None else f"{one.staff_m:.2f} m"
    if one.why is not None:
        told = "" if one.staff_m is None else f" ({say['staff']} {staff})"
        failing = f'<span class="failed">✗ {_e(say["failing"])}</span>{_e(told)}'
        return f'{begin}<td colspan="4">{failing}<br><small>{_e(_why(one.why, lang))}</small></td></tr>'
    shown = "<br>".join(_e(text) for text in _values(one, lang)) + f" <small>n={one.reads}</small>"
    difference = "–" if one.difference_m is None else f"{one.difference_m * 100:+.1f} cm"
    if one.agrees is None:
        verdict = _e("–" if one.level_m is None else say["not compared"])
    else:
        mark, word, kind = ("✓", "agrees", "ok") if one.agrees else ("✗", "differs", "failed")
        verdict = f'<span class="{kind}">{mark} {_e(say[word])}</span>'
    cells = (shown, staff, difference, verdict)
    return begin + "".join(f'<td class="num">{cell}</td>' for cell in cells) + "</tr>"


def _place(place: str) -> str:
    """A lasting name without its folder; the JSON has it whole."""
    return place.rpartition("/")[2] if place.startswith("/dev/") and "/by-" in place else place


def _values(one: Measured, lang: str) -> Iterator[str]:
    """The level that was held against the staff, then what says most."""
    order = sorted(one.values, key=lambda v: _FIRST.index(v.name) if v.name in _FIRST else len(_FIRST))
    for value in order[:_SHOWN]:
        if value.name == "level" and one.level_m is not None:
            yield f"{named('level', lang)} {one.level_m:.3f} m"
        else:
            yield _value(value, lang)


def _value(one: Value, lang: str) -> str:
    name = named(one.name, lang)
    if one.value is True or one.value is False:
        return f"{name} {'✓' if one.value else '✗'}"
    return quantity(name, Quantity(one.value, Unit(one.unit), Quality(one.quality)))


def _curve(one: Curve, drawings: Mapping[str, str], say: Mapping[str, str], lang: str) -> str:
    drawn = drawings.get(one.source, "")
    inside = drawn or f'<p class="none">{_e(say["missing"])}: {_e(_why(one.why, lang))}</p>'
    caption = f"<b>{_e(say['hydrograph'])}</b> {_e(one.source)}"
    return f'<figure class="curve"><figcaption>{caption}</figcaption>{inside}</figure>'


def _counting(one: Counting, pictures: Mapping[str, bytes], say: Mapping[str, str], lang: str) -> str:
    caption = f"<b>{_e(say['counting'])}</b> {_e(one.source)}"
    png = pictures.get(one.source)
    if png is None:
        inside = f'<p class="none">{_e(say["missing"])}: {_e(_why(one.why, lang))}</p>'
        return f"<figure><figcaption>{caption}</figcaption>{inside}</figure>"
    counted = ", ".join(f"{name} {' / '.join(str(n) for n in told.values())}" for name, told in one.lines.items())
    alt = f"{say['counting']} {one.source}: {counted}"
    data = base64.b64encode(png).decode()
    about = f"{counted} ({say['counted'].format(s=one.seconds)}) · {say['blurred']}"
    return (
        f'<figure><figcaption>{caption}</figcaption><img alt="{_e(alt)}" src="data:image/png;base64,{data}">'
        f"<p><small>{_e(about)}</small></p></figure>"
    )


def _doctor(checks: Sequence[Check], say: Mapping[str, str], most: int) -> str:
    counted: dict[str, Counter[str]] = {}
    for one in checks:
        counted.setdefault(one.code.split("-")[1], Counter())[one.state] += 1
    heads = "".join(f'<th scope="col">{_e(say[group])}</th>' for group in counted)
    rows = "".join(
        f'<tr><th scope="row" class="{state}">{mark} {_e(say[state])}</th>'
        + "".join(f'<td class="{state if n[state] else ""}">{n[state] or "·"}</td>' for n in counted.values())
        + "</tr>"
        for state, mark in _MARKS.items()
    )
    wrong = sorted((c for c in checks if c.state in ("failed", "warning")), key=lambda c: c.state)
    lines = "".join(
        f'<li class="{c.state}"><b>{_MARKS[c.state]} {_e(c.code)}</b> {_e(c.about)} {_e(c.text)}</li>'
        for c in wrong[:most]
    )
    more = say["more"].format(n=len(wrong) - most) if len(wrong) > most else ""
    lines += f"<li>{_e(more)}</li>" if more else ""
    return (
        f'<section class="doctor"><h2>{_e(say["doctor"])}</h2><div class="wide"><table><thead><tr><td></td>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div><ul>{lines}</ul></section>"
    )


def _walk(facts: Facts, say: Mapping[str, str]) -> str:
    walk = facts.walk
    if walk is None:
        told = say["no walk"]
    else:
        weakest = "–" if walk.weakest_dbm is None else f"{walk.weakest_dbm:.0f} dBm"
        when = dt.datetime.fromtimestamp(walk.wall_ms / 1000, _JST)
        told = (
            f"{when:%Y-%m-%d} · {walk.seconds} s · {say['heard']} {walk.heard:.0%} · {say['here']} {walk.here:.0%} · "
            f"{say['weakest']} {weakest} · {say['gap']} {walk.longest_gap_s} s"
        )
    return f'<p class="walk"><b>{_e(say["walk"])}</b> {_e(told)}</p>'


def _photos(say: Mapping[str, str]) -> str:
    slots = "".join(
        f"<div><b>{_e(say['photo'].format(n=n))}</b><br>{_e(say[f'photo {n}'])}</div>" for n in range(1, _PHOTOS + 1)
    )
    return f'<section class="photos">{slots}</section>'


def _foot(facts: Facts, sha256: str, say: Mapping[str, str], *, signed: bool) -> str:
    if signed:
        print_ = _spaced(facts.certificate_sha256)
        by = f"<p>✓ <b>{_e(say['signed'])}</b> {_e(say['signed by'])} <code>{print_}</code></p>"
    else:
        by = f"<p>✗ <b>{_e(say['not signed'])}</b></p>"
    return (
        f'<footer><div class="hands"><div>{_e(say["sign here"])}</div><div>{_e(say["accept here"])}</div></div>'
        f"{by}<p>{_e(say['digest'])} <code>{_spaced(sha256)}</code></p><p>{_e(say['check'])}</p></footer>"
    )


def _qr(gateway: str, sha256: str) -> str:
    """The code as an SVG of one path."""
    try:
        modules = qr.matrix(qr_text(gateway, sha256))
    except Refused:  # a very long id
        modules = qr.matrix(qr_text("", sha256))
    quiet = 4
    size = len(modules) + 2 * quiet
    dark = ((x + quiet, y + quiet) for y, row in enumerate(modules) for x, one in enumerate(row) if one)
    dots = "".join(f"M{x} {y}h1v1h-1z" for x, y in dark)
    return (
        f'<svg class="qr" role="img" aria-label="QR sha256 {sha256}" viewBox="0 0 {size} {size}" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{dots}"/></svg>'
    )


def _why(why: Why | None, lang: str) -> str:
    return "" if why is None else messages.text(why.code, why.facts, lang).what


def _hash(sha256: str) -> str:
    return f"<code>sha256 {sha256[:16]}…</code>" if sha256 else "–"


def _spaced(sha256: str) -> str:
    return " ".join(sha256[at : at + _GROUPED] for at in range(0, len(sha256), _GROUPED))


def _e(text: str) -> str:
    return html.escape(text)
