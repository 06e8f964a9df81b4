"""What a broker's answer means for the entities of one request.

Rules (facts: CIM 009 6.14, Orion's and Scorpio's documents, and brokers that were run):
- 201 lists only the *created* ids, a mixed success is 201 too; 204 says all existed.
- 207 decides per entity; what it does not mention is kept.
- 400, 413 and 422 may be the fault of one entity: the request is split until it stands alone.
- 401, 403, an unknown tenant and a wrong address concern a person, never the data: keep all.
- 408, 425, 429, 5xx and anything that is no broker's answer (a captive portal's 200) are waited out.
"""

from __future__ import annotations

import email.utils
import enum
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

__all__ = ["Fate", "Reply", "retry_after_s", "sort_status"]

_LONGEST_WAIT_S = 3600.0
_SHOWN = 200
_HTTP_OK, _HTTP_MULTIPLE, _HTTP_BAD, _HTTP_SERVER = 200, 300, 400, 500
_SPLIT = frozenset({400, 409, 413, 422})
_NO = frozenset({401, 403, 407})
_LATER = frozenset({408, 425, 429})


class Fate(enum.Enum):
    """What to do with the entities of a request."""

    DONE = "done"
    PARTIAL = "partial"
    SPLIT = "split"
    WAIT = "wait"
    REFUSED = "refused"


class Reply(msgspec.Struct, frozen=True):
    """A judged answer.

    Attributes:
        accepted: entity ids acknowledged; meaningful for PARTIAL (DONE means every one).
        rejected: entity id -> reason, refused for good; for PARTIAL.
        code: message code for WAIT and REFUSED.
        detail: what the broker wrote, shortened.
        retry_after_s: what it asked for.
    """

    fate: Fate
    accepted: frozenset[str] = frozenset()
    rejected: Mapping[str, str] = {}
    code: str = ""
    detail: str = ""
    retry_after_s: float | None = None


def sort_status(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Judge every answer that is not a success; headers in lower case."""
    problem = json_object(body)
    detail = describe(problem) or body[:_SHOWN].decode("utf-8", "replace").strip()
    detail = detail or f"HTTP {status}"
    wait = retry_after_s(headers)
    if status in _SPLIT:
        return Reply(Fate.SPLIT, detail=detail)
    if status in _NO:
        return Reply(Fate.REFUSED, code="uplinks.credentials-refused", detail=detail, retry_after_s=wait)
    if _HTTP_MULTIPLE <= status < _HTTP_BAD:
        return Reply(Fate.REFUSED, code="uplinks.redirected", detail=headers.get("location", ""))
    if status in _LATER or status >= _HTTP_SERVER:
        code = "uplinks.busy"
        if "LdContextNotAvailable" in str(problem.get("type", "")):
            code = "uplinks.context-not-available"
        return Reply(Fate.WAIT, code=code, detail=detail, retry_after_s=wait)
    if status < _HTTP_MULTIPLE:
        return Reply(Fate.WAIT, code="uplinks.not-a-broker", detail=detail)
    if "NonexistentTenant" in str(problem.get("type", "")):
        return Reply(Fate.REFUSED, code="uplinks.no-tenant", detail=detail)
    return Reply(Fate.REFUSED, code="uplinks.wrong-address", detail=detail)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header: a number, or a date counted from the answer's own Date."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdigit():
        return min(float(text), _LONGEST_WAIT_S)
    try:
        until = email.utils.parsedate_to_datetime(text)
        since = email.utils.parsedate_to_datetime(headers.get("date", ""))
        seconds = (until - since).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)


def per_entity(errors: Iterable[object]) -> dict[str, str]:
    """The `errors` member of a 207: entity id -> reason, for those refused for good."""
    rejected = {}
    for item in errors:
        if not isinstance(item, dict) or not isinstance(item.get("entityId"), str):
            continue
        error = item.get("error")
        problem = error if isinstance(error, dict) else {"title": str(error)}
        if _for_good(problem):
            rejected[item["entityId"]] = describe(problem) or "refused"
    return rejected


def _for_good(problem: Mapping[str, Any]) -> bool:
    """Permanent by status, else by the kind of error; in doubt not, for a kept row harms nobody."""
    status = problem.get("status")
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, int):
        return _HTTP_BAD <= status < _HTTP_SERVER and status not in _LATER | _NO
    kinds = ("InvalidRequest", "BadRequestData", "OperationNotSupported", "AlreadyExists")
    return str(problem.get("type", "")).endswith(kinds)


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object, or an empty one."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def describe(problem: Mapping[str, Any]) -> str:
    """Title and detail of ProblemDetails, error and description of NGSIv2, as one short text."""
    parts = [problem.get(k) for k in ("error", "title", "description", "detail")]
    return ": ".join(p for p in parts if isinstance(p, str) and p)[:_SHOWN]
