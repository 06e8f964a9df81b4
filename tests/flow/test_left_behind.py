"""What a library leaves in the event loop is told in one line and stops nothing."""

import asyncio
import gc
import logging

import pytest

from edgeagent.daemon.run import left_behind


@pytest.mark.parametrize(("level", "traceback"), [(logging.INFO, False), (logging.DEBUG, True)])
async def test_a_failed_future_that_nobody_waits_for(caplog, level, traceback):
    caplog.set_level(level, "edgeagent")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(left_behind)
    loop.create_future().set_exception(OSError(9, "Bad file descriptor"))
    gc.collect()
    (record,) = [one for one in caplog.records if "never retrieved" in one.getMessage()]
    assert record.levelname == "WARNING" and "Bad file descriptor" in record.getMessage()
    assert bool(record.exc_info) == traceback
