"""A reed contact: tips, bounces, and faults that would be rain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.wire.pulses import Bucket, Contact

HALF = Bucket(mm_per_tip=0.5)


def tip(contact, at, closed_s=0.1):
    contact.closed(at)
    contact.opened(at + closed_s)


def test_seven_tips():
    contact = Contact(HALF)
    for n in range(7):
        tip(contact, 60.0 * n)
    assert (contact.tips, contact.total_mm, contact.bounces) == (7, 3.5, 0)


@given(st.lists(st.floats(0.0005, 0.008), min_size=2, max_size=5))
def test_a_bouncing_contact_is_one_tip(pauses):
    contact, at = Contact(HALF), 100.0
    for pause in pauses:
        contact.closed(at)
        contact.opened(at + pause / 2)
        at += pause
    assert contact.tips == 1 and contact.bounces == len(pauses) - 1


def test_edges_that_repeat_themselves_count_once():
    contact = Contact(HALF)
    contact.opened(0.0)
    contact.closed(1.0)
    contact.closed(1.1)
    contact.opened(1.2)
    contact.opened(1.3)
    assert contact.tips == 1


def test_stuck_closed():
    contact = Contact(HALF)
    contact.closed(0.0)
    assert contact.fault(59.0) == "" and contact.fault(60.0) == "stuck-closed"
    contact.opened(61.0)
    assert contact.fault(62.0) == ""


@pytest.mark.parametrize(("pause_s", "fault"), [(7.0, ""), (5.0, "too-much")])
def test_more_rain_than_falls_anywhere(pause_s, fault):
    """0.5 mm every 6 s is 300 mm/h."""
    contact = Contact(HALF)
    for n in range(12):
        tip(contact, pause_s * n)
    assert contact.fault(pause_s * 11 + 1) == fault
    assert contact.fault(pause_s * 11 + 100) == "", "and it ends with it"
