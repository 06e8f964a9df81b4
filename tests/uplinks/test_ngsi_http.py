"""The HTTP uplinks against the embedded city: who is accepted, who is kept, what becomes current."""

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeagent import messages
from edgeagent.clock import SystemClock
from edgeagent.errors import UplinkRefused, UplinkUnavailable
from edgeagent.ports import Row, Site, Surroundings
from edgeagent.reading import Moment, TimeTrust
from edgeagent.simulate.city import City, CityTokens, answer, cut, hang
from edgeagent.simulate.city_server import CityServer
from edgeagent.uplinks.ngsi_http import NgsiLd, NgsiLdConfig, NgsiV2, NgsiV2Config
from tests.fakes import surroundings, water
from tests.uplinks.certificates import Authority

START = 1_795_000_000_000


@pytest.fixture
def city():
    with_city = City()
    with_city.start()
    yield with_city
    with_city.stop()


@pytest.fixture
def uplink(city, tmp_path):
    made = []

    def make(driver="ngsi-ld", **config):
        kind, section = {"ngsi-ld": (NgsiLd, NgsiLdConfig), "ngsi-v2": (NgsiV2, NgsiV2Config)}[driver]
        config = {"id": "city", "driver": driver, "url": city.url, "timeout_s": 3, **config}
        made.append(kind.make(section(**config), surroundings(tmp_path)))
        return made[-1]

    return make


def row(number, source="miyagawa", *, second=None, level=None):
    """Row `number`; its second defaults to its number, so that order of rows is order of time."""
    second = number if second is None else second
    at = Moment(START + second * 1000, second * 1000, "b00700000001", TimeTrust.SYNCED)
    return Row(number, water(level if level is not None else second / 100, source=source, at=at, sequence=number))


def name(source):
    return f"urn:ngsi-ld:WaterObserved:GW-TEST:{source}"


@pytest.mark.parametrize("driver", ["ngsi-ld", "ngsi-v2"])
async def test_readings_become_entities(city, uplink, driver):
    delivery = await uplink(driver).deliver([row(1, "a"), row(2, "b"), row(3, "a")])
    assert delivery.accepted == {1, 2, 3}
    assert not delivery.rejected and delivery.error is None
    seen = city.snapshot()
    assert seen.newest[name("a")].sequence == 3
    assert seen.newest[name("b")].values["waterLevel"] == 0.02
    assert [i.sequence for i in city.history(name("a"))] == [1, 3]
    assert (seen.regressions, seen.duplicates, seen.repeated) == (0, 0, 0)


async def fails(uplink, rows=None):
    with pytest.raises(UplinkUnavailable) as caught:
        await uplink.deliver(rows or [row(1)])
    speaks(caught.value)
    return caught.value


def speaks(error):
    """Every error can be told in both languages, with nothing left open."""
    for lang in messages.LANGUAGES:
        assert "?" not in str(messages.text(error.code, error.facts, lang)).replace("? ", "").replace("?#", "")


async def test_a_batch_of_one_entity_ends_on_its_newest(city, uplink):
    delivery = await uplink().deliver([row(1), row(4), row(3), row(2)])
    assert delivery.accepted == {1, 2, 3, 4}
    assert [i.sequence for i in city.history()] == [1, 2, 3, 4]
    assert city.snapshot().regressions == 0


async def test_older_values_go_to_the_history_endpoint(city, uplink):
    link = uplink(history="temporal")
    assert (await link.deliver([row(i) for i in range(1, 7)])).accepted == set(range(1, 7))
    assert [(i.way, i.sequence) for i in city.history()] == [
        ("upsert", 6),
        *(("temporal", i) for i in range(1, 6)),
    ]
    assert (await link.deliver([row(10, second=0), row(11, second=9)])).accepted == {10, 11}
    seen = city.snapshot()
    assert seen.newest[name("miyagawa")].sequence == 11
    assert (seen.regressions, seen.duplicates) == (0, 0)


async def test_older_values_may_be_dropped_and_are_settled(city, uplink):
    assert (await uplink(history="drop").deliver([row(1), row(2), row(3)])).accepted == {1, 2, 3}
    assert [i.sequence for i in city.history()] == [3]


async def test_a_late_value_is_replayed_and_the_newest_again(city, uplink):
    link = uplink()
    await link.deliver([row(5)])
    assert (await link.deliver([row(3)])).accepted == {3}
    assert [i.sequence for i in city.history()] == [5, 3, 5]
    assert city.snapshot().newest[name("miyagawa")].sequence == 5


async def test_a_replay_that_was_cut_in_the_middle_is_mended(city, uplink, tmp_path):
    link = uplink()
    await link.deliver([row(5)])
    city.script(hang(0), cut())
    assert (await link.deliver([row(3)])).accepted == {3}
    assert city.snapshot().newest[name("miyagawa")].sequence == 3
    assert (tmp_path / "uplink-city.marks").exists()
    again = uplink()  # as after a restart
    assert (await again.deliver([row(6, "other")])).accepted == {6}
    assert city.snapshot().newest[name("miyagawa")].sequence == 5


async def test_the_newest_survives_a_restart_while_older_ones_wait(city, uplink):
    city.script(hang(0), answer(503))
    delivery = await uplink(history="temporal").deliver([row(i) for i in range(1, 4)])
    assert delivery.accepted == {3}
    assert delivery.error.code == "uplinks.busy"
    assert (await uplink(history="temporal").deliver([row(1), row(2)])).accepted == {1, 2}
    seen = city.snapshot()
    assert seen.newest[name("miyagawa")].sequence == 3 and seen.regressions == 0


batches = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True), min_size=1, max_size=5)


@pytest.mark.parametrize("history", ["replay-ending-on-newest", "temporal", "drop"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches)
async def test_any_shuffle_leaves_the_newest_as_current(city, uplink, tmp_path, history, batches):
    with city.lock:
        city.memory.__init__()
    (tmp_path / "uplink-city.marks").unlink(missing_ok=True)  # of the last example's city
    link = uplink(history=history)
    for seconds in batches:
        rows = [row(100 * n + s, "ab"[s % 2], second=s) for n, s in enumerate(seconds)]
        assert (await link.deliver(rows)).accepted == {r.id for r in rows}
    sent = [s for batch in batches for s in batch]
    for source in "ab":
        newest = max((s for s in sent if "ab"[s % 2] == source), default=None)
        if newest is not None:
            assert city.snapshot().newest[name(source)].values["waterLevel"] == newest / 100
    if history == "temporal":
        assert city.snapshot().regressions == 0
    if history != "drop":
        assert {i.values["waterLevel"] for i in city.history()} == {s / 100 for s in sent}
    await link.close()


@pytest.mark.parametrize("driver", ["ngsi-ld", "ngsi-v2"])
async def test_one_poison_among_many_is_found_and_named(city, uplink, driver):
    city.poison(name("s7"), whole_batch=True)
    rows = [row(i, f"s{i}") for i in range(1, 21)]
    delivery = await uplink(driver).deliver(rows)
    assert delivery.accepted == {r.id for r in rows} - {7}
    assert "not acceptable" in delivery.rejected[7]
    assert delivery.error is None


async def test_207_rejects_one_and_keeps_another(city, uplink):
    city.poison(name("bad"))
    city.overload(name("busy"))
    delivery = await uplink().deliver([row(1, "bad"), row(2, "busy"), row(3, "good"), row(4, "busy")])
    assert delivery.accepted == {3}
    assert set(delivery.rejected) == {1}
    assert delivery.error.code == "uplinks.busy"
    city.overload()
    assert (await uplink().deliver([row(2, "busy"), row(4, "busy")])).accepted == {2, 4}
    assert city.snapshot().regressions == 0


async def test_a_poison_in_the_history_is_named(city, uplink):
    link = uplink(history="temporal")
    await link.deliver([row(9)])
    city.poison(name("miyagawa"))
    delivery = await link.deliver([row(1), row(2), row(8, "other")])
    assert set(delivery.rejected) == {1, 2} and delivery.accepted == {8}


async def test_a_receiver_that_takes_nobody_empties_nothing(city, uplink):
    rows = [row(i, f"s{i}") for i in range(1, 21)]
    city.poison(*(name(f"s{i}") for i in range(1, 21)))
    link = uplink()
    error = await fails(link, rows)
    assert isinstance(error, UplinkRefused) and error.code == "uplinks.refuses-all"
    await link.deliver([row(30, "good")])
    assert (await fails(link, rows)).code == "uplinks.refuses-all"
    assert set((await link.deliver(rows[:3])).rejected) == {1, 2, 3}


async def test_a_round_that_fails_leaves_the_earlier_ones_accepted(city, uplink):
    city.script(hang(0), hang(0), answer(503, retry_after_s=7))
    delivery = await uplink().deliver([row(i) for i in range(1, 6)])
    assert delivery.accepted == {1, 2}
    assert delivery.retry_after_s == 7.0
    assert delivery.error.code == "uplinks.busy"
    speaks(delivery.error)


@pytest.mark.parametrize("driver", ["ngsi-ld", "ngsi-v2"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (answer(429, retry_after_s=3), "uplinks.busy"),
        (answer(503), "uplinks.busy"),
        (answer(408), "uplinks.busy"),
        (
            answer(503, body='{"type":"https://uri.etsi.org/ngsi-ld/errors/LdContextNotAvailable"}'),
            "uplinks.context-not-available",
        ),
        (answer(401), "uplinks.credentials-refused"),
        (answer(403), "uplinks.credentials-refused"),
        (answer(404), "uplinks.wrong-address"),
        (answer(200, body="<html>welcome to the hotspot</html>"), "uplinks.not-a-broker"),
        (answer(307), "uplinks.redirected"),
        (cut(), "uplinks.cut"),
        (cut(stored=True), "uplinks.cut"),
        (cut(half=True), "uplinks.cut"),
        (hang(3), "uplinks.timeout"),
    ],
)
async def test_whatever_goes_wrong_everything_is_kept_and_sent_again(city, uplink, driver, fault, code):
    link = uplink(driver, timeout_s=0.3)
    city.script(fault)
    error = await fails(link)
    assert error.code == code
    assert error.retry_after_s == fault.retry_after_s
    assert isinstance(error, UplinkRefused) == (code in REFUSALS)
    assert (await link.deliver([row(1)])).accepted == {1}


REFUSALS = {"uplinks.credentials-refused", "uplinks.wrong-address", "uplinks.redirected"}


async def test_a_batch_too_large_for_the_broker_is_halved(city, uplink):
    city.script(answer(413))
    assert len((await uplink().deliver([row(i, f"s{i}") for i in range(1, 9)])).accepted) == 8
    assert city.snapshot().requests == 3


async def test_requests_stay_below_their_limits(city, uplink):
    rows = [row(i, f"s{i}") for i in range(1, 31)]
    assert len((await uplink(max_body=5_000).deliver(rows)).accepted) == 30
    by_size = city.snapshot().requests
    assert len((await uplink(max_entities=4).deliver(rows)).accepted) == 30
    assert by_size >= 6 and city.snapshot().requests - by_size == 8


async def test_a_listener_that_is_gone_and_comes_back(city, uplink):
    link = uplink()
    await link.deliver([row(1)])
    city.cut()
    assert (await fails(link, [row(2)])).code in ("uplinks.connection-refused", "uplinks.cut")
    assert (await fails(link, [row(2)])).code == "uplinks.connection-refused"
    city.mend()
    assert (await link.deliver([row(2)])).accepted == {2}


async def test_a_name_that_does_not_exist(uplink):
    assert (await fails(uplink(url="http://broker.invalid"))).code == "uplinks.no-such-host"


async def test_token_and_tenant(city, uplink, tmp_path):
    city.token, city.tenants = "s3cret", frozenset({"nagano"})
    (tmp_path / "city-token").write_text("s3cret\n")
    assert (await fails(uplink(token="absent"))).code == "uplinks.no-credential"
    (tmp_path / "empty").write_text("\n")
    assert (await fails(uplink(token="empty"))).code == "uplinks.no-credential"
    assert (await fails(uplink(tenant="nagano"))).code == "uplinks.credentials-refused"
    assert (await fails(uplink(tenant="osaka", token="city-token"))).code == "uplinks.no-tenant"
    assert (await uplink(tenant="nagano", token="city-token").deliver([row(1)])).accepted == {1}


async def test_a_credential_of_systemd_goes_first(city, uplink, tmp_path, monkeypatch):
    city.token = "from-systemd"
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "t").write_text("from-systemd")
    (tmp_path / "t").write_text("old")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    assert (await uplink(token="t").deliver([row(1)])).accepted == {1}


async def test_a_time_that_is_none_is_a_dead_letter(uplink):
    at = Moment(-5, 0, "b", TimeTrust.UNSYNCED)
    delivery = await uplink().deliver([Row(1, water(at=at)), row(2)])
    assert delivery.accepted == {2} and "-5" in delivery.rejected[1]


def https(authority, **validity):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", **validity))
    return context


async def test_certificates(tmp_path, uplink):
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    codes = {}
    for case, context in {
        "good": https(authority),
        "expired": https(authority, begins=-9, ends=-2),
        "future": https(authority, begins=2, ends=9),
        "foreign": https(other),
        "other name": https(authority, host="city.example"),
    }.items():
        city = City(tls=context)
        city.start()
        try:
            link = uplink(url=city.url, ca=authority.ca)
            codes[case] = "" if case == "good" else (await fails(link)).code
            if case == "good":
                assert (await link.deliver([row(1)])).accepted == {1}
        finally:
            city.stop()
    assert codes == {
        "good": "",
        "expired": "uplinks.tls-expired",
        "future": "uplinks.tls-not-yet-valid",
        "foreign": "uplinks.tls-untrusted",
        "other name": "uplinks.tls-wrong-name",
    }


async def test_a_server_that_wants_to_know_us(tmp_path, uplink):
    authority = Authority(tmp_path)
    context = https(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    city = City(tls=context)
    city.start()
    try:
        cert, key = authority.issue("gateway")
        assert (await fails(uplink(url=city.url, ca=authority.ca))).code == "uplinks.tls-own-wanted"
        link = uplink(url=city.url, ca=authority.ca, cert=cert, key=key)
        assert (await link.deliver([row(1)])).accepted == {1}
        assert (await fails(uplink(url=city.url, ca=authority.ca, cert=key, key=cert))).code == "uplinks.tls-file"
    finally:
        city.stop()


async def test_history_waits_until_the_entity_exists(city, uplink):
    city.overload(name("miyagawa"))
    link = uplink(history="temporal")
    assert (await link.deliver([row(1), row(2), row(3, "other")])).accepted == {3}
    assert city.history(name("miyagawa")) == []
    city.overload()
    assert (await link.deliver([row(1), row(2)])).accepted == {1, 2}
    assert [(i.way, i.sequence) for i in city.history(name("miyagawa"))] == [("upsert", 2), ("temporal", 1)]


async def test_an_answer_that_drips_is_not_waited_for(tmp_path):
    """The time limit of a socket is per packet; the uplink's is for the whole."""

    def drip():
        line, _ = listener.accept()
        with line, contextlib.suppress(ConnectionError):
            line.recv(100_000)
            line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n")
            while not enough.wait(0.05):
                line.sendall(b" ")

    around = Surroundings(SystemClock(), Site("GW"), tmp_path)
    enough = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        link = NgsiLd.make(NgsiLdConfig(id="c", driver="ngsi-ld", url=url, timeout_s=0.5), around)
        try:
            async with asyncio.timeout(10):
                assert (await fails(link)).code == "uplinks.timeout"
        finally:
            enough.set()
            server.join()
            await link.close()


async def test_a_later_row_never_overtakes_one_that_was_kept(city, uplink):
    kept = {"entityId": name("miyagawa"), "error": {"status": 503}}
    city.script(answer(207, body=json.dumps({"success": [name("other")], "errors": [kept]})))
    delivery = await uplink().deliver([row(1), row(2, "other"), row(3), row(4, "other")])
    assert delivery.accepted == {2, 4}
    assert [i.sequence for i in city.history()] == [4]


async def test_a_redirect_is_shown_and_not_followed(city, uplink):
    other = City()
    other.start()
    try:
        city.script(answer(307, location=other.url + "/login"))
        assert (await fails(uplink())).facts["why"] == other.url + "/login"
        assert other.snapshot().requests == 0
    finally:
        other.stop()


async def test_a_long_replay_reports_in_between(city, uplink, monkeypatch):
    link = uplink()
    seconds = itertools.count()
    monkeypatch.setattr(link._clock, "mono", lambda: float(next(seconds)))  # every look at the clock costs a second
    rows = [row(i) for i in range(1, 21)]
    deliveries = 0
    while rows:
        delivery = await link.deliver(rows)
        assert delivery.accepted and delivery.error is None
        rows = [r for r in rows if r.id not in delivery.accepted]
        deliveries += 1
    assert deliveries > 3
    assert [i.sequence for i in city.history()] == list(range(1, 21))


async def test_oauth_gets_a_token_and_another_when_it_is_withdrawn(city, uplink, tmp_path):
    city.tokens = CityTokens(("box", "s:cr%t"))
    (tmp_path / "secret").write_text("s:cr%t\n")
    oauth = {"auth": "oauth2", "token_url": f"{city.url}/oauth2/token", "client_id": "box", "token": "secret"}
    link = uplink(**oauth)
    assert (await link.deliver([row(1)])).accepted == {1}
    assert (await link.deliver([row(2)])).accepted == {2}
    assert city.tokens.issued == 1
    city.tokens.withdraw()
    assert (await link.deliver([row(3)])).accepted == {3}
    assert city.tokens.issued == 2
    link._clock.advance(3600 - 29)  # a token is not used until the last moment
    assert (await link.deliver([row(4)])).accepted == {4}
    assert city.tokens.issued == 3
    assert (await fails(uplink(**oauth | {"client_id": "other"}))).code == "uplinks.token-refused"
    city.script(answer(404))
    assert (await fails(uplink(**oauth | {"token_url": f"{city.url}/nothing"}))).code == "uplinks.no-token"
    assert (await fails(uplink(**oauth | {"token_url": "http://idm.invalid/"}))).facts["where"] == "idm.invalid"


async def test_a_receiver_that_takes_no_token_is_asked_twice_not_for_ever(city, uplink, tmp_path):
    city.tokens = CityTokens(("box", "s"))
    city.tokens.good = lambda _: False
    (tmp_path / "secret").write_text("s")
    link = uplink(auth="oauth2", token_url=f"{city.url}/oauth2/token", client_id="box", token="secret")
    assert (await fails(link)).code == "uplinks.credentials-refused"
    assert (city.snapshot().requests, city.tokens.issued) == (2, 2)


async def test_the_concise_form_says_the_same_in_less(city, uplink):
    assert (await fails(uplink(form="concise"))).code == "uplinks.refuses-all"  # as a 1.3 broker answers
    city.concise = True
    link = uplink(form="concise")
    small = (await link.deliver([row(1)])).bytes_sent
    large = (await uplink().deliver([row(2, "other")])).bytes_sent
    assert small < 0.9 * large
    one, other = city.entities()
    assert {**one["waterLevel"], "value": 0, "observedAt": ""} == {**other["waterLevel"], "value": 0, "observedAt": ""}
    assert one["location"] == other["location"] and one["refDevice"]["type"] == "Relationship"


async def test_older_values_go_to_quantumleap(city, uplink):
    other = City()
    other.start()
    try:
        link = uplink("ngsi-v2", history="quantumleap", quantumleap_url=other.url + "/v2", tenant="nagano")
        assert (await link.deliver([row(i) for i in range(1, 7)])).accepted == set(range(1, 7))
        assert [(i.way, i.sequence) for i in city.history()] == [("v2", 6)]
        assert [(i.way, i.sequence) for i in other.history()] == [("quantumleap", i) for i in range(1, 6)]
        other.script(answer(500))
        delivery = await link.deliver([row(10, second=0), row(11, second=9)])
        assert delivery.accepted == {11} and delivery.error.code == "uplinks.busy"
        other.script(answer(200, body="<html>welcome to the hotspot</html>"))
        assert (await fails(link, [row(10, second=0)])).code == "uplinks.not-a-broker"
        assert (await link.deliver([row(10, second=0)])).accepted == {10}
        assert city.snapshot().regressions == 0
        await link.close()
    finally:
        other.stop()


@pytest.mark.parametrize("how", [cut(stored=True), cut(stored=True, half=True), answer(504)])
async def test_history_of_unknown_outcome_is_read_back_before_it_is_sent_again(city, uplink, how):
    link = uplink(history="temporal")
    await link.deliver([row(9)])
    city.script(how)
    assert isinstance(await fails(link, [row(1), row(2), row(3)]), UplinkUnavailable)
    assert (await link.deliver([row(1), row(2), row(3), row(4)])).accepted == {1, 2, 3, 4}
    assert sorted(i.sequence for i in city.history()) == [1, 2, 3, 4, 9]
    assert city.snapshot().duplicates == 0


@pytest.mark.parametrize("how", [cut(stored=True), cut(stored=True, half=True), answer(504)])
async def test_quantumleap_is_read_back_before_it_is_sent_again(city, uplink, how):
    other = City()
    other.start()
    try:
        options = {"history": "quantumleap", "quantumleap_url": other.url, "tenant": "nagano"}
        link = uplink("ngsi-v2", **options)
        await link.deliver([row(9)])
        other.script(how)
        assert isinstance(await fails(link, [row(1), row(2), row(3)]), UplinkUnavailable)
        assert (await link.deliver([row(1), row(2), row(3), row(4)])).accepted == {1, 2, 3, 4}
        await link.close()
        again = uplink("ngsi-v2", **options)  # killed before the outbox was told
        assert (await again.deliver([row(4), row(5), row(9)])).accepted == {4, 5, 9}
        assert sorted(i.sequence for i in other.history()) == [1, 2, 3, 4, 5]
        await again.close()
    finally:
        other.stop()


async def test_history_is_read_back_after_a_restart(city, uplink):
    await uplink(history="temporal").deliver([row(1), row(2), row(9)])
    again = uplink(history="temporal")  # killed before the outbox was told
    assert (await again.deliver([row(1), row(2), row(3), row(9)])).accepted == {1, 2, 3, 9}
    assert [i.sequence for i in city.history() if i.way == "temporal"] == [1, 2, 3]


async def test_a_history_that_cannot_be_asked_is_written_again(city, uplink, monkeypatch):
    monkeypatch.setattr(CityServer, "tells_history", False)
    link = uplink(history="temporal")
    await link.deliver([row(9)])
    city.script(cut(stored=True))
    await fails(link, [row(1)])
    assert (await link.deliver([row(1)])).accepted == {1}
    assert city.snapshot().duplicates == 1


@pytest.mark.parametrize("tls", [False, True])
async def test_bytes_are_what_the_line_carried(tmp_path, uplink, tls):
    authority = Authority(tmp_path)
    city = City(tls=https(authority) if tls else None)
    city.start()
    try:
        link = uplink(url=city.url, ca=authority.ca if tls else "")
        first = (await link.deliver([row(1)])).bytes_sent
        second = (await link.deliver([row(2)])).bytes_sent
        both = (await link.deliver([row(3), row(4)])).bytes_sent
        assert 1_000 < second < 3_000 and second * 1.9 < both < second * 2.1  # two moments, two requests
        assert (first > second + 200) == tls  # the handshake
        city.script(cut())
        assert (await fails(link, [row(5)])).bytes_sent >= 1_000
        assert link._meter.exact
    finally:
        city.stop()
