"""A claim as the installer makes it, against the real server over TLS; every refusal; renewal."""

import hashlib
import json
import socket
import stat
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgeagent.errors import ConfigError, EdgeAgentError, Refused, UplinkRefused, UplinkUnavailable
from edgeagent.fleet import claim_code, enrol_server
from edgeagent.fleet.enrol_desk import LOCKED_AFTER
from edgeagent.fleet.repository import Repository
from edgeagent.security_log import SecurityLog
from edgeagent.uplinks.http import Door, Endpoint
from edgeagent.uplinks.meter import Meter
from edgeagent.uplinks.tls import client_context
from tests.install.enrolment import Box, City

DAY = 86_400


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A real root of trust."""
    folder = tmp_path_factory.mktemp("repository")
    Repository(folder, lambda: 1_795_000_000, lambda _key: "tanuki").init()
    return folder / "public" / "metadata" / "1.root.json"


@pytest.fixture
def city(tmp_path, root):
    with City(tmp_path / "city", root=root) as made:
        yield made


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


def test_a_claim(city, box, root):
    code = city.code()
    done = box.claim(code)
    assert (done.what, done.gateway, box.steps) == (
        "claimed",
        "GW-0147",
        ["key", "server", "root", "certificate", "proven"],
    )
    assert box.files() == ["current.pem", "lock", "server.json", "trust.pem"]
    assert stat.S_IMODE(box.identity.current.stat().st_mode) == 0o400
    assert stat.S_IMODE(box.identity.folder.stat().st_mode) == 0o700
    assert box.root.read_bytes() == root.read_bytes()
    assert done.server.root_sha256 == hashlib.sha256(root.read_bytes()).hexdigest()
    assert city.states() == ["used"]
    assert [e.event for e in SecurityLog(box.state, box.clock).events()] == ["claim"]
    # the same words again are no mistake, and another code is one
    assert box.claim(code).what == "already"
    with pytest.raises(Refused, match="already"):
        box.claim(city.code(replace=True))


def test_an_uplink_comes_with_the_identity(city, box):
    """`cert = "identity"` is all it says; the other end sees the gateway's name."""
    door = Door(url=city.url, ca=str(city.authority.file), cert="identity")
    with pytest.raises(UplinkRefused, match="not-claimed"):
        Endpoint(door, box.clock, box.state, Meter()).get("/.well-known/edgeagent/whoami", {})
    box.claim(city.code())
    answer = Endpoint(door, box.clock, box.state, Meter()).get("/.well-known/edgeagent/whoami", {})
    assert json.loads(answer.body)["gateway"] == "GW-0147"


def test_sec_04_the_key_never_leaves(city, box, tmp_path, capsys):
    box.claim(city.code(), gateway="GW-0147")
    box.renew(now=True)
    pem = box.identity.current.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    secret = key.private_numbers().private_value.to_bytes(32, "big")
    assert secret in b"".join(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        for _ in (0,)
    ), "the canary would be seen"
    told = [word if isinstance(word, bytes) else str(word).encode() for words in city.asked for word in words]
    lying = [p.read_bytes() for p in [*(tmp_path / "city").rglob("*"), *box.state.rglob("*")] if p.is_file()]
    lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")][:2]
    for where in [*told, *(data for data in lying if data != pem), capsys.readouterr().out.encode()]:
        assert secret not in where and secret.hex().encode() not in where
        assert not any(line in where for line in lines)


def refused(box, code, name, **more):
    with pytest.raises(EdgeAgentError) as caught:
        box.claim(code, **more)
    assert caught.value.code == f"claim.{name}", caught.value
    assert not box.identity.current.exists()
    return caught.value


def test_wrong_used_expired_and_locked_codes(city, box, tmp_path):
    code = city.code()
    wrong = code._replace(secret="0000000")
    refused(box, wrong, "wrong-code")
    refused(box, code._replace(locator="0000"), "wrong-code")
    refused(box, city.code(valid_s=-1), "expired")
    assert box.claim(code).gateway == "GW-0147"
    refused(Box(tmp_path / "other"), code, "used")
    # a code that somebody guesses at is worth nothing, even when he gets it right in the end
    locked = city.code("GW-2")
    other = Box(tmp_path / "third")
    for _ in range(LOCKED_AFTER):
        refused(other, locked._replace(secret="0000000"), "wrong-code")
    assert refused(other, locked, "locked").facts["tries"] == "5"


def test_an_address_that_guesses_waits(city, box):
    good = city.code()
    for n in range(10):
        refused(box, good._replace(locator=f"000{n}"), "wrong-code")
    assert refused(box, good, "address-locked").facts["minutes"] == "15"
    city.clock.advance(901)
    box.clock.advance(901)
    assert box.claim(good).what == "claimed"


@pytest.mark.parametrize("shift_s", [-400 * DAY, -3600, 3600, 5000 * DAY, -(56 * 365 * DAY)])
def test_a_wrong_clock(city, tmp_path, shift_s):
    """Found by the pin's first connection, before TLS would stumble over it, and no try is used up."""
    box, code = Box(tmp_path, shift_s=shift_s), city.code()
    error = refused(box, code, "clock-wrong")
    assert "GMT" in error.facts["ours"] and error.facts["ours"] != error.facts["theirs"]
    assert not city.asked
    box.clock = city.clock
    assert box.claim(code).what == "claimed"


def test_a_server_that_is_not_the_one(city, box, tmp_path):
    with City(tmp_path / "impostor") as impostor:
        code = city.code()
        refused(box, code, "wrong-pin", url=impostor.url)
        refused(box, code._replace(pin=""), "not-trusted", url=impostor.url)
        refused(box, code, "not-trusted", url=impostor.url, ca=city.authority.file)
        assert not impostor.asked, "the code was given to a stranger"
    assert box.claim(code._replace(pin=""), ca=city.authority.file).what == "claimed"


def test_a_certificate_of_another_host(tmp_path, box):
    with City(tmp_path / "city", names=["elsewhere.example"]) as city:
        refused(box, city.code(), "wrong-name")
        assert not city.asked


def test_a_server_whose_own_certificate_has_ended(tmp_path, box):
    with City(tmp_path / "city", shift_s=-500 * DAY) as city:
        city.clock.wall_ms = box.clock.wall_ms  # its books go on, its certificate was never renewed
        refused(box, city.code(), "server-expired")


def test_a_gateway_that_is_taken(city, box, tmp_path):
    two = [city.code(), city.code()]
    box.claim(two[0])
    newcomer = Box(tmp_path / "new")
    refused(newcomer, two[1], "gateway-taken")
    with pytest.raises(Refused, match="gateway-taken"):
        city.code()
    assert newcomer.claim(city.code(replace=True)).gateway == "GW-0147"
    assert city.states() == ["retired", "used"]
    with pytest.raises(Refused, match="identity-retired"):
        box.renew(now=True)
    assert box.card is not None, "it keeps what it has"


def test_a_code_for_another_gateway(city, box):
    code = city.code("GW-0148")
    error = refused(box, code, "other-gateway", gateway="GW-0147")
    assert (error.facts["gateway"], error.facts["ours"]) == ("GW-0148", "GW-0147")
    assert box.claim(code, gateway="GW-0148").gateway == "GW-0148"


def test_another_root_is_never_replaced(city, box, root):
    box.root.parent.mkdir(parents=True)
    box.root.write_bytes(b"another")
    code = city.code()
    refused(box, code, "root-differs")
    assert box.root.read_bytes() == b"another" and not city.asked
    box.root.write_bytes(root.read_bytes())
    assert box.claim(code).what == "claimed"


def test_a_root_that_nobody_signed(tmp_path, box, root):
    forged = tmp_path / "forged.json"
    forged.write_bytes(root.read_bytes().replace(b'"version":1', b'"version":2'))
    with City(tmp_path / "city", root=forged) as city:
        refused(box, city.code(), "bad-root")
        assert not box.root.exists() and not city.asked


def test_no_server_there(city, box):
    code = city.code()
    city.stop()
    with pytest.raises(UplinkUnavailable, match="unreachable"):
        box.claim(code)
    city.start()
    assert box.claim(code).what == "claimed"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "https://", "127.0.0.1:8443", "https://u:p@h", "https://h:99999"])
def test_no_address(box, url):
    with pytest.raises(ConfigError, match="bad-url"):
        box.claim(claim_code.make(), url=url)


def test_a_server_that_is_not_ours(city, box, monkeypatch):
    """RFC 7030 and nothing else."""
    monkeypatch.setattr(enrol_server, "OURS", "/nowhere/")
    done = box.claim(city.code())
    assert done.what == "claimed" and done.server.root_sha256 == ""
    assert box.renew(now=True).what == "renewed"


def test_renewal_at_two_thirds(tmp_path, root):
    """250 days ago the box was claimed for a year; today two thirds are over."""
    with City(tmp_path / "city", shift_s=-245 * DAY, began_s=-300 * DAY, root=root) as city:
        box = Box(tmp_path, shift_s=-245 * DAY)
        box.claim(city.code())
        first = box.card
        assert box.renew().what == "not-due"
        city.clock.advance(242 * DAY)
        box.clock.advance(242 * DAY)
        assert box.renew().what == "not-due"
        city.clock.advance(2 * DAY)
        box.clock.advance(2 * DAY)
        assert box.renew().what == "renewed"
        assert box.card.serial != first.serial and box.card.ends_s > first.ends_s
        assert city.states() == ["retired", "used"]
        assert [e.facts.get("what") for e in SecurityLog(box.state, box.clock).events()] == ["claimed", "renewed"]


def test_the_old_one_stays_until_the_new_one_worked(city, box, monkeypatch):
    box.claim(city.code())
    first = box.card
    seen = city.desk.seen

    def broken(_serial):
        raise OSError(28, "No space left on device")

    city.desk.seen = broken
    with pytest.raises(Refused, match="server-broken"):
        box.renew(now=True)
    assert box.card == first and "new.pem" in box.files() and city.states() == ["issued", "used"]
    Endpoint(Door(url=city.url, ca=str(city.authority.file), cert="identity"), box.clock, box.state, Meter())
    city.desk.seen = seen
    assert box.renew().what == "renewed", "finished without --now"
    assert box.card.serial != first.serial and "new.pem" not in box.files()


def test_a_new_one_that_is_refused_is_dropped(city, box):
    box.claim(city.code())
    first, seen = box.card, city.desk.seen

    def refuse(_serial):
        raise Refused("claim.identity-retired", gateway="GW-0147")

    city.desk.seen = refuse
    with pytest.raises(Refused, match="identity-retired"):
        box.renew(now=True)
    assert box.card == first and box.files() == ["current.pem", "lock", "server.json", "trust.pem"]
    city.desk.seen = seen
    assert box.renew(now=True).what == "renewed"


def test_an_identity_that_has_ended(city, box):
    """Too late to renew by itself, and said so; it stays where it is."""
    box.claim(city.code())
    box.clock.advance(366 * DAY)
    with pytest.raises(Refused, match="identity-expired"):
        box.renew()
    assert box.card is not None


def test_nothing_to_renew(box):
    with pytest.raises(Refused, match="not-claimed"):
        box.renew()


def test_one_at_a_time(city, box):
    with box.identity.held() as alone:
        assert alone
        with pytest.raises(Refused, match="busy"):
            box.claim(city.code())


def test_offline_the_identity_is_there(city, box):
    """A start needs the file and nothing else."""
    box.claim(city.code())
    city.stop()
    context = client_context(ca="", cert="identity", key="", state_dir=box.state)
    assert context.verify_mode.name == "CERT_REQUIRED"
    city.start()


def test_somebody_who_never_shakes_hands_holds_nobody_up(city, box):
    with socket.create_connection(("127.0.0.1", city.server.port)):
        assert box.claim(city.code()).what == "claimed"


def test_what_a_hostile_server_says_reaches_no_terminal(city, box):
    def say(*_):
        raise Refused("claim.used", gateway="\x1b[2JGW\n" + "x" * 500)

    city.desk.enrol = city.server.desk.enrol = say
    error = refused(box, city.code(), "used")
    assert str(error.facts["gateway"]).startswith("[2JGWxxx") and len(error.facts["gateway"]) == 120


class Rubbish(threading.Thread):
    """A TLS server, rightly certified, that answers everything with the same bytes."""

    def __init__(self, city, answer):
        super().__init__(daemon=True)
        self._context, self._answer = city.server._context, answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.start()

    def run(self):
        for _ in range(3):
            try:
                line, _ = self._socket.accept()
                with self._context.wrap_socket(line, server_side=True) as tls:
                    tls.settimeout(10)
                    tls.recv(4096)
                    tls.sendall(self._answer)
            except OSError:
                pass
        self._socket.close()


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nAAAA", {"bad-certificate"}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\x00\x01", {"bad-certificate"}),
        (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n", {"http"}),
        (b'HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n{"code":1', {"http"}),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {"unreachable"}),
        (b"", {"unreachable"}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"A" * 2_000_000, {"unreachable", "bad-certificate"}),
    ],
)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_server_that_talks_rubbish(city, box, answer, codes, pinned):
    code, end = city.code(), Rubbish(city, answer)
    more = {} if pinned else {"ca": city.authority.file}
    with pytest.raises(EdgeAgentError) as caught:
        box.claim(code, url=end.url, **more)
    assert caught.value.code.removeprefix("claim.") in codes, caught.value


def test_a_certificate_that_is_not_for_our_key(city, box, tmp_path):
    """The server mixes up two boxes: nobody gets an identity that does not work."""
    other = Box(tmp_path / "other")
    other.claim(city.code("GW-2"))
    pem = other.identity.current.read_bytes()
    theirs = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :])
    city.server.desk.enrol = lambda *_: theirs
    assert refused(box, city.code(), "bad-certificate").facts["why"] == "key"
