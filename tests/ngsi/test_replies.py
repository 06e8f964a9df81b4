"""What a broker's answer means."""

import json

import pytest

from edgeagent.ngsi import ld, v2
from edgeagent.ngsi.replies import Fate, retry_after_s

ETSI = "https://uri.etsi.org/ngsi-ld/errors/"


def body(**members):
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("status", "content", "fate", "code"),
    [
        (201, b'["urn:a"]', Fate.DONE, ""),
        (204, b"", Fate.DONE, ""),
        (200, b"<html>please log in</html>", Fate.WAIT, "uplinks.not-a-broker"),
        (200, b"", Fate.WAIT, "uplinks.not-a-broker"),
        (202, b"", Fate.WAIT, "uplinks.not-a-broker"),
        (301, b"", Fate.REFUSED, "uplinks.redirected"),
        (400, body(type=ETSI + "BadRequestData", title="bad"), Fate.SPLIT, ""),
        (401, b"", Fate.REFUSED, "uplinks.credentials-refused"),
        (403, b"", Fate.REFUSED, "uplinks.credentials-refused"),
        (404, body(type=ETSI + "NonexistentTenant"), Fate.REFUSED, "uplinks.no-tenant"),
        (404, b"not found", Fate.REFUSED, "uplinks.wrong-address"),
        (405, b"", Fate.REFUSED, "uplinks.wrong-address"),
        (408, b"", Fate.WAIT, "uplinks.busy"),
        (413, b"", Fate.SPLIT, ""),
        (422, b"", Fate.SPLIT, ""),
        (429, b"", Fate.WAIT, "uplinks.busy"),
        (500, b"<html>", Fate.WAIT, "uplinks.busy"),
        (503, body(type=ETSI + "LdContextNotAvailable"), Fate.WAIT, "uplinks.context-not-available"),
    ],
)
def test_one_status_for_all(status, content, fate, code):
    reply = ld.judge(status, {}, content)
    assert (reply.fate, reply.code) == (fate, code)
    if status not in (200, 201):
        assert v2.judge(status, {}, content).fate is fate


def test_207_is_judged_entity_by_entity():
    errors = [
        {"entityId": "bad", "error": {"type": ETSI + "BadRequestData", "title": "no", "status": 400}},
        {"entityId": "typed", "error": {"type": ETSI + "BadRequestData"}},
        {"entityId": "busy", "error": {"type": ETSI + "InternalError", "status": 503}},
        {"entityId": "denied", "error": {"status": 403}},
        {"entityId": "later", "error": {"status": "429"}},
        {"entityId": "odd", "error": "what?"},
        "nonsense",
    ]
    reply = ld.judge(207, {}, body(success=["good"], errors=errors))
    assert reply.fate is Fate.PARTIAL
    assert reply.accepted == {"good"}
    assert reply.rejected == {"bad": "no", "typed": "refused"}


def test_an_old_broker_says_200_and_error():
    reply = ld.judge(200, {}, body(success=["a"], error=[{"entityId": "b", "error": {"status": 400, "title": "t"}}]))
    assert (reply.fate, reply.accepted, reply.rejected) == (Fate.PARTIAL, {"a"}, {"b": "t"})


def test_a_broker_without_temporal_interface_is_told_from_a_wrong_tenant():
    assert ld.judge_temporal(404, {}, b"").code == "uplinks.no-temporal"
    assert ld.judge_temporal(501, {}, b"").code == "uplinks.no-temporal"
    assert ld.judge_temporal(404, {}, body(type=ETSI + "NonexistentTenant")).code == "uplinks.no-tenant"
    assert ld.judge_temporal(204, {}, b"").fate is Fate.DONE
    assert ld.judge_temporal(503, {}, b"").fate is Fate.WAIT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "999999"}, 3600.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:07:00 GMT", "date": "Wed, 18 Nov 2026 11:06:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:00:00 GMT", "date": "Wed, 18 Nov 2026 11:06:30 GMT"}, 0.0),
        ({"retry-after": "Wed, 18 Nov 2026 11:07:00 GMT"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after_s(headers) == seconds
    assert ld.judge(503, headers, b"").retry_after_s == seconds


@pytest.mark.parametrize(
    ("text", "good"), [("", True), ("nagano_1", True), ("Nagano", False), ("a b", False), ("x" * 51, False)]
)
def test_fiware_service(text, good):
    assert v2.good_service(text) is good


@pytest.mark.parametrize(
    ("text", "good"), [("/", True), ("/river/nagano", True), ("river", False), ("/a" * 11, False), ("/川", False)]
)
def test_fiware_service_path(text, good):
    assert v2.good_service_path(text) is good
