"""Device profiles: the shipped ones mean what they say; a wrong one is explained at once."""

import json
import math
import os
import re
import struct
import tomllib
from pathlib import Path

import jsonschema
import pytest

from edgeagent import messages, profiles
from edgeagent.reading import Unit
from edgeagent.wire.pulses import Contact
from edgeagent.wire.registers import Value, decode
from edgeagent.wire.rtu import Answer, Request, find
from edgeagent.wire.sdi12 import Ask, Done, Session, crc

PROFILES = Path(__file__).resolve().parents[1] / "hardware/profiles"


def loaded(name) -> profiles.Profile:
    profile, problems = profiles.load(name)
    assert problems == []
    return profile


def vectors():
    for name in profiles.names():
        for index, vector in enumerate(loaded(name).vectors):
            yield pytest.param(name, vector, id=f"{name}-{index}")


def measured(measurement, data):
    """The values a session brings home when a sensor answers with these."""
    session = Session("0", measurement)
    session.begin()
    count = sum(len(re.findall(r"[+-]", line)) for line in data)
    step = session.line(b"0000%d" % count)
    for line in data:
        assert isinstance(step, Ask)
        step = session.line(line.encode() + (crc(line.encode()) if measurement.crc else b""))
    assert isinstance(step, Done)
    return step.values


TO_SI = {
    "m": 1, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "mm-rain": 1, "mm/h": 1, "degC": 1, "bar": 1, "dB": 1, "1": 1, "mA": 1
}  # fmt: skip
FORMATS = {"u8": "B", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f"}


def independent(raw, vector):
    """Quantity -> number in SI, where it is neither a sentinel nor outside its range."""
    if vector.tips is not None:
        return {"rain_total": vector.tips * raw["pulses"]["mm_per_tip"]}
    fields = {f["name"]: f for f in raw.get("field", []) + raw.get("read", []) if f.get("published", True)}
    numbers = {}
    if vector.line:
        found = re.fullmatch(raw["line"]["pattern"], vector.line)
        numbers = {name: float(found[name]) for name in fields if found[name] is not None}
    elif vector.frame:
        data = bytes.fromhex(vector.frame)
        numbers = {n: struct.unpack_from(">" + FORMATS[f["type"]], data, f["at"])[0] for n, f in fields.items()}
    elif vector.data:
        values = [float(v) for line in vector.data for v in re.findall(r"[+-][0-9.]+", line)]
        numbers = {name: values[f["at"]] for name, f in fields.items()}
    else:
        data = bytes.fromhex(vector.answer)[3:-2]
        begin = next(r for r in raw["read"] if r["name"] == vector.read)["address"]
        for name, field in fields.items():
            at = 2 * (field["address"] - begin)
            size = struct.calcsize(FORMATS[field.get("type", "u16")])
            if at >= 0 and at + size <= len(data):
                piece = data[at : at + size]
                if field.get("order") == "CDAB":
                    piece = piece[2:] + piece[:2]
                numbers[name] = struct.unpack(">" + FORMATS[field.get("type", "u16")], piece)[0]
    made = {}
    for name, number in numbers.items():
        field = fields[name]
        value = (number * field.get("scale", 1.0) + field.get("offset", 0.0)) * TO_SI[field["unit"]]
        low, high = field.get("sane", (-math.inf, math.inf))
        bad = [n for meanings in field.get("sentinels", {}).values() for n in meanings]
        tiny = field.get("type") == "f32" and 0 < abs(number) < 1e-9  # nobody's level: words in another order
        if number not in bad and math.isfinite(number) and low <= value <= high and not tiny:
            made[name] = value
    return made


def said_of(profile, vector):
    """What the product makes of a vector: quantity -> Value."""
    if vector.line:
        return profile.lines.read(vector.line.encode())
    if vector.frame:
        return profile.lines.read(bytes.fromhex(vector.frame))
    if vector.data:
        return profile.sdi12.read(measured(profile.sdi12, vector.data))
    if vector.tips is not None:
        contact = Contact(profile.pulses)
        for n in range(vector.tips):
            contact.closed(100.0 * n)
            contact.opened(100.0 * n + 0.1)
        return {"rain_total": Value(contact.total_mm)}
    block = next(b for b in profile.blocks if vector.read in [r.name for _, r in b.registers])
    heard = bytes.fromhex(vector.answer)
    answer, _ = find(Request(heard[0], block.function, block.address, block.words), heard)
    assert isinstance(answer, Answer), "the answer does not prove itself"
    return {r.name: decode(r, answer.registers, offset) for offset, r in block.registers}


@pytest.mark.parametrize(("name", "vector"), list(vectors()))
def test_vectors(name, vector):
    """Bytes as they come over the wire -> what the profile says they mean."""
    said = said_of(loaded(name), vector)
    published = loaded(name).units
    found = {
        k: v.reason if v.value is None else pytest.approx(v.value, abs=1e-6) for k, v in said.items() if k in published
    }
    assert vector.expect == found


@pytest.mark.parametrize(("name", "vector"), list(vectors()))
def test_vectors_by_an_independent_decoder(name, vector):
    """The same numbers from the TOML alone, with struct and nothing of ours."""
    raw = tomllib.loads((PROFILES / f"{name}.toml").read_text(encoding="utf-8"))
    assert independent(raw, vector) == {
        k: pytest.approx(v, abs=1e-6) for k, v in vector.expect.items() if not isinstance(v, str)
    }


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile(name):
    profile = loaded(name)
    assert (profile.id == name and profile.source and profile.vectors and profile.rung == "manual") or name.startswith(
        "gen"
    )
    assert [bool(profile.blocks), bool(profile.lines), bool(profile.sdi12), bool(profile.pulses)].count(True) == 1
    expects = {k for v in profile.vectors for k in v.expect}
    assert expects == set(profile.units), "a vector for every quantity"
    for block in profile.blocks:
        assert block.function in (3, 4)
        assert not any(register.destructive for _, register in block.registers)


def test_the_twelve():
    assert set(profiles.names()) - {"generic-ascii-lines"} == {
        "maxbotix-hrxl-wr", "dyp-a0x-uart", "campbell-sr50a-serial", "vega-c2x-modbus", "eh-fmr20-modbus",
        "keller-s30-modbus", "geolux-lx80-modbus", "proscan-oem-80ghz", "lambrecht-raine-modbus", "sdi12-generic",
        "analog-4-20ma-modbus", "tipping-bucket",
    }  # fmt: skip


def test_the_schema_is_the_one_that_is_read_by():
    """After a change of the format: EDGEAGENT_WRITE_EXAMPLES=1 pytest tests/test_profiles.py"""
    file = PROFILES.parent / "profile.schema.json"
    made = json.dumps(profiles.schema(), indent=1) + "\n"
    if os.environ.get("EDGEAGENT_WRITE_EXAMPLES"):
        file.write_text(made)
    assert file.read_text() == made


@pytest.mark.parametrize("file", sorted(PROFILES.glob("*.toml")), ids=lambda f: f.stem)
def test_every_profile_fits_the_schema(file):
    schema = json.loads((PROFILES.parent / "profile.schema.json").read_text())
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(data)
    data["link"]["transport"] = "telepathy"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(data)


def test_a_printed_address_that_may_be_off_by_one_is_marked():
    assert {n for n in profiles.names() if loaded(n).verify_address} == {
        "vega-c2x-modbus",
        "eh-fmr20-modbus",
        "analog-4-20ma-modbus",
    }


def test_the_names_others_build_on():
    assert {"maxbotix-hrxl-wr", "eh-fmr20-modbus", "geolux-lx80-modbus"} <= set(profiles.names())


def test_geolux_reads_the_level_register_and_nothing_beside_it():
    profile = loaded("geolux-lx80-modbus")
    (block,) = profile.blocks
    ((_, level),) = block.registers
    assert (block.function, block.address, block.words) == (3, 0x20, 1)
    assert (level.kind, level.scale.factor, level.scale.sane) == ("u16", 0.001, (0.0, 30.0))
    assert profile.units == {"level": Unit.METRE}


def test_fmr20_reads_the_distance_first():
    profile = loaded("eh-fmr20-modbus")
    assert profile.link.frame == "8E1" and profile.verify_address
    assert [(b.address, b.words) for b in profile.blocks] == [(5105, 2), (5004, 8)]


GOOD = """
[profile]
id = "mine"
kind = "level"
rung = "bench"
source = "my desk"
[link]
transport = "modbus"
[[read]]
name = "level"
address = 3
unit = "ft"
scale = 0.1
valid_if = { read = "status", mask = 1 }
[[read]]
name = "status"
address = 4
unit = "1"
published = false
"""


def written(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return profiles.load(str(file))


def test_a_profile_of_ones_own(tmp_path):
    profile, problems = written(tmp_path, GOOD)
    assert problems == []
    assert profile.units == {"level": Unit.METRE}
    level = profile.blocks[0].registers[0][1]
    assert decode(level, [100, 0]).value == pytest.approx(3.048)
    assert level.valid_if.name == "status"


MISTAKES = [
    ('unit = "ft"', 'unit = "foot"', "read[0].unit", "config.not-a-choice"),
    ("address = 3", "address = 70000", "read[0].address", "config.wrong-type"),
    ("address = 3", "adress = 3", "read[0].adress", "config.misspelt-key"),
    ("scale = 0.1", "sane = [5.0, 1.0]", "read[0].sane", "gauges.bad-sane"),
    ('read = "status"', 'read = "state"', "read[0].valid_if.read", "gauges.no-such-read"),
    ('name = "status"', 'name = "level"', "read[1].name", "gauges.name-twice"),
    ('kind = "level"', 'kind = "depth"', "profile.kind", "config.not-a-choice"),
    ('transport = "modbus"', 'transport = "modbus"\nframe = "9N1"', "link.frame", "gauges.bad-frame"),
    ("scale = 0.1", "fc = 6", "read[0].fc", "config.not-a-choice"),
    ('transport = "modbus"', 'transport = "modbus"\n[line]\npattern = "x"', "line", "gauges.wrong-transport"),
    ('transport = "modbus"', 'transport = "ascii-lines"', "read", "gauges.wrong-transport"),
    ('transport = "modbus"', 'transport = "sdi12"', "sdi12", "config.missing"),
    ('transport = "modbus"', 'transport = "modbus"\nask = "p1"', "link.ask", "gauges.bad-ask"),
    ("scale = 0.1", "usual = [5.0, 1.0]", "read[0].usual", "gauges.bad-sane"),
    ('transport = "modbus"', 'transport = "modbus"\naddress = "!"', "link.address", "config.wrong-type"),
]


@pytest.mark.parametrize(("right", "wrong", "path", "code"), MISTAKES)
def test_a_mistake_is_named_with_its_place(tmp_path, right, wrong, path, code):
    profile, problems = written(tmp_path, GOOD.replace(right, wrong, 1))
    assert profile is None
    assert (f"profile(mine.toml).{path}", code) in [(p.facts["path"], p.code) for p in problems]
    for lang in messages.LANGUAGES:
        for problem in problems:
            text = messages.text(problem.code, problem.facts, lang)
            assert "?" not in text.what and text.remedy


def test_all_mistakes_at_once(tmp_path):
    _, problems = written(tmp_path, GOOD.replace('"ft"', '"foot"').replace("address = 4", 'address = "four"'))
    assert {p.facts["path"] for p in problems} == {
        "profile(mine.toml).read[0].unit",
        "profile(mine.toml).read[1].address",
    }


def test_fahrenheit(tmp_path):
    text = GOOD.replace('unit = "ft"', 'unit = "degF"').replace("scale = 0.1", "scale = 0.1\noffset = 2.0")
    profile, problems = written(tmp_path, text)
    assert problems == [] and profile.units == {"level": Unit.CELSIUS}
    assert decode(profile.blocks[0].registers[0][1], [480, 0]).value == pytest.approx(10.0), "48 + 2 = 50 F"


LINES = """
[profile]
id = "mine"
kind = "rain"
rung = "bench"
source = "my desk"
[link]
transport = "ascii-lines"
[line]
pattern = '(?P<rain>[0-9.]+)'
[[field]]
name = "rain"
unit = "mm-rain"
"""


@pytest.mark.parametrize(
    ("right", "wrong", "path", "code"),
    [
        ("'(?P<rain>[0-9.]+)'", "'(?P<rain>[0-9'", "line.pattern", "gauges.bad-pattern"),
        ("'(?P<rain>[0-9.]+)'", "'(?P<level>[0-9]+)'", "field[0].name", "gauges.no-such-group"),
        ("'(?P<rain>[0-9.]+)'", "'(?P<rain>[0-9]+)'\nchecksum = \"xor8\"", "line.pattern", "gauges.no-checksum-group"),
        ("'(?P<rain>[0-9.]+)'", "'(?P<rain>雨)'", "line.pattern", "gauges.bad-pattern"),
    ],
)
def test_mistakes_in_a_line_format(tmp_path, right, wrong, path, code):
    assert written(tmp_path, LINES)[1] == []
    _, problems = written(tmp_path, LINES.replace(right, wrong, 1))
    assert [(p.facts["path"], p.code) for p in problems] == [(f"profile(mine.toml).{path}", code)]


def test_rain_keeps_its_millimetres(tmp_path):
    assert written(tmp_path, LINES)[0].units == {"rain": Unit.MILLIMETRE}


def test_no_such_profile(tmp_path):
    for name in ("geolux", str(tmp_path / "absent.toml")):
        profile, (problem,) = profiles.load(name)
        assert profile is None and problem.facts["path"] == "profile"
    (problem,) = profiles.load("maxbotics")[1]
    assert problem.facts["choices"].startswith("maxbotix-hrxl-wr, "), "the nearest name first"


def test_a_missing_number_is_called_a_number(tmp_path):
    _, problems = written(tmp_path, GOOD.replace("address = 3", ""))
    assert [p.facts["expected"] for p in problems] == ["int"]


def test_only_destructive_registers_cannot_be_believed(tmp_path):
    text = GOOD.replace("address = 3", "address = 3\ndestructive = true").replace(
        "address = 4", "address = 9\ndestructive = true"
    )
    assert [p.code for p in written(tmp_path, text)[1]] == ["gauges.only-destructive"]


def test_a_destructive_register_is_a_question_of_its_own(tmp_path):
    profile, problems = written(tmp_path, GOOD.replace("address = 3", "address = 3\ndestructive = true"))
    assert problems == [] and [(b.address, b.words) for b in profile.blocks] == [(3, 1), (4, 1)]


FRAME = """
[profile]
id = "mine"
kind = "distance"
rung = "bench"
source = "my desk"
[link]
transport = "binary-frames"
[frame]
head = "ff"
size = 4
checksum = "sum8"
[[field]]
name = "distance"
at = 1
unit = "mm"
"""


@pytest.mark.parametrize(("right", "wrong", "path", "code"), [
    ("at = 1", "at = 2", "field[0].at", "gauges.outside-frame"),
    ("at = 1\n", "", "field[0].at", "gauges.outside-frame"),
    ('head = "ff"', 'head = "FF"', "frame.head", "config.wrong-type"),
])  # fmt: skip
def test_mistakes_in_a_frame(tmp_path, right, wrong, path, code):
    assert written(tmp_path, FRAME)[1] == []
    _, problems = written(tmp_path, FRAME.replace(right, wrong, 1))
    assert [(p.facts["path"], p.code) for p in problems] == [(f"profile(mine.toml).{path}", code)]
