"""claim and fleet enrol-… as people type them: what is printed, in both languages, and how it ends."""

import contextlib
import os
import pty
import re
import select
import ssl
import subprocess
import sys
import time

import pytest
from cryptography import x509

from edgeagent.daemon.build import read_config
from edgeagent.errors import ConfigError, Refused
from edgeagent.fleet import claim_code, enrol_desk
from edgeagent.fleet.enrol_ca import Authority
from edgeagent.install import doctor_city, doctor_probe_city
from tests.fleet.test_cli import cli
from tests.install.enrolment import Box, City, nobody
from tests.update.rig import until

DAY = 86_400
EXIT_CHECK, EXIT_USAGE, EXIT_NETWORK, EXIT_REFUSED = 1, 2, 4, 5


@pytest.fixture
def city(tmp_path):
    with City(tmp_path / "city") as made:
        yield made


class Gateway:
    """`edgeagent claim …` on a gateway with a config of its own."""

    def __init__(self, folder, gateway="GW-0147"):
        folder.mkdir(exist_ok=True)
        self.state, self.config, self.root = folder / "state", folder / "config.toml", folder / "root.json"
        self.config.write_text(
            f'[gateway]\nid = "{gateway}"\nstate_dir = "{self.state}"\n[[sources]]\nid = "box"\ndriver = "host"\n'
        )

    def __call__(self, *words, code=0):
        return cli("claim", *words, "--config", self.config, "--root", self.root, code=code)

    @property
    def key(self):
        return (self.state / "identity/current.pem").read_bytes()


@pytest.fixture
def gateway(tmp_path):
    return Gateway(tmp_path / "box")


def code_for(city, *words, gateway="GW-0147"):
    """What the city's clerk reads out."""
    return cli("fleet", "enrol-code", gateway, "--dir", city.folder, "--json", *words)


# --- the installer


def test_claimed_shown_and_renewed(city, gateway):
    told = code_for(city)
    assert told["server"] == city.url and told["link"].endswith(told["code"])
    said = gateway(told["link"])
    assert "GW-0147" in said and said.count("✓") >= 4
    assert gateway(told["link"], "--json")["what"] == "already", "the same words again are no mistake"
    status = gateway("--status", "--json")
    assert status["ok"] and status["gateway"] == "GW-0147" and status["server"] == city.url and status["pending"] == ""
    assert 360 <= status["days_left"] <= 365 and re.fullmatch(r"[0-9a-f]{64}", status["certificate_sha256"])
    assert gateway("--renew", "--json")["what"] == "not-due"
    before = gateway.key
    assert gateway("--renew", "--now", "--json")["what"] == "renewed" and gateway.key != before
    listed = cli("fleet", "enrolled", "--dir", city.folder, "--json")["gateways"]
    assert [one["state"] for one in listed] == ["retired", "used"]


def test_a_code_is_typed_by_hand_as_well(city, gateway):
    """Lower case, without the link: then the server and its authority have to be said."""
    told = code_for(city)
    said = gateway(told["code"].lower(), "--server", city.url, "--ca", city.authority.file, "--json")
    assert said["what"] == "claimed"


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_how_a_claim_ends_that_does_not_work(city, gateway, tmp_path, lang):
    """Every ending has its exit status, its code, and words in both languages that say what to do."""
    good, speak = code_for(city)["link"], ("--lang", lang)
    expired = str(enrol_desk.new_code(city.folder, "GW-0147", now_s=time.time(), valid_s=-1))
    other = code_for(city, gateway="GW-0148")["link"]
    endings = [
        ((), EXIT_USAGE, "claim.no-code"),
        (("not a code",), EXIT_USAGE, "claim.mistyped"),
        ((good.partition("#")[2],), EXIT_USAGE, "claim.no-server"),
        ((good, "--server", "http://127.0.0.1"), EXIT_USAGE, "claim.bad-url"),
        ((good, "--server", "https://127.0.0.1:9"), EXIT_NETWORK, "claim.unreachable"),
        ((good, "--ca", tmp_path / "none.pem"), EXIT_USAGE, "config.unreadable"),
        ((expired,), EXIT_REFUSED, "claim.expired"),
        ((other,), EXIT_REFUSED, "claim.other-gateway"),
        (("--renew",), EXIT_REFUSED, "claim.not-claimed"),
        (("--status",), EXIT_CHECK, "claim.not-claimed"),
    ]
    for words, status, name in endings:
        said = gateway(*words, "--json", *speak, code=status)
        assert said["code"] == name and said["message"], (words, said)
        shown = gateway(*words, *speak, code=status)
        assert "✗" in shown and "→" in shown and bool(re.search(r"[ぁ-ん]", shown)) == (lang == "ja"), shown
    assert gateway(good, "--json")["what"] == "claimed", "none of that used the code up"
    assert gateway(code_for(city, "--replace")["link"], "--json", code=EXIT_REFUSED)["code"] == "claim.already"


def test_five_wrong_guesses_lock_a_code(city, gateway):
    """A slip of the finger is found by the check sign and is no guess; a guess is one, and five are too many."""
    code = claim_code.parse(code_for(city)["link"])
    typed = str(code)
    slip = typed[:-1] + ("2" if typed[-1] != "2" else "3")
    for _ in range(enrol_desk.LOCKED_AFTER + 1):
        assert gateway(slip, "--json", code=EXIT_USAGE)["code"] == "claim.mistyped"
    for _ in range(enrol_desk.LOCKED_AFTER):
        guess = str(code._replace(secret="0000000"))
        assert gateway(guess, "--json", code=EXIT_REFUSED)["code"] == "claim.wrong-code"
    locked = gateway(typed, "--json", code=EXIT_REFUSED)
    assert locked["code"] == "claim.locked" and "5" in locked["message"]


def test_replace_keeps_the_old_key_until_the_new_one_worked(city, gateway):
    gateway(code_for(city)["link"])
    first, seen, again = gateway.key, city.desk.seen, code_for(city, "--replace")["link"]

    def broken(_serial):
        raise OSError(28, "No space left on device")

    city.desk.seen = broken
    assert gateway(again, "--replace", "--json", code=EXIT_REFUSED)["code"] == "claim.server-broken"
    assert gateway.key == first, "uplinks go on with what worked"
    assert gateway("--status", "--json")["pending"] == "waiting"
    city.desk.seen = seen
    assert gateway(again, "--replace", "--json")["what"] == "claimed"
    assert gateway.key != first and gateway("--status", "--json")["pending"] == ""


def test_the_doctor_reads_what_the_status_shows(city, gateway, tmp_path):
    """Whether an uplink names the identity or not; a key that others can read is found by both."""
    gateway(code_for(city)["link"])
    named = tmp_path / "named.toml"
    uplink = '[[uplinks]]\nid = "city"\ndriver = "ngsi-ld"\nurl = "https://127.0.0.1/"\ncert = "identity"\n'
    named.write_text(gateway.config.read_text() + uplink)
    days = gateway("--status", "--json")["days_left"]

    def items(file):
        certificates = doctor_probe_city.certificates(read(file))
        assert len(certificates) == 1
        return {one.code: one for one in doctor_city.identity(certificates, [], time.time())}

    for file in (gateway.config, named):
        found = items(file)
        assert {one.state for one in found.values()} == {"ok"}
        assert abs(float(found["E-IDENT-02"].facts["days"]) - days) <= 1
    (gateway.state / "identity/current.pem").chmod(0o444)
    assert gateway("--status", "--json", code=EXIT_CHECK)["code"] == "claim.key-open"
    assert items(gateway.config)["E-IDENT-03"].state == "failed"


# --- the city


@contextlib.contextmanager
def serving(folder, *words, passphrase=None, credentials=None, stdin=subprocess.DEVNULL, setsid=False):
    """`fleet enrol-server` in a process of its own; its first lines."""
    env = {k: v for k, v in os.environ.items() if k not in ("EDGEAGENT_FLEET_PASSPHRASE", "CREDENTIALS_DIRECTORY")}
    env |= {"EDGEAGENT_LANG": "en", "PYTHONUNBUFFERED": "1"}
    if passphrase is not None:
        env["EDGEAGENT_FLEET_PASSPHRASE"] = passphrase
    if credentials is not None:
        env["CREDENTIALS_DIRECTORY"] = str(credentials)
    command = [sys.executable, "-m", "edgeagent", "fleet", "enrol-server", "--dir", str(folder), "--port", "0", *words]
    with subprocess.Popen(
        [*(["setsid", "-c"] if setsid else []), *command],
        env=env, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def ends(folder, **how):
    """Exit status and words of a server that does not start."""
    with serving(folder, **how) as process:
        said = process.stdout.read()
        return process.wait(60), said


def first_lines(process):
    return [process.stdout.readline() for _ in range(3)]


@pytest.mark.slow
def test_an_authority_under_a_passphrase(tmp_path):
    """Made with one, opened by the environment, a credential file, or the keyboard; never without."""
    folder, credentials = tmp_path / "city", tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "fleet-passphrase").write_text("tanuki\n")
    with serving(folder, credentials=credentials) as process:
        assert "https://127.0.0.1:" in first_lines(process)[0]
    assert b"ENCRYPTED" in (folder / "ca.key").read_bytes()
    with serving(folder, passphrase="tanuki") as process:
        assert "https://127.0.0.1:" in first_lines(process)[0]
    for how, why in (({}, "EDGEAGENT_FLEET_PASSPHRASE"), ({"passphrase": "kitsune"}, "ca.key")):
        status, said = ends(folder, **how)
        assert status == EXIT_USAGE and why in said and "→" in said and "Traceback" not in said, said
    keyboard, terminal = pty.openpty()
    try:
        with serving(folder, stdin=terminal, setsid=True) as process:
            heard = b""
            while b"ca.key" not in heard:
                assert select.select([keyboard], [], [], 60)[0], "asked for nothing"
                heard += os.read(keyboard, 1024)
            os.write(keyboard, b"tanuki\n")
            assert "https://127.0.0.1:" in first_lines(process)[0]
    finally:
        os.close(keyboard)
        os.close(terminal)


@pytest.mark.slow
def test_an_authority_without_a_passphrase_says_so(tmp_path):
    with serving(tmp_path / "city") as process:
        lines = [*first_lines(process), process.stdout.readline()]
        assert "no passphrase" in lines[-1] and "no update" not in lines[-1]
    assert (tmp_path / "city/ca.key").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_citys_mistakes(city, tmp_path, lang):
    speak = ("--lang", lang)
    new, at = tmp_path / "new", ("--dir", city.folder)
    for words, status, name in (
        (("enrol-code", "GW-1", "--dir", new), EXIT_USAGE, "fleet.no-enrolment"),
        (("enrol-code", "GW 1/2", *at), EXIT_USAGE, None),
        (("enrol-server", "--dir", new, "--root", tmp_path / "none.json"), EXIT_USAGE, "config.no-file"),
        (("enrol-server", "--dir", new, "--listen", "203.0.113.1"), EXIT_USAGE, "fleet.cannot-listen"),
    ):
        shown = cli("fleet", *words, *speak, code=status)
        assert "✗" in shown and "→" in shown and bool(re.search(r"[ぁ-ん]", shown)) == (lang == "ja"), shown
        if name and words[0] == "enrol-code":
            assert cli("fleet", *words, *speak, "--json", code=status)["code"] == name


def test_a_gateway_that_is_taken_needs_replace(city, gateway):
    gateway(code_for(city)["link"])
    said = cli("fleet", "enrol-code", "GW-0147", "--dir", city.folder, "--json", code=EXIT_REFUSED)
    assert said["code"] == "claim.gateway-taken"
    assert code_for(city, "--replace")["ok"]


def test_what_a_clerk_sees(city, gateway):
    assert "nobody yet" in cli("fleet", "enrolled", "--dir", city.folder)
    shown = cli("fleet", "enrol-code", "GW-0147", "--dir", city.folder, "--hours", "2")
    assert "sudo edgeagent claim https://" in shown and "█" in shown, "a QR to scan"
    gateway(shown.rpartition("sudo edgeagent claim ")[2].strip())
    assert "✓ GW-0147" in cli("fleet", "enrolled", "--dir", city.folder)
    assert "使用中" in cli("fleet", "enrolled", "--dir", city.folder, "--lang", "ja")


def test_the_books_forget_what_ended_long_ago(city):
    """A month after its end; a certificate that still counts and a fresh code stay."""
    box = Box(city.folder.parent / "old")
    box.claim(city.code("GW-OLD"))
    city.code("GW-1", valid_s=3600)
    now_s = city.clock.now().wall_ms / 1000
    enrol_desk.new_code(city.folder, "GW-2", now_s=now_s + 32 * DAY, valid_s=3600)
    books = enrol_desk.read(city.folder)
    assert [one.gateway for one in books.codes.values()] == ["GW-2"]
    assert [one.gateway for one in books.issued.values()] == ["GW-OLD"]
    enrol_desk.new_code(city.folder, "GW-3", now_s=now_s + 400 * DAY, valid_s=3600)
    assert not enrol_desk.read(city.folder).issued


def test_a_server_that_runs_for_years_renews_its_own_certificate(city):
    """At two thirds of 398 days, between two callers, and without a restart; gateways trust the authority, not it."""

    def served():
        pem = ssl.get_server_certificate(("127.0.0.1", city.server.port), timeout=30)
        return x509.load_pem_x509_certificate(pem.encode())

    first = served()
    city.clock.advance(200 * DAY)
    time.sleep(0.1)
    assert served() == first, "not before"
    city.clock.advance(80 * DAY)
    renewed = until(lambda: (one := served()) != first and one, "another certificate is served")
    assert renewed.not_valid_after_utc > first.not_valid_after_utc and renewed.issuer == first.issuer
    renewed.verify_directly_issued_by(city.authority.certificate)


def test_books_and_keys_that_cannot_be_read(tmp_path):
    folder = tmp_path / "city"
    Authority(folder, time.time(), "", nobody)
    (folder / "enrol.json").write_text("{")
    with pytest.raises(ConfigError, match="books-broken"):
        enrol_desk.read(folder)
    (folder / "ca.key").chmod(0o600)
    (folder / "ca.key").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="key-unreadable"):
        Authority(folder, time.time(), "", nobody)


def test_a_desk_that_was_left_alone(city):
    """Ten wrong guesses from one address: it waits a quarter of an hour, nobody else does."""
    good = city.code()
    for n in range(10):
        with pytest.raises(Refused, match="wrong-code"):
            city.desk.enrol(f"Z{n:03}", "0000000", request(), "192.0.2.1")
    with pytest.raises(Refused, match="address-locked"):
        city.desk.enrol(good.locator, good.secret, request(), "192.0.2.1")
    assert city.desk.enrol(good.locator, good.secret, request(), "192.0.2.2").subject


def request():
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    from edgeagent.install.enrol_papers import request_for  # noqa: PLC0415

    return request_for(ec.generate_private_key(ec.SECP256R1()), "GW-0147")


def read(file):
    made, problems = read_config(file)
    assert made is not None, problems
    return made
