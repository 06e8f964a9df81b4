"""What a buyer and a finder of weaknesses must be told (EN 303 645 5.2-1, 5.3-13; JC-STAR S1.1-05, -09, -16)."""

from __future__ import annotations

from edgeagent import __version__, messages

__all__ = ["CONTACT", "MODEL", "SUPPORTED_UNTIL", "document", "text"]

MODEL = "edgeagent gateway"
SUPPORTED_UNTIL = "2036-12-31"  # security updates at least so long; a gateway stands for ten years
CONTACT = "the security contact in the repository's SECURITY section of README.md"
ANSWER_DAYS, FIX_DAYS = 5, 90


def document() -> dict[str, object]:
    """For machines."""
    return {
        "model": MODEL,
        "version": __version__,
        "supported_until": SUPPORTED_UNTIL,
        "report_to": CONTACT,
        "first_answer_days": ANSWER_DAYS,
        "fix_days": FIX_DAYS,
        "updates": "signed (TUF); verified before installation; go back by themselves",
        "sbom": "beside the package: edgeagent_<version>.cdx.json (CycloneDX)",
    }


def text() -> str:
    """For people."""
    said = {
        "en": (
            f"{MODEL} {__version__}\n"
            f"Security updates until {SUPPORTED_UNTIL} at least.\n"
            "Report a weakness privately: README, section 'Security'.\n"
            f"A first answer within {ANSWER_DAYS} working days, a fix within {FIX_DAYS} days; "
            "please do not publish before that.\n"
            "Updates are signed, checked before they are installed, and go back by themselves if the gateway "
            "does not work with them. Security fixes come before features.\n"
            "Parts list: edgeagent_<version>.cdx.json (CycloneDX), beside the package."
        ),
        "ja": (
            f"{MODEL} {__version__}\n"
            f"セキュリティ更新の提供期間: 少なくとも {SUPPORTED_UNTIL} まで\n"
            "脆弱性の報告: README の「Security」の節をご覧ください (非公開でお願いします)。\n"
            f"{ANSWER_DAYS} 営業日以内に最初の回答、{FIX_DAYS} 日以内に修正します。それまでは公表をお控えください。\n"
            "更新は署名され、導入前に検証され、正しく動かないときは自動で元に戻ります。\n"
            "セキュリティ修正は機能追加より優先します。\n"
            "部品表: edgeagent_<version>.cdx.json (CycloneDX、パッケージと同じ場所)"
        ),
    }
    return said[messages.language()]
