"""What the sections say no to, and that the table finds the drivers."""

import pytest

from edgeagent import config, messages, uplinks
from edgeagent.uplinks.iota_mqtt import IotaConfig
from edgeagent.uplinks.ngsi_http import NgsiLdConfig, NgsiV2Config

LD = {"id": "c", "driver": "ngsi-ld", "url": "https://city.example/"}
V2 = {"id": "c", "driver": "ngsi-v2", "url": "https://city.example/", "tenant": "nagano"}
OAUTH = {"token_url": "https://idm.example/oauth2/token", "client_id": "box", "token": "secret"}
MQTT = {"id": "c", "driver": "iota-json", "host": "broker.example", "apikey": "k"}


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        (NgsiLdConfig, LD | {"tenant": "nagano", "history": "temporal"}),
        (NgsiLdConfig, LD | {"url": "http://127.0.0.1:1026/ngsi-ld/v1", "context": ""}),
        (NgsiV2Config, V2 | {"service_path": "/river/nagano", "token": "city-token", "auth": "bearer"}),
        (NgsiLdConfig, LD | {"form": "concise", "auth": "oauth2"} | OAUTH),
        (NgsiV2Config, V2 | {"history": "quantumleap", "quantumleap_url": "https://ql.example"}),
        (IotaConfig, MQTT | {"cert": "a", "key": "b", "username": "u", "password": "p", "device_prefix": ""}),
    ],
)
def test_good_sections(kind, section):
    assert config.decode(kind, section, "uplinks[0]")[1] == []


@pytest.mark.parametrize(
    ("kind", "section", "path"),
    [
        (NgsiLdConfig, LD | {"url": "city.example"}, "url"),
        (NgsiLdConfig, LD | {"url": "https://"}, "url"),
        (NgsiLdConfig, LD | {"url": "https://city.example/?a=b"}, "url"),
        (NgsiLdConfig, LD | {"tenant": "長野"}, "tenant"),
        (NgsiLdConfig, LD | {"context": "context.jsonld"}, "context"),
        (NgsiLdConfig, LD | {"history": "quantumleap"}, "history"),
        (NgsiLdConfig, LD | {"token": "../etc/passwd"}, "token"),
        (NgsiLdConfig, LD | {"key": "k.pem"}, "cert"),
        (NgsiLdConfig, LD | {"max_body": 10}, "max_body"),
        (NgsiV2Config, V2 | {"tenant": "Nagano"}, "tenant"),
        (NgsiV2Config, V2 | {"service_path": "river"}, "service_path"),
        (NgsiV2Config, V2 | {"history": "temporal"}, "history"),
        (NgsiLdConfig, LD | {"auth": "oauth2", "client_id": "box", "token": "secret"}, "token_url"),
        (NgsiLdConfig, LD | {"auth": "oauth2", "token_url": "keyrock", "client_id": "b", "token": "s"}, "token_url"),
        (NgsiLdConfig, LD | {"form": "simplified"}, "form"),
        (NgsiV2Config, V2 | {"history": "quantumleap"}, "quantumleap_url"),
        (NgsiV2Config, V2 | {"history": "quantumleap", "quantumleap_url": "ql:8668"}, "quantumleap_url"),
        (NgsiLdConfig, LD | {"backfill_bytes_per_s": -1}, "backfill_bytes_per_s"),
        (IotaConfig, MQTT | {"host": "mqtt://broker"}, "host"),
        (IotaConfig, MQTT | {"apikey": "a/b"}, "apikey"),
        (IotaConfig, MQTT | {"device_prefix": "a+"}, "device_prefix"),
        (IotaConfig, MQTT | {"password": "p"}, "username"),
        (IotaConfig, MQTT | {"port": 70000}, "port"),
    ],
)
def test_bad_sections_say_where_in_both_languages(kind, section, path):
    made, problems = config.decode(kind, section, "uplinks[0]")
    assert made is None
    assert [p.facts["path"] for p in problems] == [f"uplinks[0].{path}"]
    for lang in messages.LANGUAGES:
        assert f"uplinks[0].{path}" in messages.text(problems[0].code, problems[0].facts, lang).what


@pytest.mark.parametrize("name", ["ngsi-ld", "ngsi-v2", "iota-json", "iota-ul", "jsonl"])
def test_the_table_knows_them(name):
    found = uplinks.driver(name)
    assert found.Config and found.make
