"""Layers put over each other, with the origin of every value."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.errors import UpdateRefused
from edgeagent.update.layers import ORDER, Layer, Merged, leaves, merge, parse, to_toml

VENDOR = """[outbox]
max_bytes = 1000000000
[[sources]]
id = "box"
driver = "host"
every_s = 60
"""
CITY = """[gateway]
lang = "ja"
[[sources]]
id = "box"
every_s = 300
[[uplinks]]
id = "nagano"
driver = "ngsi-ld"
url = "https://city.example/"
token = "city-token"
"""
GROUP = """[[sources]]
id = "miyagawa"
every_s = 10
plausible = { min_m = -0.1, max_m = 6.0 }
"""
DEVICE = """[[sources]]
id = "miyagawa"
alarm = { levels_m = { caution = 1.5 } }
plausible = { max_m = 5.0 }
calibrate = { zero_point_m = 300.0 }
[update]
ring = "canary"
"""
HERE = """[gateway]
id = "GW-1"
[update]
url = "https://u.example/"
city = "nagano"
[[sources]]
id = "miyagawa"
driver = "modbus-gauge"
port = "/dev/serial/by-id/x"
profile = "geolux-lx80-modbus"
calibrate = { zero_point_m = 331.2 }
"""
TEXTS = dict(zip(ORDER, (VENDOR, CITY, GROUP, DEVICE, HERE), strict=True))


def layers(**texts):
    return [parse(t.encode(), name=n, path=f"{n}.toml", sequence=i) for i, (n, t) in enumerate((TEXTS | texts).items())]


def source(merged: Merged, name):
    return next(s for s in merged.data["sources"] if s["id"] == name)


def test_the_last_that_speaks_wins_and_is_named():
    merged = merge(layers())
    assert source(merged, "box") == {"id": "box", "driver": "host", "every_s": 300}
    gauge = source(merged, "miyagawa")
    assert gauge["port"] == "/dev/serial/by-id/x" and gauge["every_s"] == 10
    assert gauge["plausible"] == {"min_m": -0.1, "max_m": 5.0}
    leaf = merged.leaves["sources.box.every_s"]
    assert (leaf.value, leaf.layer, leaf.path, leaf.sequence) == (300, "city", "city.toml", 1)
    assert leaf.under == (("vendor", 60),)


def test_what_the_installer_measured_is_never_overwritten():
    merged = merge(layers())
    assert source(merged, "miyagawa")["calibrate"] == {"zero_point_m": 331.2}
    assert merged.leaves["sources.miyagawa.calibrate.zero_point_m"].under == (("device", 300.0),)


@pytest.mark.parametrize(
    "unlocked", ["sources.miyagawa.calibrate", "sources.miyagawa.calibrate.zero_point_m", "sources"]
)
def test_unless_it_is_unlocked(unlocked):
    merged = merge(layers(), [unlocked])
    leaf = merged.leaves["sources.miyagawa.calibrate.zero_point_m"]
    assert (leaf.value, leaf.layer) == (300.0, "device") and leaf.under == (("local", 331.2),)
    assert source(merged, "miyagawa")["port"] == "/dev/serial/by-id/x", "what nobody else says stays"


def test_a_whole_word_is_unlocked_not_a_beginning():
    assert merge(layers(), ["sources.miya"]).leaves["sources.miyagawa.calibrate.zero_point_m"].layer == "local"


def test_order_does_not_depend_on_the_order_given():
    assert merge(layers()).data == merge(layers()[::-1]).data


def test_later_groups_over_earlier_ones():
    first = Layer("group", "a", 1, {"outbox": {"x": 1, "y": 1}})
    second = Layer("group", "b", 1, {"outbox": {"x": 2}})
    assert merge([first, second]).data == {"outbox": {"x": 2, "y": 1}}


def test_a_table_replaces_a_value_and_the_other_way_round():
    a, b = Layer("vendor", "v", 1, {"x": {"y": 1}}), Layer("city", "c", 1, {"x": 3})
    assert merge([a, b]).data == {"x": 3}
    assert merge([a, b, Layer("device", "d", 1, {"x": {"z": 2}})]).data == {"x": {"z": 2}}


def test_explain_and_the_nearest_key():
    merged = merge(layers())
    assert [leaf.key for leaf in merged.explain("sources.miyagawa.plausible")] == [
        "sources.miyagawa.plausible.min_m",
        "sources.miyagawa.plausible.max_m",
    ]
    assert len(merged.explain("")) == len(merged.leaves)
    with pytest.raises(UpdateRefused) as caught:
        merged.explain("sources.miyagawa.evry_s")
    assert caught.value.facts["near"] == "sources.miyagawa.every_s"


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        ('[gateway]\nid = "GW-9"', "key-local", "gateway.id"),
        ('[gateway]\nstate_dir = "/"', "key-local", "gateway.state_dir"),
        ('[update]\nurl = "https://evil/"', "key-local", "update.url"),
        ('[update]\nunlocked = ["sources"]', "key-local", "update.unlocked"),
        ('[[uplinks]]\nid = "a"\ntoken = "hG72hdk29Dk2ls8Qp0"', "secret", "uplinks.a.token"),
        ('[[sources]]\nid = "cam"\ncamera = "rtsp://admin:pass@10.0.0.1/"', "secret", "sources.cam.camera"),
        ('[x]\nk = "-----BEGIN EC PRIVATE KEY-----"', "secret", "x.k"),
    ],
)
def test_what_may_not_be_published(text, code, key):
    with pytest.raises(UpdateRefused) as caught:
        parse(text.encode(), name="city", path="nagano/city.toml", sequence=3)
    assert (caught.value.code, caught.value.facts["key"]) == (f"update.{code}", key)


@pytest.mark.parametrize(
    "text", [b"a = ", b"\xff", b"[[sources]]\ndriver = 1", b'sources = "x"', b"a=" + b"[" * 20_000]
)
def test_a_broken_layer_is_named(text):
    with pytest.raises(UpdateRefused) as caught:
        parse(text, name="group", path="nagano/group/river.toml", sequence=3)
    assert caught.value.code == "update.layer-broken" and caught.value.facts["path"] == "nagano/group/river.toml"


def test_written_toml_is_read_back_and_says_whose_it_is():
    merged = merge(layers())
    text = to_toml(merged)
    assert tomllib.loads(text) == merged.data
    assert "every_s = 300  # city" in text
    assert "plausible = { min_m = -0.1, max_m = 5.0 }  # group, device" in text


SCALARS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.booleans(), st.text())
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(st.text(min_size=1), VALUES, max_size=4)


@given(TABLES, st.lists(st.text(min_size=1), unique=True, max_size=3))
def test_any_config_survives_being_written(table, ids):
    sections = [{"id": one, "driver": "host"} for one in ids]
    data = {"gateway": {"id": "G", **{k: v for k, v in table.items() if k != "id"}}} | (
        {"sources": sections} if ids else {}
    )
    assert tomllib.loads(to_toml(Merged(data, {}))) == data


@given(st.permutations(range(4)), st.lists(st.sampled_from(["a", "b.c", "b.d"]), min_size=4, max_size=4))
def test_the_strongest_layer_that_says_something_is_the_value(order, keys):
    made = []
    for n in order:
        top, _, inner = keys[n].partition(".")
        made.append(Layer(ORDER[n], ORDER[n], 1, {top: {inner: n} if inner else n}))
    said = {key: n for n, key in enumerate(keys)}
    assert dict(leaves(merge(made).data)) == said
