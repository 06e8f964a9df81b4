"""When a radio counts as deaf and which rung is next: told times, no clock."""

import pytest

from edgeagent.errors import SourceUnavailable
from edgeagent.messages import text
from edgeagent.sources.tag_ladder import Ladder, Rung
from edgeagent.sources.usb_reset import reset_usb


def heard_every(ladder, seconds, *, times=50, start=0.0):
    ladder.started(start)
    for number in range(1, times + 1):
        ladder.heard(start + number * seconds)
    return start + times * seconds


@pytest.mark.parametrize(("gap_s", "bound_s"), [(0.1, 45), (5, 45), (20, 100), (100, 500), (400, 600)])
def test_the_bound_is_learnt_from_the_site(gap_s, bound_s):
    ladder = Ladder(floor_s=45)
    last = heard_every(ladder, gap_s)
    assert ladder.bound_s == pytest.approx(bound_s)
    assert not ladder.silent(last + bound_s - 0.1) and ladder.silent(last + bound_s + 0.1)


def test_a_busy_street_forgets_the_gap_of_one_quiet_night():
    ladder = Ladder(floor_s=45)
    last = heard_every(ladder, 0.1)
    ladder.heard(last + 80)
    assert ladder.bound_s == pytest.approx(400)
    heard_every(ladder, 0.1, times=6000, start=last + 80)
    assert ladder.bound_s == 15


def test_the_silence_of_an_old_scanner_is_not_the_new_ones():
    ladder = Ladder(floor_s=45)
    last = heard_every(ladder, 1)
    assert ladder.silent(last + 46)
    ladder.fell_silent(last + 46)
    ladder.started(last + 47)
    assert not ladder.hears and not ladder.silent(last + 51)


def test_at_a_quiet_place_only_scanners_are_changed_and_ever_more_seldom():
    ladder, now = Ladder(floor_s=45), 0.0
    bounds, deaf = [], []
    for _ in range(8):
        ladder.started(now)
        bounds.append(ladder.bound_s)
        now += ladder.bound_s + 1
        assert ladder.silent(now) and ladder.fell_silent(now) is Rung.SCANNER
        deaf.append(ladder.deaf)
    assert bounds == [45, 90, 180, 360, 600, 600, 600, 600]
    assert deaf == [False, False, *[True] * 6]


def test_where_silence_proves_a_fault_the_ladder_is_climbed_once_and_again_after_ten_minutes():
    for ladder in (Ladder(floor_s=45, canary=True), Ladder(floor_s=45)):
        now, rungs = heard_every(ladder, 0.1), []
        for _ in range(6):
            now += ladder.bound_s + 1
            rungs.append(ladder.fell_silent(now))
            assert ladder.deaf
            ladder.started(now)
        assert rungs[:4] == [Rung.SCANNER, Rung.POWER, Rung.USB, Rung.BLUETOOTHD]
        assert rungs[4] is Rung.SCANNER
        assert not ladder.trusted
        ladder.heard(now + 1)
        assert ladder.trusted and ladder.climbed == 0


def test_a_canary_shortens_the_patience():
    ladder = Ladder(floor_s=45, canary=True)
    assert ladder.bound_s == 10
    now = heard_every(ladder, 0.5) + 11
    assert ladder.silent(now)
    ladder.fell_silent(now)
    ladder.started(now)
    assert ladder.bound_s == 5  # something is wrong: the next rung does not wait as long


@pytest.mark.parametrize(("gap_s", "bound_s"), [(0.1, 15), (1.0, 20), (5.0, 45)])
def test_at_a_busy_site_less_silence_is_a_fault(gap_s, bound_s):
    ladder = Ladder(floor_s=45)
    heard_every(ladder, gap_s, times=200)
    assert ladder.bound_s == pytest.approx(bound_s)


def test_failures_climb_with_time_and_not_with_tries():
    ladder = Ladder(floor_s=45, pace_s=2)
    tries = (0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5, 22.5, 300, 602, 605)
    assert [int(ladder.failed(now)) for now in tries] == [1, 1, 1, 2, 1, 3, 4, 1, 1, 1, 2]


def test_a_bluetoothd_that_does_not_answer_is_restarted_at_the_second_call():
    ladder = Ladder(floor_s=45)
    assert ladder.failed(10, hung=True) is Rung.SCANNER
    assert ladder.failed(20.5, hung=True) is Rung.BLUETOOTHD
    assert ladder.failed(31, hung=True) is Rung.SCANNER


def usb_tree(root, *, writable=True):
    device = root / "sys/devices/pci0000:00/usb1/1-2"
    (device / "1-2:1.0/bluetooth/hci1").mkdir(parents=True)
    (device / "busnum").write_text("1\n")
    (device / "devnum").write_text("7\n")
    (root / "sys/class/bluetooth").mkdir(parents=True)
    (root / "sys/class/bluetooth/hci1").symlink_to(device / "1-2:1.0/bluetooth/hci1")
    (device / "1-2:1.0/bluetooth/hci1/device").symlink_to(device / "1-2:1.0")
    node = root / "dev/bus/usb/001/007"
    if writable:
        node.parent.mkdir(parents=True)
        node.touch()
    return node


def test_the_usb_device_behind_an_adapter_is_the_one_that_is_reset(tmp_path):
    node, opened = usb_tree(tmp_path), []

    def order(descriptor):
        import os  # noqa: PLC0415

        opened.append(os.path.samestat(os.fstat(descriptor), node.stat()))

    reset_usb("hci1", "square", root=tmp_path, order=order)
    assert opened == [True]


def test_what_cannot_be_reset_is_said(tmp_path):
    usb_tree(tmp_path, writable=False)
    uart = tmp_path / "sys/devices/platform/serial0/hci0"
    uart.mkdir(parents=True)
    (tmp_path / "sys/class/bluetooth/hci0").symlink_to(uart)
    for adapter, code in (("hci0", "tags.not-usb"), ("hci1", "tags.usb-denied")):
        with pytest.raises(SourceUnavailable) as caught:
            reset_usb(adapter, "square", root=tmp_path)
        assert caught.value.code == code
        assert adapter in text(code, caught.value.facts, "ja").what


def test_a_node_that_is_no_usb_device_refuses(tmp_path):
    usb_tree(tmp_path)
    with pytest.raises(SourceUnavailable) as caught:
        reset_usb("hci1", "square", root=tmp_path)
    assert caught.value.code == "tags.usb-denied" and "1-2" in caught.value.facts["why"]
