"""Rules in a row."""

from edgeagent.rules.chain import Chain
from tests.fakes import FakeClock, water


class Tag:
    """Marks what it sees and says one thing of its own on each tick."""

    def __init__(self, name):
        self.name, self.seen = name, []

    def feed(self, reading):
        self.seen.append(reading.entity)
        yield reading

    def tick(self, now):
        yield water(1.0, source=f"own-of-{self.name}")


class Swallow:
    def feed(self, reading):
        return ()

    def tick(self, now):
        return ()


def test_what_a_rule_says_itself_meets_only_the_rules_behind_it():
    first, second = Tag("first"), Tag("second")
    out = Chain([first, second]).tick(FakeClock().now())
    assert [r.entity for r in out] == ["own-of-first", "own-of-second"]
    assert first.seen == [] and second.seen == ["own-of-first"]


def test_order_and_swallowing():
    first, last = Tag("first"), Tag("last")
    assert Chain([first, Swallow(), last]).feed(water()) == []
    assert first.seen == ["miyagawa"] and last.seen == []
    assert Chain([]).feed(water()) == [water()]
