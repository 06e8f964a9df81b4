"""The published contract: what it says is what is sent, and its examples are made here.

After a change of what is sent: EDGEAGENT_WRITE_EXAMPLES=1 pytest tests/ngsi/test_contract.py
"""

import json
import os
import re
import urllib.parse
from pathlib import Path

import jsonschema
import msgspec
import pytest

import edgeagent.ngsi
from edgeagent.errors import UplinkUnavailable
from edgeagent.ngsi import entities, iota_json, iota_ul, ld, terms, v2
from edgeagent.ports import Row
from edgeagent.reading import Moment
from edgeagent.simulate.city import City, cut
from edgeagent.uplinks.http import Endpoint
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig, NgsiV2, NgsiV2Config
from tests.fakes import surroundings
from tests.ngsi.samples import ALL, AT, SITE, WATER

CONTRACT = Path(edgeagent.ngsi.__file__).parent / "contract"
OPENAPI = json.loads((CONTRACT / "openapi.json").read_text())
ASYNCAPI = json.loads((CONTRACT / "asyncapi.json").read_text())


def moments(count):
    """The gauge's reading, and later ones."""
    for n in range(count):
        at = Moment(AT.wall_ms + n * 10_000, AT.mono_ms + n * 10_000, AT.boot_id, AT.trust)
        yield msgspec.structs.replace(WATER, at=at, sequence=WATER.sequence + n)


def made_examples():
    all_ = [entities.entity(r, SITE) for r in ALL.values() if r is not ALL["blind"]]
    two = [entities.entity(r, SITE) for r in moments(2)]
    measures = [iota_json.measure(r, SITE) for r in moments(2)]
    return {
        "ngsi-ld-upsert.json": b"[" + b",".join(map(ld.normalized, all_)) + b"]",
        "ngsi-ld-upsert-concise.json": b"[" + b",".join(map(ld.concise, all_)) + b"]",
        "ngsi-ld-temporal.json": ld.temporal(two),
        "ngsi-v2-update.json": v2.append([v2.normalized(e) for e in all_]),
        "quantumleap-notify.json": v2.notification([v2.normalized(e) for e in two]),
        "iota-json-one.json": iota_json.payload(measures[:1]),
        "iota-json-several.json": iota_json.payload(measures),
        "iota-ul.txt": iota_ul.payload([iota_ul.measure(r, SITE) for r in moments(2)]) + b"\n",
    }


@pytest.mark.parametrize(("name", "content"), made_examples().items(), ids=made_examples().keys())
def test_the_examples_are_what_is_sent(name, content):
    file = CONTRACT / "examples" / name
    if name.endswith(".json"):
        content = json.dumps(json.loads(content), ensure_ascii=False, indent=1).encode() + b"\n"
    if os.environ.get("EDGEAGENT_WRITE_EXAMPLES"):
        file.write_bytes(content)
    assert file.read_bytes() == content


def test_every_example_is_named_and_every_name_is_there():
    text = json.dumps([OPENAPI, ASYNCAPI])
    named = set(re.findall(r'"examples/([^"]+)"', text))
    assert named == {p.name for p in (CONTRACT / "examples").iterdir()} == set(made_examples())


def check(schema, value, of=OPENAPI):
    kind = jsonschema.Draft4Validator if of is OPENAPI else jsonschema.Draft7Validator
    kind({**schema, "components": of["components"]}).validate(value)


def named(schema):
    return {"$ref": f"#/components/schemas/{schema}"}


@pytest.mark.parametrize("reading", ALL.values(), ids=ALL.keys())
def test_every_kind_of_thing_fits(reading):
    made = entities.entity(reading, SITE)
    check(named("Entity"), json.loads(ld.normalized(made)))
    check(named("ConciseEntity"), json.loads(ld.concise(made)))
    check(named("EntityTemporal"), json.loads(ld.temporal([made, made])))
    check(named("V2Entity"), json.loads(v2.normalized(made)))
    check(named("Measure"), json.loads(iota_json.measure(reading, SITE)), ASYNCAPI)
    check(named("Groups"), iota_ul.payload([iota_ul.measure(reading, SITE)] * 2).decode(), ASYNCAPI)


def test_the_contract_is_not_so_loose_that_anything_fits():
    made = json.loads(ld.normalized(entities.entity(WATER, SITE)))
    concise = json.loads(ld.concise(entities.entity(WATER, SITE)))
    wrong = [
        made | {"waterLevel": {"type": "Property"}},
        made | {"waterLevel": {**made["waterLevel"], "observedAt": "2026-11-18 11:06"}},
        made | {"waterLevel": {**made["waterLevel"], "unit": "m"}},
        made | {"id": "miyagawa"},
        made | {"type": "River"},
        {name: value for name, value in made.items() if name != "sequenceNumber"},
        concise,
    ]
    for one in wrong:
        with pytest.raises(jsonschema.ValidationError):
            check(named("Entity"), one)
    for text in ("waterLevel|1.0", "2026-11-18T11:06:41.234Z|waterLevel", "2026-11-18T11:06:41.234Z|a|1#b|2"):
        with pytest.raises(jsonschema.ValidationError):
            check(named("Groups"), text, ASYNCAPI)


def test_the_answer_it_shows_is_one_we_understand():
    answer = OPENAPI["paths"]["/ngsi-ld/v1/temporal/entities/{entityId}"]["get"]["responses"]["200"]
    shown = answer["content"]["application/json"]
    check(shown["schema"], shown["example"])
    assert ld.held(200, json.dumps(shown["example"]).encode()) == {7}
    one = shown["example"] | {
        "sequenceNumber": shown["example"]["sequenceNumber"][0]
    }  # some brokers unwrap a single one
    assert ld.held(200, json.dumps(one).encode()) == {7}
    assert ld.held(404, json.dumps(one).encode()) == ld.held(200, b"<html>") == ld.held(200, b"[]") == frozenset()


def test_it_names_every_type_there_is():
    assert set(terms.TYPES.values()) == set(OPENAPI["components"]["schemas"]["EntityType"]["enum"])


def test_topics_are_the_channels():
    for module, channel in ((iota_json, "json"), (iota_ul, "ultralight")):
        assert module.topic("{apikey}", "{device}") == ASYNCAPI["channels"][channel]["address"]


@pytest.fixture
def called(monkeypatch):
    """Every request that an uplink makes."""
    calls = []
    ask = Endpoint._ask

    def note(self, method, url, headers, body):
        calls.append((method, urllib.parse.urlsplit(url), dict(headers), body))
        return ask(self, method, url, headers, body)

    monkeypatch.setattr(Endpoint, "_ask", note)
    return calls


def operation_of(method, path):
    for template, operations in OPENAPI["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path) and method.lower() in operations:
            return operations[method.lower()]
    raise AssertionError(f"{method} {path} is not in the contract")


@pytest.mark.parametrize(
    ("driver", "config"),
    [
        ("ngsi-ld", {"history": "temporal", "tenant": "nagano", "context": "https://city.example/c.jsonld"}),
        ("ngsi-ld", {"form": "concise", "context": ""}),
        ("ngsi-v2", {"history": "quantumleap", "tenant": "nagano", "service_path": "/river"}),
        ("ngsi-v2", {}),
    ],
)
async def test_what_an_uplink_asks_is_in_the_contract(called, tmp_path, driver, config):
    kind, section = {"ngsi-ld": (NgsiLd, NgsiLdConfig), "ngsi-v2": (NgsiV2, NgsiV2Config)}[driver]
    city = City(concise=True)
    city.start()
    try:
        if config.get("history") == "quantumleap":
            config = config | {"quantumleap_url": city.url}
        link = kind.make(section(id="c", driver=driver, url=city.url, timeout_s=3, **config), surroundings(tmp_path))
        rows = [Row(n, r) for n, r in enumerate([*moments(5), *(r for k, r in ALL.items() if k != "water")])]
        city.script(cut())
        for _ in range(3):
            try:
                done = (await link.deliver(rows)).accepted
            except UplinkUnavailable:
                continue
            rows = [row for row in rows if row.id not in done]
        assert not rows
        await link.close()
    finally:
        city.stop()
    used = set()
    for method, url, headers, body in called:
        operation = operation_of(method, url.path)
        used.add(operation["operationId"])
        declared = {(p["in"], p["name"]): p for p in operation["parameters"]}
        sent = {("query", name): text for name, text in urllib.parse.parse_qsl(url.query)}
        sent |= {("header", name): text for name, text in headers.items() if name not in ("Accept", "Content-Type")}
        assert set(sent) <= set(declared)
        assert {key for key, p in declared.items() if p["required"] and p["in"] != "path"} <= set(sent)
        for key, text in sent.items():
            check(declared[key]["schema"], text)
        if body is not None:
            check(operation["requestBody"]["content"][headers["Content-Type"]]["schema"], json.loads(body))
    wanted = {"ngsi-ld": {"writeState"}, "ngsi-v2": {"update"}}[driver]
    wanted |= {"temporal": {"addHistory", "readHistory"}, "quantumleap": {"notify", "readQuantumLeap"}}.get(
        config.get("history"), set()
    )
    assert used == wanted


@pytest.mark.shared
def test_the_examples_are_what_the_apis_describe(shared):
    def example(name):
        return json.loads((CONTRACT / "examples" / name).read_text())

    api = json.loads((shared / "ngsi/openapi/ngsi-ld.fixed.json").read_text())
    jsonschema.Draft4Validator({"$ref": "#/components/schemas/EntityList", **api}).validate(
        example("ngsi-ld-upsert.json")
    )
    jsonschema.Draft4Validator({"$ref": "#/components/schemas/EntityTemporal", **api}).validate(
        example("ngsi-ld-temporal.json")
    )
    api = json.loads((shared / "ngsi/openapi/ngsiv2-openapi.json").read_text())
    jsonschema.Draft4Validator({"$ref": "#/definitions/UpdateRequest", **api}).validate(example("ngsi-v2-update.json"))
