"""Pictures of the page for the documentation: `python -m tests.web.screens FOLDER`; simulated sources only."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from tests.web.rig import opened
from tests.web.river import River
from tests.web.test_browser import Tab

SHOTS = (("ja", "light"), ("en", "dark"))


def main(folder: Path):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for lang, scheme in SHOTS:
            with opened(River(), lang=lang) as opening:
                one = Tab(browser, opening, color_scheme=scheme, device_scale_factor=1.5)
                one.enter()
                shots = [one.page.screenshot()]
                one.page.evaluate("document.getElementById('sending').scrollIntoView({behavior: 'instant'})")
                shots.append(one.page.screenshot())
                one.camera()
                one.page.wait_for_function("document.querySelector('.faults')?.textContent")
                shots.append(one.page.screenshot())
                one.context.close()
            pictures = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in shots]
            edge = np.full((pictures[0].shape[0], 12, 3), 128, np.uint8)
            side = np.hstack([part for one in pictures for part in (one, edge)][:-1])
            cv2.imwrite(str(folder / f"web-{lang}.webp"), side, [cv2.IMWRITE_WEBP_QUALITY, 70])
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
