"""The first steps: language and place, time, network, claim."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent import messages
from edgeagent.errors import ConfigError, EdgeAgentError, Refused, UplinkUnavailable
from edgeagent.fleet import claim_code
from edgeagent.fleet.claim_code import ClaimCode
from edgeagent.install import doctor_probe_city, enrol, setup_city
from edgeagent.install.identity import Identity, day, read_card
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_talk import Question
from edgeagent.reading import TimeTrust

__all__ = ["claim", "gateway_id", "language", "network", "time_of", "typed_id", "was_made_up"]

_OFF_S = 2.0
_TCP_S = 8.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LANGUAGES = {"1": "ja", "2": "en", "ja": "ja", "en": "en", "日本語": "ja", "english": "en"}


def language(site: Site) -> None:
    """Language, name of the place, who installs."""
    default = site.answers.lang or site.earlier("language", site.old_gateway.get("lang") or messages.language())
    chosen = site.ask(Question("language", default, _language))
    site.progress.answers["language"] = chosen  # "1" is how it was typed
    site.screen.use(chosen)
    name = str(site.answers.gateway.get("name", "")) or site.old_gateway.get("name", "") or site.earlier("name", "-")
    site.ask(Question("name", name, _name))
    user = os.environ.get("SUDO_USER", "-")
    site.ask(Question("installer", site.answers.installer or site.earlier("installer", user), _name))


def time_of(site: Site) -> None:
    """Is the clock right?  Looked at, never set."""
    now = site.clock.now()
    server = doctor_probe_city.time_servers(site.root)[0]
    asked = site.run(doctor_probe_city.ntp(server))
    text = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now.wall_ms / 1000))
    if asked.offset_s is not None and abs(asked.offset_s) <= _OFF_S:
        site.say("✓", "setup.time-ntp", time=text, server=server, offset=f"{abs(asked.offset_s):.2f}")
    elif asked.offset_s is not None:
        site.warn("setup.time-off", time=text, server=server, offset=f"{asked.offset_s:+.0f}")
    elif now.trust is TimeTrust.SYNCED:
        site.say("✓", "setup.time-synced", time=text)
    else:
        site.warn("setup.time-unsure", time=text, server=server)


def network(site: Site) -> None:
    """A way out, and the receivers: asked for, then knocked at."""
    if not doctor_probe_city.has_route(site.root):
        site.warn("setup.no-route")
    if site.answers.uplinks:
        receivers = [dict(one) for one in site.answers.uplinks]
    else:
        default = site.earlier("city", " ".join(setup_city.addresses(site.old.get("uplinks", []))) or "-")
        receivers = site.ask(Question("city", default, setup_city.receivers))
    if not receivers:
        site.say("–", "setup.no-city")
    for one in receivers:
        _knock(site, one)


def _knock(site: Site, receiver: Mapping[str, Any]) -> None:
    where = setup_city.host_of(receiver)
    if where is None:  # a file
        return
    host, port, safe = where
    shown = f"{host}:{port}"
    began = time.monotonic()
    try:
        site.run(_connect(host, port))
    except (OSError, UnicodeError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        site.trouble("network", UplinkUnavailable("setup.city-away", where=shown, why=why))
        return
    site.say("✓", "setup.city-there", where=shown, ms=round((time.monotonic() - began) * 1000))
    if not safe and not doctor_probe_city.is_local(host):
        site.warn("setup.city-plain", where=shown)


async def _connect(host: str, port: int) -> None:
    async with asyncio.timeout(_TCP_S):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        _, writer = await asyncio.open_connection(str(found[0][4][0]), port)
        writer.close()


def claim(site: Site) -> None:
    """The gateway's identity: the one it has, one for a code, or none for now."""
    identity = Identity(site.state_dir)
    card = read_card(identity.current)
    if card is not None and card.ends_s > site.clock.now().wall_ms / 1000 and not identity.new.exists():
        site.say("✓", "setup.claimed-already", gateway=card.gateway, day=day(card.ends_s))
        site.progress.gateway = card.gateway
        return
    default = site.answers.claim or "-"
    while True:
        wanted = site.ask(Question("claim", default, _claim))
        if not isinstance(wanted, ClaimCode):
            site.say("✓" if wanted else "–", f"setup.{'named' if wanted else 'claim-later'}", gateway=gateway_id(site))
            return
        try:
            _claim_now(site, wanted)
        except EdgeAgentError as error:
            site.forget("claim")
            if site.screen.asks:
                site.screen.wrong(error)
                default = "-"
                continue
            if isinstance(error, ConfigError):
                raise
            known = {UplinkUnavailable: "network", Refused: "refused"}
            site.trouble(next((word for kind, word in known.items() if isinstance(error, kind)), "warning"), error)
        return


def _claim_now(site: Site, code: ClaimCode) -> None:
    server = site.answers.server or code.server
    if not server:
        raise ConfigError("claim.no-server", path="--server")

    def step(name: str, what: str) -> None:
        site.screen.row("✓", f"setup.claim-{name}", {"what": what})

    done = enrol.claim(
        code,
        server,
        state_dir=site.state_dir,
        clock=site.clock,
        gateway=str(site.answers.gateway.get("id", "")),
        ca=Path(site.answers.ca) if site.answers.ca else None,
        root_file=site.root_file,
        step=step,
    )
    site.progress.gateway = done.gateway
    site.progress.answers["claim"] = "-"  # a code is good once, and nobody needs it any more
    site.save()
    site.say("✓", "setup.claimed", gateway=done.gateway, day=day(done.card.ends_s))


def gateway_id(site: Site) -> str:
    """By the certificate, by hand, by the config there is, or made of this machine's number."""
    return _known_id(site) or _made_up(site.root)


def typed_id(site: Site) -> bool:
    """Whether anybody has said what this gateway is called."""
    return bool(_known_id(site))


def was_made_up(site: Site) -> bool:
    """Whether the config that is there calls it by a name that nobody gave."""
    return site.old_gateway.get("id") == _made_up(site.root)


def _known_id(site: Site) -> str:
    typed = site.progress.answers.get("claim", "-")
    by_hand = typed if typed != "-" and _ID.fullmatch(typed) and not _looks_like_a_code(typed) else ""
    old = "" if was_made_up(site) else site.old_gateway.get("id", "")
    return site.progress.gateway or str(site.answers.gateway.get("id", "")) or by_hand or old


def _made_up(root: Path) -> str:
    """An id for a box that nobody has named yet."""
    try:
        number = (root / "etc/machine-id").read_text(encoding="ascii").strip()[:6]
    except (OSError, UnicodeError):
        number = ""
    return f"GW-{(number or socket.gethostname())[:32].upper()}"


def _language(text: str) -> str:
    found = _LANGUAGES.get(text.lower())
    if found is None:
        raise ConfigError("config.not-a-choice", path="lang", got=text, choices="1, 2, ja, en", hint="")
    return found


def _name(text: str) -> str:
    if not text.isprintable() or len(text) > 80:  # noqa: PLR2004  a line of the report
        raise ConfigError("setup.bad-name", path="name", got=ascii(text)[:40])
    return "" if text == "-" else text


def _claim(text: str) -> ClaimCode | str:
    """A code, an id typed by hand, or "" for later."""
    if text == "-":
        return ""
    try:
        return claim_code.parse(text)
    except ConfigError:
        if _ID.fullmatch(text) and not _looks_like_a_code(text):
            return text
        raise


def _looks_like_a_code(text: str) -> bool:
    whole = text.replace("-", "")
    return len(whole) >= 12  # noqa: PLR2004  characters of a code without a pin
