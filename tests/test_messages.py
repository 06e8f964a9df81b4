"""Both catalogues say the same things, and every code that is raised has a text."""

import ast
import re

import pytest

from edgeagent import messages
from tests.source_tree import trees

PLACEHOLDER = re.compile(r"\{(\w+)[^}]*\}")
CODE = re.compile(r"[a-z]+\.[a-z0-9-]+")
RAISERS = {
    "EdgeAgentError",
    "ConfigError",
    "SourceUnavailable",
    "FrameError",
    "OutboxUnavailable",
    "UplinkUnavailable",
    "UplinkRefused",
    "UpdateRefused",
    "Refused",
    "UpdateUnavailable",
    "Missing",
}


def test_same_areas():
    assert messages.areas("ja") == messages.areas("en") != []


@pytest.mark.parametrize("area", messages.areas("en"))
def test_same_keys_and_placeholders(area):
    ja, en = messages.catalogue(area, "ja"), messages.catalogue(area, "en")
    assert list(ja) == list(en)
    for name in en:
        assert set(ja[name]) <= {"what", "remedy"} >= set(en[name]), name
        for part in ("what", "remedy"):
            assert set(PLACEHOLDER.findall(ja[name].get(part, ""))) == set(
                PLACEHOLDER.findall(en[name].get(part, ""))
            ), name
        assert re.search(r"[぀-ヿ一-鿿]", ja[name]["what"]), f"{area}.{name}: no Japanese"


def test_every_raised_code_has_a_text():
    missing = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISERS):
                continue
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                area, _, name = first.value.partition(".")
                if name not in messages.catalogue(area, "en"):
                    missing.append(f"{path.name}:{node.lineno} {first.value}")
    assert not missing, missing


def test_language_order(monkeypatch):
    for name in ("EDGEAGENT_LANG", "LC_ALL", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert messages.language() == "en"
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert messages.language() == "ja"
    monkeypatch.setenv("EDGEAGENT_LANG", "en")
    assert messages.language() == "en"
    assert messages.language("ja") == "ja"


def test_a_fact_that_was_not_given_never_raises():
    assert "?" in messages.text("config.no-file", {}, "ja").what
    assert messages.text("no.such", {"a": 1}, "en").what == "no.such a=1"
