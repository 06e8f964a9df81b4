"""report, report verify: what the installer hands over, and whether it is still that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeagent import messages
from edgeagent.cli.columns import coloured, columns, wrap
from edgeagent.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, LangOption
from edgeagent.errors import ConfigError

if TYPE_CHECKING:
    from edgeagent.install.report import Made
    from edgeagent.install.report_verify import Verified

__all__ = ["app"]

app = typer.Typer(help="The acceptance report. 設置完了報告書。", invoke_without_command=True)

WORDS = {
    "looking": {"ja": "点検・測定中です (1 分ほど)…", "en": "looking at everything (about a minute)…"},
    "made": {"ja": "報告書を作成しました", "en": "report made"},
    "signed": {"ja": "本機の鍵で署名しました", "en": "signed with this gateway's key"},
    "unsigned": {
        "ja": "署名なし: 改変されていても分かりません。",
        "en": "NOT SIGNED: nobody can tell whether it was changed.",
    },
    "devices": {"ja": "機器 {n} 台 / うち測定できず {bad} 台", "en": "{n} devices, {bad} of them without a reading"},
    "compared": {"ja": "量水標と一致 {good} / {n}", "en": "{good} of {n} agree with the staff gauge"},
    "checks": {"ja": "点検: 注意 {warned} 件、異常 {failed} 件", "en": "self-test: {warned} warnings, {failed} failed"},
    "unchanged": {"ja": "改変なし", "en": "unchanged"},
    "page too": {"ja": "画面・印刷の内容も含む", "en": "the page that people read, too"},
    "by": {"ja": "署名者", "en": "signed by"},
    "about": {"ja": "内容", "en": "about"},
    "certificate": {"ja": "証明書", "en": "certificate"},
    "valid": {"ja": "{begins} から {ends} まで有効", "en": "valid from {begins} to {ends}"},
    "issuer": {"ja": "発行者", "en": "issued by"},
    "vouched": {"ja": "認証局または証明書と一致", "en": "vouched for by what you gave"},
    "alone": {
        "ja": "発行者は未確認: 証明書は誰でも作れます。--ca に自治体の認証局を指定するか、指紋を見比べてください。",
        "en": "Nobody vouches for it: anybody can make a certificate. Give the city's authority with --ca, or compare "
        "the fingerprint.",
    },
    "not then": {
        "ja": "報告書の日付は証明書の有効期間の外です。",
        "en": "The report's date lies outside the certificate's life.",
    },
    "report": {"ja": "報告内容 (紙の QR と比べられます)", "en": "report (compare with the QR code on paper)"},
}
_WARNINGS = 6
Pairs = Annotated[list[str] | None, typer.Option("--staff", help="SOURCE=m on the staff gauge; repeat. 量水標の読み。")]


@app.callback()
def make(
    context: typer.Context,
    site: Annotated[str, typer.Option(help="What people call the place. 設置場所。")] = "",
    installer: Annotated[str, typer.Option(help="Who hands it over. 施工者。")] = "",
    staff: Pairs = None,
    serial: Annotated[list[str] | None, typer.Option(help="SOURCE=number off a name plate; repeat. 製造番号。")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the two files. 保存先。")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Make the acceptance report, signed: one A4 page and JSON. 設置完了報告書を作る。"""
    if context.invoked_subcommand is not None:
        return
    for value, path, word in (
        (site, "--site", {"ja": "設置場所", "en": "site"}),
        (installer, "--installer", {"ja": "施工者", "en": "installer"}),
    ):
        if not value.strip():
            raise ConfigError("report.no-site", path=path, what=word[messages.language()])
    staff_m = {source: _metres(value, source) for source, value in _pairs(staff, "--staff", "miyagawa=1.42").items()}
    serials = _pairs(serial, "--serial", "miyagawa=12345678")
    if not as_json:
        print(_w("looking"), flush=True)
    import asyncio

    from edgeagent.install import report

    done = asyncio.run(
        report.make(
            config,
            site=site.strip(),
            installer=installer.strip(),
            staff_m=staff_m,
            lang=messages.language(),
            out=out,
            serials=serials,
        )
    )
    _show_json(done) if as_json else _show(done)
    well = done.signed and all(d.why is None and d.agrees is not False for d in done.facts.devices)
    raise typer.Exit(0 if well else _WARNINGS)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The .html or .json. 報告書のファイル。")],
    ca: Annotated[Path | None, typer.Option(help="PEM of the authority that you trust. 認証局。")] = None,
    cert: Annotated[Path | None, typer.Option(help="PEM of the gateway's certificate. 証明書。")] = None,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Is it unchanged, and who signed it? exit 5: refused, 6: nobody vouches. 改変と署名者を確かめる。"""
    from edgeagent.install import report_verify

    found = report_verify.verify(file, ca=ca, cert=cert)
    if as_json:
        import msgspec

        print(json.dumps({"ok": True, **msgspec.to_builtins(found)}, ensure_ascii=False))
    else:
        _show_verified(found)
    raise typer.Exit(0 if found.vouched and found.in_time else _WARNINGS)


def _show(done: Made) -> None:
    devices = done.facts.devices
    compared = [one.agrees for one in devices if one.agrees is not None]
    lost = sum(one.why is not None for one in devices)
    _line("✓" if not lost else "!", _w("devices").format(n=len(devices), bad=lost))
    if compared:
        _line("✓" if all(compared) else "✗", _w("compared").format(good=sum(compared), n=len(compared)))
    states = [one.state for one in done.facts.doctor]
    failed, warned = states.count("failed"), states.count("warning")
    _line("✗" if failed else "!" if warned else "✓", _w("checks").format(failed=failed, warned=warned))
    if done.why is None:
        _line("✓", _w("signed"))
    else:
        said = messages.text(done.why.code, done.why.facts, messages.language())
        _line("✗", f"{_w('unsigned')} {said.what}")
        print("\n".join(wrap(said.remedy, columns(), "  → ", "    ")))
    _line("✓", _w("made"))
    print(f"  {done.html}\n  {done.json}")


def _show_json(done: Made) -> None:
    document = {
        "ok": True,
        "html": str(done.html),
        "json": str(done.json),
        "signed": done.signed,
        "sha256": done.sha256,
        "doctor": {state: sum(c.state == state for c in done.facts.doctor) for state in ("ok", "warning", "failed")},
        "compared": {d.id: d.agrees for d in done.facts.devices if d.agrees is not None},
        "without": [d.id for d in done.facts.devices if d.why is not None],
    }
    print(json.dumps(document, ensure_ascii=False))


def _show_verified(found: Verified) -> None:
    from edgeagent.install.identity import day

    _line("✓", _w("unchanged") + (f" ({_w('page too')})" if found.page else ""))
    _line("✓", f"{_w('by')} {found.gateway}")
    told = found.report
    _line(" ", f"{_w('about')} {told.get('site', '?')}, {told.get('made_at', '?')}, {told.get('installer', '?')}")
    valid = _w("valid").format(begins=day(found.begins_s), ends=day(found.ends_s))
    _line(
        " " if found.in_time else "!",
        f"{_w('certificate')} {valid}" + ("" if found.in_time else f" – {_w('not then')}"),
    )
    _line(" ", f"{_w('issuer')} {found.issuer}")
    _line("✓" if found.vouched else "!", _w("vouched" if found.vouched else "alone"))
    for word, sha256 in (("certificate", found.fingerprint), ("report", found.sha256)):
        _line(" ", f"{_w(word)} sha256")
        for at in range(0, len(sha256), 32):
            print("    " + " ".join(sha256[at + n : at + n + 8] for n in range(0, 32, 8)))


def _line(mark: str, text: str) -> None:
    first, *rest = wrap(text, columns(), f"{mark} ", "  ", whole=True)
    print("\n".join([first.replace(mark, coloured(mark), 1), *rest]))


def _pairs(given: list[str] | None, path: str, example: str) -> dict[str, str]:
    found = {}
    for one in given or ():
        source, sign, value = one.partition("=")
        if not (source.strip() and sign and value.strip()):
            raise ConfigError("report.bad-pair", path=path, got=one, example=example)
        found[source.strip()] = value.strip()
    return found


def _metres(value: str, source: str) -> float:
    try:
        metres = float(value)
        assert abs(metres) < 10_000  # noqa: PLR2004  no river is higher; and no nan
    except (ValueError, AssertionError) as error:
        raise ConfigError(
            "report.bad-pair", path="--staff", got=f"{source}={value}", example=f"{source}=1.42"
        ) from error
    return metres


def _w(word: str) -> str:
    return WORDS[word][messages.language()]
