"""The embedded city: strict about shapes, last write wins, and it notices."""

import http.client
import json
import socket
import urllib.error
import urllib.request

import pytest

from edgeagent.ngsi import entities, ld
from edgeagent.simulate.city import City, answer, cut, hang
from edgeagent.simulate.city_memory import CityMemory, Instance
from tests.ngsi.samples import ALL, SITE, WATER

LINK = '<http://127.0.0.1/context.jsonld>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


@pytest.fixture
def city():
    made = City()
    made.start()
    yield made
    made.stop()


def call(city, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(city.url + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.loads(response.read() or "null"), response.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or "null"), error.headers


UPSERT = "/ngsi-ld/v1/entityOperations/upsert?options=update"


def water(second=1, level=1.0, sequence=None, **more):
    at = f"2026-11-23T05:00:{second:02d}.000Z"
    return {
        "id": "urn:ngsi-ld:WaterObserved:GW:m",
        "type": "WaterObserved",
        "waterLevel": {"type": "Property", "value": level, "observedAt": at, "unitCode": "MTR"},
        "sequenceNumber": {"type": "Property", "value": sequence or second, "observedAt": at},
        **more,
    }


def test_created_then_updated(city):
    assert call(city, UPSERT, [water(1)])[:2] == (201, ["urn:ngsi-ld:WaterObserved:GW:m"])
    assert call(city, UPSERT, [water(2, name={"type": "Property", "value": "m"})])[0] == 204
    assert call(city, UPSERT, [water(3)])[0] == 204
    (found,) = call(city, "/ngsi-ld/v1/entities")[1]
    assert found["waterLevel"]["observedAt"] == "2026-11-23T05:00:03.000Z"
    assert found["name"]["value"] == "m"  # options=update keeps what is not sent
    assert call(city, "/ngsi-ld/v1/entities?type=Device")[1] == []
    assert call(city, "/ngsi-ld/v1/entities/urn:ngsi-ld:WaterObserved:GW:m")[1] == found
    assert call(city, "/ngsi-ld/v1/entities/urn:x:y")[0] == 404
    assert call(city, "/")[1]["instances"] == 3
    assert "waterLevel" in call(city, "/context.jsonld")[1]["@context"]


def test_the_last_write_wins_and_is_noticed(city):
    for second in (2, 1, 3, 3):
        call(city, UPSERT, [water(second)])
    seen = city.snapshot()
    assert (seen.regressions, seen.duplicates, seen.distinct, seen.instances) == (1, 1, 3, 4)
    call(city, UPSERT, [water(5), water(4)])
    assert (city.snapshot().repeated, city.snapshot().regressions) == (1, 2)
    assert city.snapshot().newest["urn:ngsi-ld:WaterObserved:GW:m"].sequence == 4


def test_history_leaves_the_state_alone(city):
    call(city, UPSERT, [water(9)])
    body = ld.temporal([entities.entity(WATER, SITE)])
    assert call(city, "/ngsi-ld/v1/temporal/entities", json.loads(body))[0] == 201  # unknown: its state too
    late = {"id": "urn:ngsi-ld:WaterObserved:GW:m", "type": "WaterObserved"}
    late |= {n: [water(s)[n] for s in (1, 2)] for n in ("waterLevel", "sequenceNumber")}
    assert call(city, "/ngsi-ld/v1/temporal/entities/", late)[0] == 204
    assert [(i.sequence, i.way) for i in city.history("urn:ngsi-ld:WaterObserved:GW:m")] == [
        (9, "upsert"),
        (1, "temporal"),
        (2, "temporal"),
    ]
    assert city.snapshot().newest["urn:ngsi-ld:WaterObserved:GW:m"].sequence == 9
    assert city.snapshot().regressions == 0


@pytest.mark.parametrize(
    "entity",
    [
        {"id": "no uri", "type": "T"},
        {"id": "urn:x:y"},
        {"id": "urn:x:川", "type": "T"},
        {"id": "urn:x:y", "type": "T", "a": 5},
        {"id": "urn:x:y", "type": "T", "a": {"value": 5}},
        {"id": "urn:x:y", "type": "T", "a": {"type": "Property", "value": None}},
        {
            "id": "urn:x:y",
            "type": "T",
            "a": {"type": "Property", "value": 5, "observedAt": "2026-11-23T05:00:00+09:00"},
        },
        {"id": "urn:x:y", "type": "T", "a b": {"type": "Property", "value": 5}},
        {"id": "urn:x:y", "type": "T", "a": {"type": "Property", "value": 5, "unit": "m"}},
        "entity",
    ],
)
def test_bad_shapes_are_refused(city, entity):
    status, problem, _ = call(city, UPSERT, [entity])
    assert status == 400 and problem["type"].endswith("BadRequestData")
    assert city.snapshot().instances == 0 and city.snapshot().refused == 1


def test_what_is_sent_by_us_is_taken(city):
    batch = [json.loads(ld.normalized(entities.entity(r, SITE))) for r in ALL.values()]
    kept = {e["id"]: e for e in batch}
    assert call(city, UPSERT, list(kept.values()), Link=LINK)[0] == 201
    assert {e["id"] for e in city.entities()} == set(kept)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (
            {"actionType": "append", "entities": [{"id": "urn:x:y", "type": "T", "a": {"type": "Number", "value": 1}}]},
            204,
        ),
        (
            {
                "actionType": "append",
                "entities": [{"id": "urn:x:y", "type": "T", "a": {"type": "Text", "value": "(1)"}}],
            },
            400,
        ),
        ({"actionType": "append", "entities": [{"id": "urn:x:y&", "type": "T"}]}, 400),
        ({"actionType": "append", "entities": [{"id": "urn:x:y", "type": "T", "a": 1}]}, 400),
        ({"actionType": "delete", "entities": []}, 400),
        ([], 400),
    ],
)
def test_updates_of_version_2(city, body, status):
    assert call(city, "/v2/op/update", body)[0] == status
    assert len(call(city, "/v2/entities")[1]) == (status == 204)


def test_misbehaviour_on_script(city):
    city.script(answer(429, retry_after_s=2), answer(413), cut(stored=True), cut(half=True), hang(0.05))
    status, _, headers = call(city, UPSERT, [water(1)])
    assert (status, headers["Retry-After"]) == (429, "2")
    assert call(city, UPSERT, [water(1)])[0] == 413
    for _ in range(2):
        with pytest.raises((OSError, http.client.HTTPException)):
            call(city, UPSERT, [water(2)])
    assert call(city, UPSERT, [water(3)])[0] == 204
    assert [i.sequence for i in city.history()] == [2, 3]


def test_chosen_entities_are_refused(city):
    city.poison("urn:ngsi-ld:WaterObserved:GW:m")
    good = {**water(1), "id": "urn:ngsi-ld:WaterObserved:GW:n"}
    status, found, _ = call(city, UPSERT, [water(1), good])
    assert status == 207 and found["success"] == [good["id"]]
    assert found["errors"][0]["error"]["status"] == 400
    city.poison("urn:ngsi-ld:WaterObserved:GW:m", whole_batch=True)
    assert call(city, UPSERT, [water(1), good])[0] == 400


def test_cut_and_mended_on_the_same_port(city):
    url = city.url
    call(city, UPSERT, [water(1)])
    city.cut()
    with pytest.raises(urllib.error.URLError):
        call(city, UPSERT, [water(2)])
    city.mend()
    assert city.url == url
    assert call(city, UPSERT, [water(2)])[0] == 204


@pytest.mark.parametrize("header", ["", "Transfer-Encoding: chunked\r\n"])
def test_a_length_is_required(city, header):
    host, port = city.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as line:
        line.sendall(f"POST {UPSERT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 411")


def test_memory_is_bounded():
    memory = CityMemory(remember=10, entities=3)
    for number in range(1, 100):
        memory.upsert(
            Instance("urn:x:a", "T", f"2026-11-23T05:{number // 60:02d}:{number % 60:02d}Z", number, {}, "v2"), {}
        )
    assert len(memory.history) == 10 and len(memory._seen) == 10
    assert memory.snapshot().distinct == 99
    memory.upsert(Instance("urn:x:b", "T", "", 1, {}, "v2"), {})
    memory.upsert(Instance("urn:x:c", "T", "", 1, {}, "v2"), {})
    with pytest.raises(ValueError, match="3 entities"):
        memory.upsert(Instance("urn:x:d", "T", "", 1, {}, "v2"), {})
