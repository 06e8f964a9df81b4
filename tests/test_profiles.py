"""Device profiles: the shipped ones mean what they say; a wrong one is explained at once."""

import pytest

from edgeagent import messages, profiles
from edgeagent.reading import Unit
from edgeagent.wire.gauge_lines import read_line
from edgeagent.wire.registers import decode
from edgeagent.wire.rtu import Answer, Request, find


def loaded(name) -> profiles.Profile:
    profile, problems = profiles.load(name)
    assert problems == []
    return profile


def vectors():
    for name in profiles.names():
        for index, vector in enumerate(loaded(name).vectors):
            yield pytest.param(name, vector, id=f"{name}-{index}")


@pytest.mark.parametrize(("name", "vector"), list(vectors()))
def test_vectors(name, vector):
    """Bytes as they come over the wire -> what the profile says they mean."""
    profile = loaded(name)
    if vector.line:
        said = read_line(profile.lines, vector.line.encode())
    else:
        block = next(b for b in profile.blocks if vector.read in [r.name for _, r in b.registers])
        heard = bytes.fromhex(vector.answer)
        answer, _ = find(Request(heard[0], block.function, block.address, block.words), heard)
        assert isinstance(answer, Answer), "the answer does not prove itself"
        said = {r.name: decode(r, answer.registers, offset) for offset, r in block.registers}
    found = {k: v.reason if v.value is None else pytest.approx(v.value, abs=1e-6) for k, v in said.items()}
    assert vector.expect == found


@pytest.mark.parametrize("name", profiles.names())
def test_every_shipped_profile(name):
    profile = loaded(name)
    assert profile.id == name and profile.source and profile.vectors
    assert profile.blocks or profile.lines
    expects = {k for v in profile.vectors for k in v.expect}
    assert expects == set(profile.units), "a vector for every quantity"
    for block in profile.blocks:
        assert block.function in (3, 4)


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
