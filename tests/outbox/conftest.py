"""Property tests here run on a machine that does other things too: no deadline per example."""

from hypothesis import settings

settings.register_profile("outbox", deadline=None, max_examples=60, stateful_step_count=25)
settings.load_profile("outbox")
