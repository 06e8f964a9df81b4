"""`edgeagent setup`: from a box that knows nothing to a site that measures, step by step.

The same steps are gone with a person at a terminal and with a file of answers.  Everything that was answered, found
or done is on disk before the next begins, so a power cut or Ctrl-C costs one question at most.  Only the claim needs
the network, and it can come later.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgeagent.install import setup_assign, setup_box, setup_devices, setup_end, setup_lines, setup_proof
from edgeagent.install.setup_site import Site
from edgeagent.install.setup_state import Progress

__all__ = ["STEPS", "run"]

STEPS = ("language", "time", "network", "claim", "devices", "assign", "lines", "test", "report")


def run(site: Site) -> int:
    """Go all steps.

    Args:
        site: where, and with whom.

    Returns:
        The exit code: 0 ok, 3 a device is missing, 4 the network, 5 refused by the city, 6 done with warnings.

    Raises:
        ConfigError: an answer or a file cannot be used, and nobody is there to mend it (exit 2).
        KeyboardInterrupt: enough for now; the next run goes on.
    """
    began_s = site.clock.mono()
    if not site.progress.begun_ms:
        site.progress.begun_ms = site.clock.now().wall_ms
    site.save()

    def step(name: str) -> None:
        site.screen.step(name, STEPS.index(name) + 1, len(STEPS))

    step("language")
    setup_box.language(site)
    step("time")
    setup_box.time_of(site)
    step("network")
    setup_box.network(site)
    step("claim")
    setup_box.claim(site)
    step("devices")
    picks = setup_devices.devices(site)
    step("assign")
    setup_assign.assign(site, picks)
    step("lines")
    setup_lines.lines(site, picks)
    step("test")
    setup_end.write(site, picks)
    setup_end.start(site)
    made = setup_proof.self_test(site)
    step("report")
    setup_proof.hand_over(site, made)
    _finish(site)
    site.told |= {"questions": site.asked, "seconds": round(site.clock.mono() - began_s, 1)}
    return site.exit_code


def _finish(site: Site) -> None:
    """The next run begins anew; what was answered is its default."""
    site.told |= _document(site)
    told = site.progress
    earlier = {key: text for key, text in told.answers.items() if key in ("language", "name", "installer", "city")}
    site.progress = Progress(earlier=earlier, gateway=told.gateway, config_sha256=told.config_sha256)
    site.save()


def _document(site: Site) -> dict[str, Any]:
    return {
        "gateway": setup_box.gateway_id(site),
        "claimed": bool(site.progress.gateway),
        "problems": [msgspec.to_builtins(one) for one in site.troubles],
    }
