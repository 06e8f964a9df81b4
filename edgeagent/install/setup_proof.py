"""The self-test and the report: everything is looked at once, and both say what was seen."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from edgeagent import messages
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.install import doctor, report
from edgeagent.install.doctor import World
from edgeagent.install.doctor_item import State
from edgeagent.install.report import Made
from edgeagent.install.report_facts import Check
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_talk import Mark

__all__ = ["hand_over", "self_test"]

_KINDS = {"NET": "network", "DEVICE": "device"}
_MARKS: dict[str, Mark] = {State.WARNING: "!", State.FAILED: "✗"}
_ABOUT_S = 90.0  # how long it takes with a camera, for the bar alone


def self_test(site: Site) -> Made | None:
    """Everything `doctor` knows; what is good is counted, the rest is told.

    Returns:
        The report that came of it; None where it could not be made.
    """
    world = site.world(site.file)
    made: Made | None = None
    trouble: ConfigError | None = None
    try:
        made = site.run(_with_bar(site, world))
        checks: Sequence[Check] = made.facts.doctor
    except ConfigError as error:  # a report that cannot be written is no reason not to test
        trouble, checks = error, site.run(_checks(site, world))
    doctor.note(world)
    for one in checks:
        _tell(site, one)
    counted = Counter(one.state for one in checks)
    numbers = {state.value: counted[state] for state in State}
    site.say("✗" if counted[State.FAILED] else "✓", "setup.tested", **numbers)
    site.told |= {"doctor": numbers, "report": None}
    if trouble is not None:
        site.warn("setup.report-failed", why=messages.text(trouble.code, trouble.facts, site.lang).what)
    return made


def hand_over(site: Site, made: Made | None) -> None:
    """Say where the report is."""
    if made is None:
        site.say("–", "setup.report-none")
        return
    site.say("✓", "setup.report-made", file=made.html)
    if not made.signed:
        site.say("·", "setup.report-unsigned")
    site.told["report"] = {"html": str(made.html), "json": str(made.json), "signed": made.signed, "sha256": made.sha256}


async def _with_bar(site: Site, world: World) -> Made:
    answered = site.progress.answers
    making = asyncio.create_task(
        report.make(
            site.file,
            site=_words(answered.get("name", "-")) or _gateway(world),
            installer=_words(answered.get("installer", "-")) or "-",
            staff_m=site.progress.staff_m,
            lang=site.lang,
            world=world,
        )
    )
    began_s = site.clock.mono()
    try:
        while not making.done():
            site.screen.progress("edgeagent doctor", site.clock.mono() - began_s, _ABOUT_S)
            await asyncio.wait({making}, timeout=0.5)
    finally:
        making.cancel()
    return await making


async def _checks(site: Site, world: World) -> list[Check]:
    return [
        Check(code=one.code, state=one.state.value, about=one.about, text=said.what, remedy=said.remedy)
        async for one in doctor.examine(world)
        for said in (one.text(site.lang),)
    ]


def _tell(site: Site, one: Check) -> None:
    mark = _MARKS.get(one.state)
    if mark is None:
        return
    kind = _KINDS.get(one.code.split("-")[1], "warning") if one.state == State.FAILED else "warning"
    facts = {"check": one.code, "what": one.text, "remedy": one.remedy}
    site.trouble(kind, EdgeAgentError("setup.item", **facts), mark)


def _words(text: str) -> str:
    return "" if text == "-" else text


def _gateway(world: World) -> str:
    """What the gateway is called, where the place has no name."""
    return world.config.gateway.id if world.config is not None else "-"
