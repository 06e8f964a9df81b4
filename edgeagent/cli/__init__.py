"""The verbs, for people: typer, one file per group of verbs.  May import: everything.

`--help` must answer at once on a Pi, so this package imports typer and nothing heavy; each verb
imports what it needs when it is called.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import typer
import typer.main
from typer.exceptions import TyperException

from edgeagent import messages
from edgeagent.cli import agent, help_page
from edgeagent.cli.calibrate import calibrate
from edgeagent.cli.claim import claim
from edgeagent.cli.columns import tell
from edgeagent.cli.count import app as count
from edgeagent.cli.demo import demo
from edgeagent.cli.doctor import doctor
from edgeagent.cli.enrol import enrol_code, enrol_server, enrolled
from edgeagent.cli.fleet import app as fleet
from edgeagent.cli.manual import manual
from edgeagent.cli.options import DEFAULT_CONFIG, LangOption
from edgeagent.cli.outbox import app as outbox
from edgeagent.cli.privacy import app as privacy
from edgeagent.cli.read import read
from edgeagent.cli.report import app as report
from edgeagent.cli.scan import app as scan
from edgeagent.cli.setup import setup
from edgeagent.cli.update import app as update
from edgeagent.cli.web import web
from edgeagent.cli.wipe import wipe
from edgeagent.errors import (
    ConfigError,
    EdgeAgentError,
    Refused,
    SourceUnavailable,
    UpdateRefused,
    UpdateUnavailable,
    UplinkRefused,
    UplinkUnavailable,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="edgeagent",
    help="Gateway agent for river gauges, watch tags and traffic cameras. 河川水位・見守りタグ・交通量のゲートウェイ。",
    invoke_without_command=True,  # `_next` says what to type
    add_completion=True,
    rich_markup_mode=None,  # plain help: a third of the import time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _next(context: typer.Context, lang: LangOption = None) -> None:
    if context.invoked_subcommand is None:
        from edgeagent.cli import first

        verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
        listed = first.offers(DEFAULT_CONFIG, verbs, systemd=Path("/run/systemd/system").is_dir())
        tell(first.text(listed))


app.command()(agent.run)
app.command()(agent.check)
app.command()(agent.status)
app.command()(agent.version)
app.command()(doctor)
app.command()(setup)
app.add_typer(outbox, name="outbox")
app.add_typer(count, name="count")
app.add_typer(scan, name="scan")
app.add_typer(update, name="update")
fleet.command("enrol-server")(enrol_server)
fleet.command("enrol-code")(enrol_code)
fleet.command("enrolled")(enrolled)
app.add_typer(fleet, name="fleet")
app.add_typer(privacy, name="privacy")
app.command()(claim)
app.add_typer(report, name="report")
app.command()(wipe)
app.command()(web)
app.command()(demo)
app.command()(read)
app.command()(calibrate)
app.command()(manual)

_EXIT = (
    (ConfigError, 2),
    (SourceUnavailable, 3),
    (UplinkRefused, 5),
    (UplinkUnavailable, 4),
    (UpdateRefused, 5),
    (UpdateUnavailable, 4),
    (Refused, 5),
)


def main() -> None:
    """Entry point of the console script: errors become text and an exit code, never a traceback."""
    command = help_page.translated(typer.main.get_command(app), help_page.spoken())
    try:
        code = command.main(prog_name="edgeagent", standalone_mode=False)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.message, file=sys.stderr)
        else:
            _say(help_page.mistyped(error))
        raise SystemExit(2) from None
    except typer.Abort:
        raise SystemExit(1) from None
    except EdgeAgentError as error:
        _say(error)
        raise SystemExit(next((code for kind, code in _EXIT if isinstance(error, kind)), 1)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `edgeagent status | head`
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("EDGEAGENT_DEBUG"):
            raise
        _say(EdgeAgentError("cli.bug", kind=type(error).__name__, why=str(error)))
        raise SystemExit(1) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _say(error: EdgeAgentError) -> None:
    said = messages.text(error.code, error.facts, help_page.spoken())
    tell(f"✗ {said.what}" + (f"\n  → {said.remedy}" if said.remedy else ""), file=sys.stderr)
    if "--json" in sys.argv:
        print(json.dumps({"ok": False, "code": error.code, "message": str(said)}, ensure_ascii=False))
