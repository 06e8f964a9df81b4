"""hardware/: drawings and sheets are what their makers make, tables are right, links and names lead somewhere."""

import importlib.util
import math
import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer.main

from edgeagent import cli, messages
from edgeagent.cli.columns import width

HARDWARE = Path(__file__).resolve().parents[1] / "hardware"
PAGES = sorted(HARDWARE.glob("*.md"))
SHEETS = sorted((HARDWARE / "bench").glob("*.md"))
SVG = "{http://www.w3.org/2000/svg}"


def maker(name):
    spec = importlib.util.spec_from_file_location(name, HARDWARE / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("name", sorted(maker("drawings").DRAWINGS))
def test_a_drawing(name):
    text = maker("drawings").DRAWINGS[name]().svg()
    assert (HARDWARE / "drawings" / f"{name}.svg").read_text(encoding="utf-8") == text, "run hardware/drawings.py"
    root = ET.fromstring(text)
    assert root.find(f"{SVG}title").text and len(root.find(f"{SVG}desc").text) > 80, "for those who do not see it"
    assert "href" not in text and "<script" not in text and "url(" not in text, "nothing from elsewhere"
    wide, high = (float(root.get(side)) for side in ("width", "height"))
    for one in root.iter(f"{SVG}text"):
        x, y, size = (float(one.get(key)) for key in ("x", "y", "font-size"))
        long = width(one.text) * size * 0.53
        left = x - long / 2 if one.get("text-anchor") == "middle" else x
        assert left >= 0 and left + long <= wide and 0 < y < high, one.text


def test_every_profile_has_a_bench_sheet():
    make = maker("bench_sheets").sheet
    profiles = sorted((HARDWARE / "profiles").glob("*.toml"))
    assert [p.stem for p in SHEETS] == [p.stem for p in profiles]
    for profile in profiles:
        data = tomllib.loads(profile.read_text(encoding="utf-8"))
        text = (HARDWARE / "bench" / f"{profile.stem}.md").read_text(encoding="utf-8")
        assert text == make(data), f"{profile.stem}: run hardware/bench_sheets.py"
        for one in [*data.get("read", []), *data.get("field", [])]:
            assert f"| {one['name']} |" in text
            for why in one.get("sentinels", {}):
                assert f"`{why}`" in text, "what must be refused stands there"
        tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])


@pytest.mark.parametrize("page", [*PAGES, *SHEETS], ids=lambda p: p.name)
def test_links_verbs_and_codes_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert not target.startswith("http") and (page.parent / target).exists(), target
    known = typer.main.get_command(cli.app).commands
    for words in re.findall(r"(?:^ {4}|`)(?:sudo )?edgeagent ([a-z]+(?: [a-z]+)?)", text, re.MULTILINE):
        verb, _, rest = words.partition(" ")
        assert verb in known, words
        if rest and hasattr(known[verb], "commands"):
            assert rest in known[verb].commands, words
    codes = messages.catalogue("doctor", "en")
    assert [code for code in re.findall(r"E-[A-Z]+-\d+", text) if code not in codes] == []


def test_every_page_is_reached_and_speaks_both_languages():
    index = (HARDWARE / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:] if PAGES[0].name == "README.md" else PAGES:
        assert f"({page.name})" in index
    for page in [*PAGES, *SHEETS]:
        assert re.search(r"[぀-ヿ一-鿿]", page.read_text(encoding="utf-8")), page.name


def test_advice_of_the_doctor_names_files_that_are_there():
    for lang in messages.LANGUAGES:
        for entry in messages.catalogue("doctor", lang).values():
            for file in re.findall(r"(?<!/)(?:hardware|systemd)/[\w./-]+\w", entry.get("remedy", "")):
                assert (HARDWARE.parent / file).is_file(), file


def rows(page, columns):
    """Number rows of a page's tables with so many cells."""
    for line in (HARDWARE / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == columns and re.fullmatch(r"[\d.]+", cells[0]):
            yield cells


def test_how_wide_a_beam_is():
    found = list(rows("gauge.md", 5))
    assert len(found) == 6
    for d, *widths in found:
        for theta, cell in zip((8, 12, 20, 30), widths, strict=True):
            assert float(cell) == pytest.approx(2 * float(d) * math.tan(math.radians(theta / 2)), abs=0.006)


def test_what_a_tilt_costs():
    found = list(rows("gauge.md", 2))
    assert len(found) == 5
    for degrees, mm in found:
        assert float(mm) == pytest.approx(5000 * (1 - math.cos(math.radians(float(degrees)))), abs=0.51)


def test_what_a_camera_sees():
    input_width = tomllib.loads((HARDWARE.parent / "models/vehicles.toml").read_text(encoding="utf-8"))["input"][
        "width"
    ]
    found = list(rows("camera.md", 6))
    assert len(found) == 9
    for h, far, tilt, *seen in found:
        assert float(tilt) == pytest.approx(math.degrees(math.atan2(float(h), float(far))), abs=0.51)
        for angle, cell in zip((40, 60, 80), seen, strict=True):
            metres, pixels = re.fullmatch(r"([\d.]+) m, (\d+) px", cell).groups()
            wide = 2 * math.hypot(float(h), float(far)) * math.tan(math.radians(angle / 2))
            assert float(metres) == pytest.approx(wide, abs=0.051)
            assert float(pixels) == pytest.approx(input_width * 1.8 / wide, abs=0.51)


def test_what_a_cable_loses():
    found = list(rows("power.md", 6))
    assert len(found) == 4
    for area, *volts in found:
        for (metres, amperes), cell in zip(((0.5, 3), (1, 3), (0.5, 5), (10, 0.1), (50, 0.1)), volts, strict=True):
            assert float(cell) == pytest.approx(2 * metres * amperes * 0.0175 / float(area), abs=0.006)


@pytest.mark.parametrize("file", sorted(HARDWARE.glob("*/*.rules")), ids=lambda p: p.name)
def test_udev_rules_are_well_formed(file):
    text = file.read_text(encoding="utf-8")
    if "polkit" in text:
        return
    pair = r'[A-Z]+(\{[\w/]+\})?(==|!=|=|\+=|:=)"[^"]*"'
    labels, jumps = set(re.findall(r'LABEL="(\w+)"', text)), set(re.findall(r'GOTO="(\w+)"', text))
    assert jumps <= labels
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines and [line for line in lines if not re.fullmatch(rf"{pair}(, {pair})*", line)] == []
