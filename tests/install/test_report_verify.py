"""What a report proves, and every way to tamper with one."""

import datetime as dt
import json
import random
from pathlib import Path

import msgspec
import pytest

from edgeagent.errors import ConfigError, EdgeAgentError, Refused
from edgeagent.install import report_seal, report_verify
from tests.install.reports import KEYS, Signing, facts, written


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return Signing(tmp_path_factory.mktemp("city"))


@pytest.fixture(scope="module")
def signed(city, tmp_path_factory):
    return written(tmp_path_factory.mktemp("signed"), facts(), city.gateway())


def refused(code, file, **how):
    with pytest.raises(Refused) as told:
        report_verify.verify(file, **how)
    assert told.value.code == f"report.{code}", str(told.value)
    return told.value.facts


@pytest.mark.parametrize("kind", KEYS)
def test_either_file_proves_itself_whatever_the_key(tmp_path, city, kind):
    pem = city.gateway(kind=kind)
    html, document = written(tmp_path, facts(), pem)
    for file in (html, document):
        for how in ({}, {"ca": Path(city.ca)}, {"cert": pem}):
            found = report_verify.verify(file, **how)
            assert found.gateway == "GW-0147" and found.issuer == "ca"
            assert found.vouched is bool(how) and found.page is (file == html)
            assert found.report["installer"] == facts().installer
    assert json.loads(document.read_text())["signature"]["algorithm"] == kind


def test_the_page_carries_the_very_document(signed):
    html, document = signed
    opening, closing = report_seal.SLOT
    inside = html.read_bytes().partition(opening)[2].partition(closing)[0]
    assert inside + b"\n" == document.read_bytes()


@pytest.mark.parametrize("which", [0, 1], ids=["html", "json"])
def test_every_changed_byte_is_refused(tmp_path, signed, which):
    seeded = random.Random(which)
    whole = signed[which].read_bytes()
    file = tmp_path / signed[which].name
    places = {*seeded.sample(range(len(whole)), 400), 0, len(whole) - 1}
    places |= {whole.index(b"1.423"), whole.index(b"2026-11-26"), whole.index(b'"signature"') + 20}
    for place in sorted(places):
        changed = bytearray(whole)
        changed[place] ^= seeded.choice((0x01, 0x20, 0x80))
        file.write_bytes(changed)
        with pytest.raises(Refused) as told:
            report_verify.verify(file)
        assert told.value.code in ("report.changed", "report.not-one", "report.foreign", "report.unsigned"), place


@pytest.mark.parametrize("which", [0, 1], ids=["html", "json"])
@pytest.mark.parametrize("more", [b"x", b"\n", b"<p>", b"{}"])
def test_what_is_added_or_cut_off_is_refused(tmp_path, signed, which, more):
    whole = signed[which].read_bytes()
    file = tmp_path / signed[which].name
    for changed in (whole + more, more + whole, whole[: -len(more) - 1], whole[len(more) :]):
        file.write_bytes(changed)
        with pytest.raises(Refused):
            report_verify.verify(file)


def test_a_document_written_differently_is_refused(tmp_path, signed):
    """A name twice, or blanks: a reader might see something else than the one who proves it."""
    told = json.loads(signed[1].read_bytes())
    file = tmp_path / "r.json"
    file.write_text(json.dumps(told))
    refused("changed", file)
    file.write_bytes(signed[1].read_bytes().replace(b'{"report":{', b'{"report":{"site":"elsewhere",', 1))
    refused("changed", file)


def test_the_page_of_another_report_is_refused(tmp_path, city):
    pem = city.gateway()
    one, _ = written(tmp_path, facts(), pem)
    other, _ = written(tmp_path, facts(site="elsewhere"), pem)
    opening, closing = report_seal.SLOT

    def parts(file):
        before, _, rest = file.read_bytes().partition(opening)
        inside, _, after = rest.partition(closing)
        return before, inside, after

    before, _, after = parts(one)
    one.write_bytes(before + opening + parts(other)[1] + closing + after)
    refused("changed", one)


def test_an_unsigned_one_is_refused(tmp_path):
    for file in written(tmp_path, facts(), None):
        refused("unsigned", file)
    assert "署名なし" in file.with_suffix(".html").read_text()


def test_a_signature_that_was_taken_out_is_refused(tmp_path, signed):
    told = json.loads(signed[1].read_bytes())
    file = tmp_path / "r.json"
    file.write_bytes(report_seal.document(told["report"], None))
    refused("unsigned", file)


def test_the_key_of_another_gateway_is_refused(tmp_path, city):
    for file in written(tmp_path, facts(), city.gateway("GW-0148")):
        assert refused("foreign", file)["signer"] == "GW-0148"


def test_a_key_in_the_same_name_is_not_vouched_for(tmp_path, city):
    """Anybody can make a certificate that says GW-0147."""
    thief = Signing(tmp_path, "thief")
    for file in written(tmp_path, facts(), thief.gateway()):
        assert report_verify.verify(file).vouched is False
        refused("not-vouched", file, ca=Path(city.ca))
        refused("other-cert", file, cert=city.gateway())


def test_a_certificate_put_in_place_of_another_is_refused(tmp_path, city, signed):
    told = json.loads(signed[1].read_bytes())
    by = report_seal.signer(city.gateway())
    told["signature"]["certificate"] = by.certificate
    file = tmp_path / "r.json"
    file.write_bytes(report_seal.document(told["report"], msgspec.convert(told["signature"], report_seal.Seal)))
    refused("changed", file)


def test_a_gateway_is_no_authority(tmp_path, city, signed):
    refused("not-vouched", signed[0], ca=city.gateway("GW-0001"))


@pytest.mark.parametrize(("begins", "ends"), [(-30, -20), (20, 30)])
def test_a_date_outside_the_certificates_life_is_told(tmp_path, city, begins, ends):
    pem = city.gateway(begins=begins, ends=ends)
    said = facts(made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    assert report_verify.verify(written(tmp_path, said, pem)[1]).in_time is False
    assert report_verify.verify(written(tmp_path, said, city.gateway())[1]).in_time is True


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b'{"report":{}}',
        b'{"report":{"gateway":{"id":1}},"signature":null}',
        b"\xff\xfe",
        b"[" * 50_000,
        b"<html></html>",
        b'{"report":{"gateway":{"id":"a"},"made_at":"yesterday"},"signature":{}}',
        b'{"report":' + b"9" * 5000 + b"}",
    ],
)
def test_rubbish_is_no_report(tmp_path, rubbish):
    file = tmp_path / "r.json"
    file.write_bytes(rubbish)
    refused("not-one", file)


def test_files_that_cannot_be_read(tmp_path, signed):
    for how, code in (
        ({"file": tmp_path / "none.html"}, "unreadable"),
        ({"file": tmp_path}, "unreadable"),
        ({"file": signed[0], "ca": tmp_path / "none.pem"}, "no-certificate"),
        ({"file": signed[0], "cert": signed[1]}, "no-certificate"),
    ):
        with pytest.raises(ConfigError) as told:
            report_verify.verify(how.pop("file"), **how)
        assert told.value.code == f"report.{code}"


def test_an_identity_that_cannot_sign(tmp_path, city):
    good = city.gateway().read_bytes()
    other = city.gateway("GW-2").read_bytes()
    end = b"-----END PRIVATE KEY-----\n"
    for name, pem in (
        ("no-key", good.partition(end)[2]),
        ("mixed", good.partition(end)[0] + end + other.partition(end)[2]),
        ("empty", b""),
    ):
        file = tmp_path / name
        file.write_bytes(pem)
        with pytest.raises(EdgeAgentError) as told:
            report_seal.signer(file)
        assert told.value.code == "claim.identity-broken" and told.value.facts["why"], name
    with pytest.raises(Refused) as told:
        report_seal.signer(tmp_path / "none")
    assert told.value.code == "claim.not-claimed"
