"""web: the page on demand, for a phone or laptop beside the box."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import columns, wrap
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption

__all__ = ["web"]


def web(
    config: ConfigOption = DEFAULT_CONFIG,
    listen: Annotated[
        list[str] | None, typer.Option("--listen", help="Address of this box; may be repeated. 待ち受けアドレス。")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any free one. 0 で空きポート。")] = 8088,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, max=15, help="Open for. 開いている時間。")] = 15,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Open a page for a phone: values, hydrograph, camera, check-up; closes itself. 現場ページを一時的に開く。"""
    import asyncio
    import signal

    from edgeagent.cli.web_offers import offers as offered
    from edgeagent.clock import SystemClock
    from edgeagent.install import qr
    from edgeagent.web import addresses, certificate
    from edgeagent.web.gate import Gate
    from edgeagent.web.run import serve

    clock = SystemClock()

    def tell(event: str, **facts: object) -> None:
        if event in ("page-entered", "page-refused") and not as_json:
            print(_w(event.replace("page-", "terminal-"), **facts), flush=True)

    offers = offered(config, clock, tell)
    listeners = addresses.listen(addresses.plain(listen) if listen else addresses.lan(), port)
    served = [str(one.getsockname()[0]) for one in listeners]
    tls = certificate.make(served, offers.gateway, clock.now().wall_ms / 1000)
    gate = Gate(clock, minutes=minutes)
    links = [f"{addresses.url(one)}/?t={gate.token}" for one in listeners]
    if as_json:
        opened = {"links": links, "code": gate.token, "fingerprint": tls.fingerprint, "minutes": minutes}
        print(json.dumps(opened), flush=True)
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(f"{_w('terminal-open')}  {offers.gateway}\n")
        print(qr.terminal(qr.matrix(links[0]), colour=colour))
        print("".join(f"  {link}\n" for link in links))
        print(_w("terminal-print"))
        print("".join(f"  {tls.fingerprint[at : at + 23]}\n" for at in range(0, 95, 24)))
        for told in (_w("terminal-warn"), _w("terminal-end", minutes=f"{minutes:g}")):
            print("\n".join(wrap(told, columns())), flush=True)
    signal.signal(signal.SIGTERM, _end)
    offers.note("page-opened", addresses=", ".join(served))
    why = "asked"
    try:
        why = asyncio.run(serve(listeners, tls, gate, offers, clock=clock, lang=messages.language()))
    except KeyboardInterrupt:
        pass
    finally:
        offers.note("page-closed", why=why)
    print(json.dumps({"ok": why != "wrong-tokens", "closed": why}) if as_json else f"\n{_w(f'terminal-{why}')}")
    raise typer.Exit(5 if why == "wrong-tokens" else 0)


def _end(*_: object) -> None:
    raise KeyboardInterrupt


def _w(word: str, **facts: object) -> str:
    return messages.text(f"web.{word}", facts, messages.language()).what
