"""The page over real TLS: who is let in, for how long, what may be written, what rude callers get (SEC-02)."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import sys
import time

import pytest

from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.reading import Quality, Quantity, Unit
from edgeagent.web import addresses
from edgeagent.web.door import Limits
from edgeagent.web.gate import TRIES, Gate
from edgeagent.web.offers import Drawn
from tests.fakes import FakeClock
from tests.web.rig import LINE, Phone, World, lines, opened, source, status, uplink


def until(true, seconds=30.0):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "did not happen"
        time.sleep(0.02)


@pytest.fixture
def page():
    with opened() as one:
        yield one


@pytest.fixture
def phone(page):
    one = Phone(page)
    assert one.enter(page.gate.token).status == 303
    return one


# --- who is let in


def test_sec_02_without_the_token_nothing_is_shown_and_nothing_done(page):
    stranger = Phone(page)
    front = stranger.get("/")
    assert front.status == 200
    assert "GW-0147" not in front.text and "宮川橋" not in front.text
    for path in ("/part/now", "/part/sending", "/camera?source=route140", "/camera/picture?source=route140"):
        assert stranger.get(path).status == 403, path
    for path in ("/camera/look", "/camera/check", "/camera/save", "/restart", "/doctor", "/close", "/language"):
        assert stranger.write(path, {"source": "route140", "lines": lines()}).status == 403, path
    for cookie in ("x", "A" * 43, page.gate.csrf):
        stranger.cookie = cookie
        assert stranger.get("/part/now").status == 403
    assert page.world.saved == [] and page.world.restarts == 0


def test_sec_02_the_token_works_once(page):
    first, second = Phone(page), Phone(page)
    assert first.enter(page.gate.token).status == 303
    again = second.enter(page.gate.token)
    assert again.status == 403
    assert "使用済み" in again.text
    assert second.cookie == ""
    assert first.get("/part/now").status == 200
    assert ("page-entered", {"address": "127.0.0.1"}) in page.world.notes
    assert page.gate.tries_left == TRIES  # its owner going back a page shuts nobody out


def test_sec_02_a_link_that_is_only_looked_at_does_not_use_the_token_up(page):
    for _ in range(3):  # a messenger's preview, a QR app that peeks
        assert f'value="{page.gate.token}"' in Phone(page).get(f"/?t={page.gate.token}").text
    assert Phone(page).enter(page.gate.token).status == 303


def test_sec_02_five_wrong_tokens_close_the_page_for_everybody(page):
    owner, guesser = Phone(page), Phone(page)
    owner.enter(page.gate.token)
    for left in range(TRIES - 1, 0, -1):
        answer = guesser.enter("0000000000")
        assert answer.status == 403
        assert f"あと {left} 回" in answer.text
        assert owner.get("/part/now").status == 200
    last = guesser.enter("0000000000")
    assert last.status == 403
    assert "閉じました" in last.text
    until(lambda: not page.thread.is_alive())
    assert page.ended == "wrong-tokens"
    assert not page.listening()
    assert [event for event, _ in page.world.notes].count("page-refused") == TRIES


def test_sec_02_after_15_minutes_it_is_off_whoever_looks():
    clock = FakeClock()
    with opened(clock=clock) as page:
        phone = Phone(page)
        phone.enter(page.gate.token)
        clock.advance(15 * 60 - 1)
        assert phone.get("/part/now").status == 200
        clock.advance(1)
        until(lambda: not page.thread.is_alive())
        assert page.ended == "time"
        assert not page.listening()


def test_sec_02_nobody_can_ask_for_longer_than_15_minutes():
    clock = FakeClock()
    gate = Gate(clock, minutes=10_000)
    clock.advance(15 * 60)
    assert gate.closed == "time"


def test_sec_02_there_is_no_default_two_openings_share_nothing():
    tokens, sessions = set(), set()
    for _ in range(50):
        gate = Gate(FakeClock())
        tokens.add(gate.token)
        sessions.add(gate.enter(gate.token)[0])
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{10}", gate.token)
    assert len(tokens) == len(sessions) == 50


@pytest.mark.parametrize("code", ["", "0" * 10, "é" * 10, "A" * 5000, "%00", "' OR 1=1"])
def test_sec_02_what_is_not_the_token_is_wrong(code):
    gate = Gate(FakeClock())
    assert gate.enter(code) == (None, "wrong")


def test_a_token_may_be_typed_as_people_write():
    gate = Gate(FakeClock())
    typed = f" {gate.token[:5].lower()}-{gate.token[5:]} ".replace("1", "l").replace("0", "o")
    session, why = gate.enter(typed)
    assert why is None
    assert gate.admits(session)


def test_sec_02_only_tls_and_the_fingerprint_is_that_of_the_terminal(page):
    phone = Phone(page)
    phone.get("/")
    assert phone.fingerprint == page.tls.fingerprint
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert not plain.recv(1000).startswith(b"HTTP")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)), socket.create_connection(("127.0.0.1", page.port), timeout=30) as link:
        old.wrap_socket(link)


def test_sec_02_every_opening_has_a_key_of_its_own():
    from edgeagent.web import certificate  # noqa: PLC0415

    made = {certificate.make(["127.0.0.1", "::1"], "GW-1", 1_795_000_000).fingerprint for _ in range(3)}
    assert len(made) == 3


def test_the_cookie_is_for_this_page_alone(page):
    phone = Phone(page)
    told = phone.enter(page.gate.token).headers["Set-Cookie"]
    assert told.startswith("__Host-")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(told.split("; "))
    assert phone.cookie not in phone.get("/").text


# --- what may be written


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": None},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Csrf": None},
        {"X-Csrf": "x" * 43},
    ],
    ids=str,
)
def test_a_foreign_page_can_write_nothing(page, phone, headers):
    for path in ("/camera/save", "/restart", "/close", "/doctor"):
        assert phone.write(path, {"source": "route140", "lines": lines()}, **headers).status == 403
    assert page.world.saved == [] and page.world.restarts == 0 and page.gate.closed is None


def test_a_form_of_a_foreign_page_is_no_writing_request(page, phone):
    answer = phone.write("/restart", **{"Content-Type": "text/plain"})
    assert answer.status == 415
    assert page.world.restarts == 0


def test_a_wrong_token_of_a_foreign_page_does_not_count(page):
    answer = Phone(page).enter("0000000000", Origin="https://evil.example")
    assert answer.status == 403
    assert page.gate.tries_left == TRIES


def test_a_name_that_points_here_is_refused(page, phone):
    assert phone.get("/part/now", Host=f"rebind.example:{page.port}").status == 421


def test_reading_changes_nothing(page, phone):
    for path in ("/camera/save", "/restart", "/close", "/doctor", "/enter"):
        assert phone.get(path).status == 404
    assert page.world.restarts == 0 and page.gate.closed is None


@pytest.mark.parametrize("path", ["/", "/part/now", "/camera?source=route140", "/page.css", "/page.js", "/lines.js"])
def test_nothing_from_outside_nothing_in_line_nothing_kept(phone, path):
    answer = phone.get(path)
    assert answer.status == 200
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)
    assert not re.search(r"<script(?![^>]* src=\"/)|\son\w+=|\sstyle=|<style", text)


def test_when_it_is_closed_by_hand_nothing_listens(page, phone):
    assert phone.write("/close").status == 204
    until(lambda: not page.thread.is_alive())
    assert page.ended == "asked"
    assert not page.listening()


# --- what it shows


def test_every_source_with_value_age_quality_and_alarm_level(page, phone):
    page.world.status = status(
        source(last={"level": Quantity(2.4, Unit.METRE), "alarm_level": Quantity("evacuate")}),
        source("susobana", name="裾花川", last={"level": Quantity(0.5, Unit.METRE, Quality.SUSPECT)}),
        source("gone", name="消えた", last={"level": Quantity.missing(Unit.METRE)}, well=False),
        source("wild", name="乱れ", last={"level": Quantity(9.9, Unit.METRE, Quality.FAIL)}, well=False),
    )
    text = phone.get("/part/now").text
    cards = re.findall(r"<article.*?</article>", text, re.DOTALL)
    assert "2.40 m" in cards[0] and "避難判断" in cards[0] and "3 秒前の値" in cards[0] and "計測は正常" in cards[0]
    assert "<svg" in cards[0] and "氾濫危険 2.60 m" in cards[0]
    assert "疑わしい値" in cards[1] and "0.50 m" in cards[1]
    assert "欠測" in cards[2] and "計測できていません" in cards[2] and "0.00" not in cards[2]
    assert "9.9" not in cards[3] and "不良値" in cards[3]


def test_of_tags_the_count_alone(page, phone):
    page.world.status = status(
        source(
            "tags",
            "ble-tags",
            "見守りタグ",
            last={
                "people": Quantity(3),
                "listening": Quantity(True),
                "pseudonym": Quantity("9f3c2a"),
                "rssi": Quantity(-60),
            },
        )
    )
    text = phone.get("/part/now").text
    assert "3 台" in text and "受信中" in text
    assert "9f3c" not in text and "-60" not in text


def test_uplinks_and_buffer(page, phone):
    page.world.status = status(uplinks=[uplink(), uplink(id="pref", state="down", waiting=77, well=False)], lost=2)
    text = phone.get("/part/sending").text
    assert "送信できています" in text and "届いていません" in text and "77" in text
    assert "異常" in text.split("<article")[-1]


def test_an_unset_clock_is_said(page, phone):
    page.world.status = status(source(), clock="unsynced")
    assert "時計が合っていません" in phone.get("/part/now").text


def test_without_an_agent_it_says_so_and_shows_what_is_configured(page, phone):
    page.world.status = None
    text = phone.get("/").text
    assert "エージェントは動いていません" in text and "宮川橋" in text
    assert phone.get("/part/sending").status == 200
    assert phone.get("/camera?source=route140").status == 200


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EdgeAgentError("daemon.not-allowed", path="/var/lib/edgeagent/control.sock"), "sudo"),
        (EdgeAgentError("daemon.not-running", path="x"), "systemctl start"),
    ],
)
def test_why_no_agent_answers_is_told_as_it_is(error, told):
    world = World()

    answers = []

    def ask(_):
        if answers:
            return answers[0]
        raise error

    world.ask = ask
    with opened(world) as page:
        phone = Phone(page)
        phone.enter(page.gate.token)
        text = phone.get("/part/now").text
        assert told in text and "宮川橋" in text
        assert ("動いていません" in text) == (error.code == "daemon.not-running")
        answers.append(b'{"gateway": 7}')
        assert "別の版" in phone.get("/part/now").text


def test_the_last_day_is_asked_for_once_a_minute_however_often_the_page_looks():
    clock, asked = FakeClock(), []
    world = World()
    ask = world.ask
    world.ask = lambda question: (asked.append(question), ask(question))[1]
    with opened(world, clock=clock) as page:
        phone = Phone(page)
        phone.enter(page.gate.token)
        for _ in range(3):
            assert "20:06:40 現在" in phone.get("/part/now").text
        assert asked.count("history") == 1
        clock.advance(60)
        assert "20:07:40 現在" in phone.get("/part/now").text
        assert asked.count("history") == 2


def test_an_agent_of_before_the_history_is_shown_without_pictures():
    world = World()
    world.history = world.status  # answers, but not with a history
    with opened(world) as page:
        phone = Phone(page)
        phone.enter(page.gate.token)
        text = phone.get("/part/now").text
    assert "1.23 m" in text and "<svg" not in text


def test_names_of_people_cannot_become_markup(page, phone):
    evil = '"><script>alert(1)</script>'
    page.world.status = status(source(evil, evil, evil), uplinks=[uplink(id=evil)])
    text = phone.get("/").text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_the_language_is_changed_for_the_whole_page(phone):
    assert "現在の状態" in phone.get("/").text
    assert phone.write("/language").status == 204
    english = phone.get("/").text
    assert 'lang="en"' in english and "Right now" in english and "現在の状態" not in english


def test_the_check_up_says_what_is_wrong_first(phone):
    answer = phone.write("/doctor")
    assert answer.status == 200
    assert answer.text.index("E-POWER-02") < answer.text.index("E-CLOCK-01")
    assert "異常 0  注意 1  正常 1" in answer.text and "&lt;b&gt;" in answer.text


# --- camera


def picture(phone):
    got = []

    def there():
        got.append(phone.get("/camera/picture?source=route140"))
        return got[-1].status != 204

    until(there)
    return got[-1]


def test_a_picture_is_shown_only_when_asked_for_and_is_gone_afterwards(page, phone):
    assert phone.get("/camera?source=route140").status == 200
    assert phone.get("/camera/picture?source=route140").status == 204
    assert not page.world.road.open
    assert phone.write("/camera/look", {"source": "route140"}).status == 204
    shown = picture(phone)
    assert shown.status == 200
    assert shown.headers["Content-Type"] == "image/png"
    assert shown.headers["X-Size"] == "640x360"
    assert phone.write("/camera/leave").status == 204
    until(lambda: not page.world.road.open)
    assert phone.get("/camera/picture?source=route140").status == 204


def test_a_phone_that_was_put_away_leaves_the_camera():
    clock = FakeClock()
    with opened(clock=clock) as page:
        phone = Phone(page)
        phone.enter(page.gate.token)
        phone.write("/camera/look", {"source": "route140"})
        picture(phone)
        clock.advance(21)
        until(lambda: not page.world.road.open)
        assert phone.get("/camera/picture?source=route140").status == 204


def test_when_the_page_closes_the_camera_does(page, phone):
    phone.write("/camera/look", {"source": "route140"})
    picture(phone)
    page.gate.shut()
    until(lambda: not page.thread.is_alive())
    assert not page.world.road.open


def test_a_camera_that_gives_no_picture_says_why(page, phone):
    page.world.road.trouble = EdgeAgentError("web.busy", camera="/dev/video0")
    phone.write("/camera/look", {"source": "route140"})
    answer = picture(phone)
    assert answer.status == 409
    assert "使用中" in answer.text and "systemctl stop" in answer.text


def test_crossings_of_a_line_that_is_only_drawn_yet(phone):
    phone.write("/camera/look", {"source": "route140"})
    picture(phone)
    answer = phone.write("/camera/check", {"source": "route140", "lines": lines(LINE)})
    assert answer.status == 200
    assert answer.text == '[{"id":"up-down","forward":4,"backward":2,"beside":1,"faults":[]}]'


def test_lines_are_saved_and_noted(page, phone):
    drawn = Drawn(id="north", start=(1.0, 2.0), end=(300.0, 200.0), forward="left")
    answer = phone.write("/camera/save", {"source": "route140", "lines": lines(LINE, drawn)})
    assert answer.status == 204
    assert page.world.saved == [("route140", (LINE, drawn))]
    assert ("local-config", {"source": "route140", "lines": 2}) in page.world.notes
    assert "north" in phone.get("/camera?source=route140").text
    assert phone.write("/restart").status == 204
    assert page.world.restarts == 1


@pytest.mark.parametrize(
    ("asked", "status_"),
    [
        ({"source": "nobody", "lines": lines()}, 404),
        ({"source": "route140", "lines": [{"id": "x"}]}, 400),
        ({"source": "route140", "lines": "x"}, 400),
        ({"source": "route140", "lines": lines(), "more": 1}, 400),
        ({"source": "route140", "lines": [{"id": "x", "from": [0, 1], "to": [1, "2"], "forward": "down"}]}, 400),
        ({"source": "route140", "lines": [{"id": "x", "from": [0, 1], "to": [9, 9], "forward": "north"}]}, 400),
    ],
)
def test_lines_that_are_none_are_refused_and_nothing_is_written(page, phone, asked, status_):
    assert phone.write("/camera/save", asked).status == status_
    assert page.world.saved == []


def test_a_line_outside_the_picture_is_refused(page, phone):
    phone.write("/camera/look", {"source": "route140"})
    picture(phone)
    far = Drawn(id="far", start=(700.0, 10.0), end=(900.0, 10.0), forward="down")
    answer = phone.write("/camera/save", {"source": "route140", "lines": lines(far)})
    assert answer.status == 409
    assert "far" in answer.text and page.world.saved == []


def test_why_lines_cannot_be_saved_is_told(page, phone):
    page.world.trouble = ConfigError("camera.line-short", path="sources[0].lines[0]", line="up-down")
    answer = phone.write("/camera/save", {"source": "route140", "lines": lines()})
    assert answer.status == 409
    assert "up-down" in answer.text


# --- rude callers


def raw(page, data, *, finish=True):
    """What comes back for these bytes; b"" where the line is cut."""
    context = Phone(page).context
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as link, context.wrap_socket(link) as tls:
        with contextlib.suppress(OSError):
            tls.sendall(data)
        got = b""
        with contextlib.suppress(OSError):
            while finish and (more := tls.recv(65_536)):
                got += more
        return got


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"505"),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\n\r\n", b"411"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", b"400"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n", b"413"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", b"400"),
        (b"POST /enter HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"501"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"421"),
    ],
)
def test_a_bad_request_gets_its_status_and_harms_nobody(page, data, expected):
    assert raw(page, data).split(b" ")[1:2] == [expected]
    assert Phone(page).get("/").status == 200


def test_a_body_that_is_no_form_or_no_json_is_refused(page, phone):
    assert (
        phone.ask(
            "POST",
            "/enter",
            body=b"\xff\xfe",
            Origin=f"https://{phone.host}",
            **{"Content-Type": "application/x-www-form-urlencoded"},
        ).status
        == 400
    )
    sent = {"Origin": f"https://{phone.host}", "Content-Type": "application/json", "X-Csrf": phone.csrf}
    for body in (b"\xff", b"[", b"{" * 5000, b'"x"', b"null"):
        assert phone.ask("POST", "/camera/save", body=body, **sent).status == 400


def served(page):
    with contextlib.suppress(OSError):
        return Phone(page).get("/").status == 200
    return False


def test_slow_callers_are_hung_up_on():
    with opened(limits=Limits(handshake_s=1.0, request_s=1.0, idle_s=1.0)) as page:
        context = Phone(page).context
        with socket.create_connection(("127.0.0.1", page.port), timeout=60) as silent:  # no handshake
            assert silent.recv(10) == b""
        assert raw(page, b"") == b""  # no request
        with socket.create_connection(("127.0.0.1", page.port), timeout=60) as link, context.wrap_socket(link) as drip:
            with contextlib.suppress(OSError):
                for letter in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 400:  # never done
                    drip.sendall(bytes([letter]))
                    time.sleep(0.05)
                pytest.fail("was served for ever")
        until(lambda: served(page))


def test_many_connections_are_bounded_and_the_next_caller_is_served_after_them():
    with opened(limits=Limits(connections=6, of_one=4)) as page:
        held = [socket.create_connection(("127.0.0.1", page.port), timeout=60) for _ in range(12)]
        try:
            cut = 0
            for one in held[4:]:
                one.settimeout(60)
                with contextlib.suppress(ConnectionResetError):
                    assert one.recv(1) == b""
                cut += 1
            assert cut == 8
        finally:
            for one in held:
                one.close()
        until(lambda: served(page))


def test_a_page_that_breaks_answers_the_next(page, phone, capfd):
    page.world.status = "no status at all"
    page.world.ask = None
    with contextlib.suppress(OSError):
        phone.get("/part/now")
    assert Phone(page).get("/").status == 200
    assert "Traceback" not in capfd.readouterr().err


# --- the verb


def test_sec_02_the_verb_shows_token_and_fingerprint_and_ends_by_itself(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f'[gateway]\nid = "G-1"\nstate_dir = "{tmp_path}"\n[[sources]]\nid = "h"\ndriver = "host"\n')
    words = [sys.executable, "-m", "edgeagent", "web", "-c", config, "--listen", "127.0.0.1", "--port", "0"]
    done = subprocess.run([*words, "--minutes", "0.02", "--lang", "en"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    link = re.search(r"https://127\.0\.0\.1:(\d+)/\?t=([0-9A-Z]{10})", done.stdout)
    assert link and "█" in done.stdout
    assert len(re.findall(r"\b[0-9A-F]{2}\b", done.stdout.split("SHA-256")[1].split("browser")[0])) == 32
    assert "time is up" in done.stdout
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(link[1]))) != 0
    events = (tmp_path / "security.jsonl").read_text().splitlines()
    assert "page-opened" in events[0] and "page-closed" in events[-1]
    assert link[2] not in "".join(events)


def test_the_verb_listens_on_no_more_than_was_meant(tmp_path):
    for unfit in ("0.0.0.0", "::", "example.org", "300.1.1.1", ""):
        with pytest.raises(ConfigError) as caught:
            addresses.plain([unfit])
        assert caught.value.code == "web.bad-listen"
    config = tmp_path / "c.toml"
    config.write_text(f'[gateway]\nid = "G-1"\nstate_dir = "{tmp_path}"\n')
    words = [sys.executable, "-m", "edgeagent", "web", "-c", config, "--listen", "0.0.0.0", "--lang", "en"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "0.0.0.0" in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_and_nothing_stays_open(page):
    with pytest.raises(EdgeAgentError) as caught:
        addresses.listen(["127.0.0.1"], page.port)
    assert caught.value.code == "web.cannot-listen"
    assert caught.value.facts["where"] == f"127.0.0.1:{page.port}"
    with pytest.raises(EdgeAgentError) as caught:
        addresses.listen([], 8088)
    assert caught.value.code == "web.no-address"


def test_neither_loopback_nor_the_mobile_line_is_a_local_network(monkeypatch):
    import fcntl  # noqa: PLC0415

    found = {  # name: flags, address
        "lo": (0x49, "127.0.0.1"), "eth0": (0x1043, "192.168.8.1"), "wlan0": (0x1043, "10.1.2.3"),
        "ppp0": (0x10D1, "10.64.0.9"), "wwan0": (0x41, "10.64.0.8"), "eth1": (0x1002, "192.168.9.1"),
        "eth2": (0x1043, "203.0.113.5"), "eth3": (0x1043, "8.8.4.4"), "docker0": (0x1043, "172.17.0.1"), "tun0": (0x1043, None),
    }  # fmt: skip

    def ioctl(_, request, asked):
        flags, address = found[asked.split(b"\0")[0].decode()]
        if request == 0x8913:
            return asked[:16] + struct.pack("H", flags) + asked[18:]
        if address is None:
            raise OSError(99, "Cannot assign requested address")
        return asked[:20] + socket.inet_aton(address) + asked[24:]

    monkeypatch.setattr(socket, "if_nameindex", lambda: list(enumerate(found)))
    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert addresses.lan()[:2] == ["10.1.2.3", "192.168.8.1"]
    assert not {"127.0.0.1", "10.64.0.9", "10.64.0.8", "192.168.9.1", "8.8.4.4", "172.17.0.1"} & set(addresses.lan())
