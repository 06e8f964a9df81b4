"""The maintainer's verbs as a person types them."""

import contextlib
import io
import json
import os
import sys
from unittest import mock

import pytest

from edgeagent.cli import main


def cli(*words, code=0):
    """The CLI within this process; its JSON document where it says one.  `code=None`: however it ends."""
    out = io.StringIO()
    env = {"EDGEAGENT_LANG": "en", "EDGEAGENT_FLEET_PASSPHRASE": "tanuki"}
    argv = ["edgeagent", *map(str, words)]
    with mock.patch.object(sys, "argv", argv), mock.patch.dict(os.environ, env), contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(out))
        ended = stack.enter_context(pytest.raises(SystemExit))
        main()
    text = out.getvalue()
    assert code in (None, ended.value.code or 0), (ended.value.code, text)
    return json.loads(text.splitlines()[-1]) if "--json" in words else text


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet") / "repo"
    assert "add-city" in cli("fleet", "init", "--repo", folder)
    cli("fleet", "add-city", "nagano", "--repo", folder)
    return folder


def test_from_nothing_to_a_rollout(repo, tmp_path):
    at = ("--repo", repo)
    own = tmp_path / "own.toml"
    own.write_text('[gateway]\nid = "GW-0147"\n[[sources]]\nid = "box"\ndriver = "host"\n')
    said = cli("fleet", "add-gateway", "GW-0147", "--city", "nagano", "--ring", "canary", "--local", own, *at, "--json")
    assert f'name = "{said["name"]}"' in cli("fleet", "add-gateway", "GW-0147", "--city", "nagano", "--local", own, *at)
    city = tmp_path / "city.toml"
    city.write_text('[[sources]]\nid = "box"\nevery_s = 60\n')
    cli("fleet", "put", "nagano/city.toml", city, *at)
    assert "+every_s = 60" in cli("fleet", "diff", *at)
    assert cli("fleet", "check", *at, "--json", code=1)["errors"][0]["code"] == "fleet.unsigned"
    assert cli("fleet", "publish", *at, "--json")["changes"][0]["what"] == "new"
    assert cli("fleet", "check", *at, "--json")["ok"]
    cli("fleet", "publish", *at, code=2)

    # a mistake is found before any gateway sees it
    city.write_text('[[sources]]\nid = "box"\nevry_s = 60\n')
    cli("fleet", "put", "@GW-0147", city, *at)
    cli("fleet", "publish", *at)
    found = cli("fleet", "check", *at, "--json", code=1)["errors"]
    assert "evry_s" in found[0]["message"] and "GW-0147" in found[0]["message"]
    cli("fleet", "put", "--remove", "@GW-0147", *at)
    cli("fleet", "publish", *at)

    city.write_text('[[sources]]\nid = "box"\nevery_s = 30\n')
    cli("fleet", "put", "nagano/city.toml", city, *at)
    assert "candidate" in cli("fleet", "publish", *at)
    assert "early 20 %" in cli("fleet", "promote", "nagano", "--ring", "early", "--percent", "20", *at)
    assert "halted" in cli("fleet", "halt", "nagano", *at)
    cli("fleet", "halt", "nagano", *at, code=2)
    assert cli("fleet", "refresh", *at, "--json")["signed"] == ["timestamp"]
    cli("fleet", "rotate", "nagano", *at)
    cli("fleet", "rotate", "timestamp", *at)
    cli("fleet", "resign", "nagano", *at)
    assert cli("fleet", "check", *at, "--json")["ok"]
    assert "GW-0147" in cli("fleet", "gateways", *at)
    next((repo / "public/targets/nagano").iterdir()).write_bytes(b"changed")
    codes = {e["code"] for e in cli("fleet", "check", *at, "--json", code=1)["errors"]}
    assert codes == {"fleet.file-gone"} or "fleet.file-gone" in codes


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_mistakes_are_told_with_a_remedy(repo, tmp_path, lang):
    at = ("--repo", repo, "--lang", lang)
    for words, code in (
        (("check", "--repo", tmp_path / "nowhere", "--lang", lang), 2),
        (("put", "osaka/city.toml", "x", *at), 2),
        (("promote", "nagano", "--ring", "al", *at), 2),
        (("status", "--mqtt", "127.0.0.1:1", "--plain", *at), 4),
    ):
        said = cli("fleet", *words, code=code)
        assert said.startswith("✗") and "→" in said, said


def test_secrets_do_not_get_into_the_drafts(repo, tmp_path):
    file = tmp_path / "x.toml"
    file.write_text('[[uplinks]]\nid = "a"\ntoken = "eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1"\n')
    said = cli("fleet", "put", "nagano/group/x.toml", file, "--repo", repo, "--json", code=5)
    assert said["code"] == "update.secret"
    assert "eyJ" not in json.dumps(said)
