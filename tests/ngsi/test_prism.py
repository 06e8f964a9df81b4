"""What the uplinks send, held against API descriptions by a server that is not ours (Stoplight Prism).

`make test` installs it from the npm registry into .venv/prism.
"""

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import edgeagent.ngsi
from edgeagent.ngsi import entities, ld, v2
from edgeagent.ports import Row
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig, NgsiV2, NgsiV2Config
from tests.conftest import SHARED
from tests.fakes import surroundings
from tests.ngsi.samples import ALL, SITE
from tests.ngsi.test_contract import moments

pytestmark = [pytest.mark.slow, pytest.mark.tool("prism")]
CONTRACT = Path(edgeagent.ngsi.__file__).parent / "contract" / "openapi.json"


@contextlib.contextmanager
def prism(description: Path, log: Path):
    """The server, answering by a description; a request that does not fit it gets 4xx."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["prism", "mock", "--errors", "-h", "127.0.0.1", "-p", str(port), str(description)], stdout=out, stderr=out
        )
        try:
            deadline = time.monotonic() + 120
            while b"is listening" not in log.read_bytes():
                assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def post(url, body, **headers):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_what_is_sent_fits_the_published_contract(tmp_path):
    log = tmp_path / "prism.log"
    rows = [Row(n, r) for n, r in enumerate([*moments(5), *(r for k, r in ALL.items() if k != "water")])]
    with prism(CONTRACT, log) as url:
        context = "https://city.example/context.jsonld"
        sections = [
            (NgsiLd, NgsiLdConfig, {"driver": "ngsi-ld", "history": "temporal", "tenant": "t", "context": context}),
            (NgsiLd, NgsiLdConfig, {"driver": "ngsi-ld", "form": "concise"}),
            (NgsiV2, NgsiV2Config, {"driver": "ngsi-v2", "history": "quantumleap", "quantumleap_url": url}),
        ]

        async def send(kind, section, n):
            place = tmp_path / str(n)
            place.mkdir()
            link = kind.make(section, surroundings(place))
            left = list(rows)
            for _ in range(20):  # a delivery reports after some seconds what it has done so far
                done = await link.deliver(left)
                assert not done.rejected and done.error is None, (done, log.read_text()[-3000:])
                left = [row for row in left if row.id not in done.accepted]
                if not left:
                    break
            await link.close()
            assert not left

        for n, (kind, config, keys) in enumerate(sections):
            asyncio.run(send(kind, config(id="c", url=url, timeout_s=60, **keys), n))
        good = json.loads(ld.normalized(entities.entity(ALL["water"], SITE)))
        for change in ({"id": "not a urn"}, {"type": "Unheard"}, {"waterLevel": {"type": "Property"}}):
            status, _ = post(f"{url}{ld.UPSERT}", json.dumps([good | change]).encode(), Link="<x>")
            assert status in (400, 422), (change, status)
    text = log.read_text()
    assert len(re.findall(r"Request received|POST /", text)) > 5
    assert "VALIDATOR" in text, "it did validate"


@pytest.mark.shared
def test_what_is_sent_fits_the_official_descriptions(tmp_path):
    all_ = [entities.entity(r, SITE) for r in ALL.values() if r is not ALL["blind"]]
    with prism(SHARED / "ngsi" / "openapi" / "ngsiv2-openapi.json", tmp_path / "v2.log") as url:
        status, said = post(f"{url}/op/update", v2.append([v2.normalized(e) for e in all_]))
        if status == 404:
            status, said = post(f"{url}/v2/op/update", v2.append([v2.normalized(e) for e in all_]))
        assert status in (200, 204), said[:500]
        status, _ = post(f"{url}/op/update", b'{"actionType":"add"}')
        assert status >= 400
