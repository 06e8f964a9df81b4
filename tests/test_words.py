"""Numbers as people read them."""

import pytest

from edgeagent import words
from edgeagent.reading import Quality, Quantity, Unit

LEVEL = Quantity(1.234, Unit.METRE)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("level", LEVEL, "level 1.234 m"),
        ("level", Quantity(2.0, Unit.METRE, Quality.SUSPECT), "level 2.000 m ?"),
        ("level", Quantity(9.0, Unit.METRE, Quality.FAIL), "level (fail)"),
        ("disk", Quantity(83_097_133_056, Unit.BYTE), "disk 83.1 GB"),
        ("fps", Quantity(10.0, Unit.HERTZ), "fps 10 Hz"),
        ("uptime", Quantity(5653.9, Unit.SECOND), "uptime 1h34m"),
    ],
)
def test_quantity(name, value, text):
    assert words.quantity(name, value) == text


@pytest.mark.parametrize(("seconds", "text"), [(8, "8s"), (192, "3m12s"), (18_120, "5h02m"), (187_200, "2d04h")])
def test_span(seconds, text):
    assert words.span(seconds) == text
