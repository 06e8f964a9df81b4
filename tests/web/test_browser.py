"""The page in a real browser, as a phone: for a finger, for keys, for a screen reader (axe-core), in both languages."""

import contextlib
import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from edgeagent.reading import Quantity, Unit
from tests.web.rig import opened, source, status
from tests.web.river import LINES, River

pytestmark = [pytest.mark.slow, pytest.mark.tool("chromium"), pytest.mark.tool("axe.min.js")]
PHONE = {"width": 360, "height": 740}
WAIT_MS = 60_000
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A phone's tab on an opened page; what it complains of and whom it asks is kept."""

    def __init__(self, browser, opening, **more):
        given = {"viewport": PHONE, "ignore_https_errors": True, "has_touch": True, "is_mobile": True, **more}
        self.context = browser.new_context(**given)
        self.context.set_default_timeout(WAIT_MS)
        self.page, self.opening = self.context.new_page(), opening
        self.complaints, self.asked = [], []
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.front = f"https://127.0.0.1:{opening.port}"

    def enter(self):
        self.page.goto(f"{self.front}/?t={self.opening.gate.token}")
        self.page.click("main button")
        self.page.wait_for_selector("#now .card")
        return self

    def camera(self):
        self.page.goto(f"{self.front}/camera?source=route140")
        self.page.click("#show")
        self.page.wait_for_selector("#lines g[role]")
        return self

    def judged(self):
        """What axe-core has against the page, by rule and place."""
        self.page.evaluate(Path(shutil.which("axe.min.js")).read_text())  # not by the page: its policy forbids that
        found = self.page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
        )
        assert len(found["passes"]) > 10
        return [
            (v["id"], node["target"], node.get("failureSummary")) for v in found["violations"] for node in v["nodes"]
        ]


@contextlib.contextmanager
def tab(browser, lang="ja", world=None, **more):
    with opened(world or River(), lang=lang) as opening:
        one = Tab(browser, opening, **more)
        try:
            yield one
        finally:
            closed = opening.gate.closed
            one.context.close()
        strangers = [url for url in one.asked if not url.startswith((one.front, f"blob:{one.front}"))]
        assert strangers == []
        # of a page that was closed the browser says that nobody answers, which is meant
        assert [said for said in one.complaints if not (closed and "net::ERR" in said)] == []


@pytest.mark.parametrize(("lang", "scheme"), [("ja", "light"), ("en", "dark")])
def test_nobody_is_shut_out(chromium, lang, scheme):
    """Labels, contrast, roles, names, headings: on the entry, the page with a check-up, and the camera."""
    with tab(chromium, lang, color_scheme=scheme) as one:
        one.page.goto(f"{one.front}/")
        assert one.judged() == []
        one.enter()
        one.page.click("#examine")
        one.page.wait_for_selector(".checks li")
        assert one.judged() == []
        one.camera()
        one.page.wait_for_function("document.querySelector('.crossed')?.textContent")
        assert one.judged() == []


def test_nothing_is_wider_than_the_phone_and_everything_can_be_hit(chromium):
    with tab(chromium) as one:
        for go, width in ((one.enter, 320), (lambda: None, 800), (one.camera, 320), (lambda: None, 800)):
            one.page.set_viewport_size({"width": width, "height": 640})
            go()
            assert one.page.evaluate("document.documentElement.scrollWidth") <= width
            small = one.page.evaluate(
                """[...document.querySelectorAll('button, a, input, select')].filter((e) => e.offsetParent !== null)
                .map((e) => [e.outerHTML, e.getBoundingClientRect()]).filter(([, b]) => b.height < 44 || b.width < 44)
                .map(([html]) => html)"""
            )
            assert small == []


def test_state_is_told_by_sign_and_word(chromium):
    with tab(chromium) as one:
        one.enter()
        cards = one.page.locator("#now .card")
        expect(cards.nth(0)).to_contain_text("▲ 警戒: 避難判断")
        expect(cards.nth(0)).to_contain_text("✓ 計測は正常")
        expect(cards.nth(1)).to_contain_text("? 疑わしい値")
        expect(cards.nth(4)).to_contain_text("✗ 計測できていません")


def test_values_come_anew_without_a_touch_and_old_ones_are_called_old(chromium):
    world = River()
    with tab(chromium, world=world) as one:
        one.page.clock.install()
        one.enter()
        world.status = status(source(last={"level": Quantity(0.77, Unit.METRE)}))
        one.page.clock.fast_forward(6000)
        expect(one.page.locator("#now .card").first).to_contain_text("0.77 m")
        one.opening.gate.shut()
        one.opening.thread.join(30)
        one.page.clock.fast_forward(6000)
        expect(one.page.locator("#stale")).to_be_visible()


def test_without_scripts_the_values_are_there(chromium):
    with tab(chromium, java_script_enabled=False) as one:
        one.enter()
        expect(one.page.locator("#now .card").first).to_contain_text("2.36 m")


def test_the_language_changes_with_one_touch(chromium):
    with tab(chromium) as one:
        one.enter()
        one.page.tap("#language")
        expect(one.page.locator("#now h2")).to_have_text("Right now")
        expect(one.page.locator("html")).to_have_attribute("lang", "en")


def fields(page, number=0):
    return [
        int(field.input_value()) for field in page.locator(f'fieldset[data-line="{number}"] input[type=number]').all()
    ]


def middle(one, of):
    box = one.page.locator(f'#lines g[data-of="{of}"] .knob').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def tap_until(page, button, words):
    """Tap as a person does: once more where the page moved under the finger; what was done twice would show."""
    for _ in range(6):
        page.tap(button)
        try:
            return expect(page.locator("#result")).to_have_text(re.compile(words), timeout=10_000)
        except AssertionError:
            continue
    raise AssertionError(f"{words}: {page.locator('#result').inner_text()}")


def test_a_line_is_dragged_by_a_finger_judged_and_saved(chromium):
    world = River()
    with tab(chromium, world=world) as one:
        one.enter().camera()
        finger = one.context.new_cdp_session(one.page)
        x, y = middle(one, "0 to")

        def touch(kind, *points):
            finger.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
            )

        touch("touchStart", (x, y))
        for step in range(1, 11):
            touch("touchMove", (x - 4 * step, y - 3 * step))
        touch("touchEnd")
        moved = fields(one.page)
        scale = 640 / one.page.locator("#view").bounding_box()["width"]
        assert moved[:2] == [40, 250]
        assert moved[2] == pytest.approx(600 - 40 * scale, abs=4)
        assert moved[3] == pytest.approx(250 - 30 * scale, abs=4)
        expect(one.page.locator("#result")).to_have_text("まだ保存していません")
        expect(one.page.locator(".crossed").first).to_have_text(re.compile("順方向 7"))
        expect(one.page.locator(".faults").nth(1)).to_have_text(re.compile("✗ どの車両も通りません"))
        assert world.saved == []
        tap_until(one.page, "#save", "✓ 保存しました")
        ((name, saved),) = world.saved
        assert name == "route140"
        assert [saved[0].start, saved[0].end] == [(40.0, 250.0), tuple(map(float, moved[2:]))]
        assert saved[1] == LINES[1]
        tap_until(one.page, "#restart", "✓ 再起動")
        assert world.restarts == 1


def test_keys_alone_do_all_of_it(chromium):
    world = River()
    with tab(chromium, world=world, has_touch=False, is_mobile=False) as one:
        page = one.page
        page.goto(f"{one.front}/?t={one.opening.gate.token}")
        press_until(page, lambda: page.evaluate("document.activeElement.matches('main button')"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#now .card")
        press_until(page, lambda: page.evaluate("document.activeElement.matches('#cameras a')"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#show")
        press_until(page, lambda: page.evaluate("document.activeElement.id === 'show'"))
        page.keyboard.press("Enter")
        page.wait_for_selector("#lines g[role]")
        press_until(page, lambda: page.evaluate("document.activeElement.dataset?.of === '0 from'"))
        for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
            page.keyboard.press(key)
        assert fields(page)[:2] == [56, 243]
        heard = page.evaluate(
            "document.activeElement.getAttribute('aria-label') + ' ' + document.activeElement.getAttribute('aria-valuetext')"
        )
        assert heard == "計測線 up-down の始点 横 56 縦 243"
        for key in ("Shift+ArrowLeft",) * 100:  # stays in the picture
            page.keyboard.press(key)
        assert fields(page)[0] == 0
        press_until(page, lambda: page.evaluate("document.activeElement.id === 'save'"))
        page.keyboard.press("Enter")
        expect(page.locator("#result")).to_have_text(re.compile("✓ 保存しました"))
        assert world.saved[0][1][0].start == (0.0, 243.0)


def press_until(page, there):
    for _ in range(60):
        page.keyboard.press("Tab")
        if there():
            return
    pytest.fail("Tab never gets there")


def test_lines_are_added_named_turned_and_removed(chromium):
    world = River()
    with tab(chromium, world=world) as one:
        one.enter().camera()
        one.page.locator("#add").press("Enter")
        box = one.page.locator('fieldset[data-line="2"]')
        box.locator("input").first.fill("north")
        box.locator("select").select_option("up")
        box.locator("input[type=number]").nth(1).fill("111")
        one.page.locator('fieldset[data-line="1"] button').press("Enter")
        one.page.locator("#save").press("Enter")
        expect(one.page.locator("#result")).to_have_text(re.compile("✓"))
        assert [(x.id, x.forward) for x in world.saved[0][1]] == [("up-down", "down"), ("north", "up")]
        assert world.saved[0][1][1].start[1] == 111.0


def test_leaving_the_camera_page_lets_the_camera_go(chromium):
    world = River()
    with tab(chromium, world=world) as one:
        one.enter().camera()
        assert world.road.open
        one.page.goto(f"{one.front}/")
        one.page.wait_for_function("document.querySelector('#now .card')")
        for _ in range(600):
            if not world.road.open:
                break
            one.page.wait_for_timeout(100)
        assert not world.road.open


def test_why_it_could_not_be_done_stands_on_the_page(chromium):
    from edgeagent.errors import EdgeAgentError  # noqa: PLC0415

    world = River()
    world.trouble = EdgeAgentError("web.cannot-save", file="/etc/edgeagent/config.toml", why="Permission denied")
    with tab(chromium, world=world) as one:
        one.enter().camera()
        one.page.locator("#save").press("Enter")
        expect(one.page.locator("#result")).to_have_text(re.compile("✗ .*config.toml.*sudo"))
        assert json.dumps(one.complaints).count("409") == 1  # the browser's own note of it
        one.complaints.clear()


def test_closing_it_says_so_and_nothing_listens(chromium):
    with tab(chromium) as one:
        one.enter()
        one.page.tap("#close")
        expect(one.page.locator("main")).to_contain_text("このページは閉じました")
        one.opening.thread.join(30)
        assert not one.opening.listening()
