"""Codes of our own are read by somebody else's reader; fixed parts by the standard's own example."""

import cv2
import numpy as np
import pytest

from edgeagent.errors import Refused
from edgeagent.install import qr


def picture(modules, scale=8, quiet=4):
    dark = np.pad(np.array(modules, dtype=bool), quiet)
    return np.kron(np.where(dark, 0, 255).astype(np.uint8), np.ones((scale, scale), np.uint8))


def read(modules):
    return cv2.QRCodeDetector().detectAndDecode(picture(modules))[0]


CODE = "K7QF-93MD-2XHT-9WRB-K3VM-D7QP-04AZ"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("a", 1),
        ("K7QF-93MD-2XHT", 1),
        ("K7QF-93MD-2XHTx", 2),
        (CODE, 3),
        ("https://10.0.0.7/#" + CODE, 4),
        ("https://enrol.city.example:8443/#" + CODE, 5),
        ("https://enrolment.gateways.nagano.example:8443/gate/#" + CODE, 6),
        ("x" * 106, 6),
        ("宮川橋 水位計", 2),
    ],
)
def test_another_reader_reads_it(text, version):
    modules = qr.matrix(text)
    assert len(modules) == 17 + 4 * version
    assert read(modules) == text


def test_every_mask_is_right():
    """The choice takes one of eight; a mistake in another would come out years later."""
    text = b"hello world, this is another"
    bits = [word >> shift & 1 for word in qr._words(text, 3) for shift in range(7, -1, -1)]
    assert {read(qr._masked(3, bits, mask)) for mask in range(8)} == {text.decode()}


def test_it_survives_dirt():
    """Level M corrects a seventh of the words."""
    image = picture(qr.matrix("https://10.0.0.7/#" + CODE))
    image[150:180, 150:190] = 128
    assert cv2.QRCodeDetector().detectAndDecode(image)[0].endswith(CODE)


def test_format_of_the_standard():
    """ISO/IEC 18004:2015 annex C.2: level M, mask 101 is 100000011001110."""
    assert qr._format(0b101) == 0b100000011001110


def test_correction_words_of_the_standard():
    """Annex I, 01234567 as 1-M: these ten words."""
    data = bytes.fromhex("10200c566180ec11ec11ec11ec11ec11")
    assert qr._remainder(data, 10).hex() == "a524d4c1ed36c7872c55"


def test_too_long():
    with pytest.raises(Refused, match="qr-long"):
        qr.matrix("x" * 107)


@pytest.mark.parametrize("colour", [True, False])
def test_what_the_terminal_shows_is_the_code(colour):
    text = qr.terminal(qr.matrix(CODE), colour=colour)
    lines = [line.replace("\x1b[38;5;16;48;5;231m", "").replace("\x1b[0m", "") for line in text.splitlines()]
    assert max(map(len, lines)) == 33
    inked = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    rows = [[inked[sign][half] == int(colour) for sign in line] for line in lines for half in (0, 1)]
    assert read(rows) == CODE
