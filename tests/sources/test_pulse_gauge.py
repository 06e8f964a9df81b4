"""A tipping bucket: the kernel's structs, and edges through a handle that a kernel would have given."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import time

import pytest

from edgeagent.clock import SystemClock
from edgeagent.errors import SourceUnavailable
from edgeagent.sources import driver, pulse_gauge
from edgeagent.sources.pulse_gauge import EVENT, LINE_REQUEST, PulseGauge, PulseGaugeConfig, line_request, open_line
from tests.fakes import Collector, surroundings
from tests.sources.test_modbus_gauge import explained, until

HEADER = """
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <stddef.h>
int main(void) {
  struct gpio_v2_line_request r;
  memset(&r, 0, sizeof r);
  r.offsets[0] = 17;
  strcpy(r.consumer, "edgeagent");
  r.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING
    | GPIO_V2_LINE_FLAG_BIAS_PULL_UP | GPIO_V2_LINE_FLAG_ACTIVE_LOW;
  r.num_lines = 1;
  r.fd = -1;
  fwrite(&r, sizeof r, 1, stdout);
  fprintf(stderr, "%u %zu", (unsigned)GPIO_V2_GET_LINE_IOCTL, sizeof(struct gpio_v2_line_event));
  return 0;
}
"""


@pytest.mark.tool("gcc")
def test_the_request_is_the_kernels_own(tmp_path):
    (tmp_path / "r.c").write_text(HEADER)
    subprocess.run([shutil.which("gcc"), "-o", tmp_path / "r", tmp_path / "r.c"], check=True)
    done = subprocess.run([tmp_path / "r"], capture_output=True, check=True)
    assert done.stdout == bytes(line_request(17))
    assert done.stderr.decode() == f"{LINE_REQUEST} {EVENT.size}"


@contextlib.asynccontextmanager
async def bucket(tmp_path, monkeypatch):
    """The gauge on a pipe instead of a line; `edges` writes what the kernel would."""
    near, far = os.pipe()
    os.set_blocking(near, False)
    monkeypatch.setattr(pulse_gauge, "open_line", lambda *_: near)
    out = Collector()
    config = PulseGaugeConfig(id="ame", driver="pulse-gauge", line=17, every_s=0.1)
    task = asyncio.create_task(PulseGauge.make([config], surroundings(tmp_path, SystemClock())).run(out))

    def edges(*seconds_and_kinds):
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        os.write(far, b"".join(EVENT.pack(now + int(s * 1e9), kind, 17, 0, 0) for s, kind in seconds_and_kinds))

    try:
        yield out, edges
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        os.close(far)


def totals(out):
    return [r.quantities["rain_total"].value for r in out.readings]


async def test_tips_are_counted_and_bounces_are_not(tmp_path, monkeypatch):
    async with bucket(tmp_path, monkeypatch) as (out, edges):
        await until(lambda: out.readings)
        for _ in range(3):
            edges((0.0, 1), (0.002, 2), (0.004, 1), (0.05, 2))
            await asyncio.sleep(0.1)
        await until(lambda: totals(out)[-1] == 1.5)
    assert totals(out)[0] == 0.0 and totals(out) == sorted(totals(out)) and not out.problems


async def test_a_contact_that_stays_closed_is_missing_not_rain(tmp_path, monkeypatch):
    async with bucket(tmp_path, monkeypatch) as (out, edges):
        edges((-100.0, 1), (0.0, 1))  # closed a hundred seconds ago
        await until(lambda: totals(out) and totals(out)[-1] is None)
    assert out.readings[-1].facts["reason:rain_total"] == "stuck-closed"
    assert {e.code for _, e in out.problems} == {"gauges.contact-fault"}
    explained(out.problems[0][1])


def test_no_such_chip(tmp_path):
    with pytest.raises(SourceUnavailable, match=r"gauges.no-gpio") as caught:
        open_line(str(tmp_path / "gpiochip9"), 17)
    explained(caught.value)
    with pytest.raises(SourceUnavailable, match=r"gauges.no-gpio"):
        open_line("/dev/null", 17)


def test_in_the_table_and_its_mistakes():
    assert driver("pulse-gauge") is PulseGauge
    assert list(PulseGaugeConfig(id="a", driver="pulse-gauge", line=17).problems()) == []
    wrong = PulseGaugeConfig(id="a", driver="pulse-gauge", line=17, profile="maxbotix-hrxl-wr")
    assert [p.code for p in wrong.problems()] == ["gauges.not-pulses"]
