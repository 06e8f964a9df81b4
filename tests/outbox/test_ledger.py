import itertools

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edgeagent.outbox.ledger import Account, Ids, Ledger, runs_of

TOP = 30
ids = st.sets(st.integers(1, TOP))


class IdsAgainstASet(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.ids, self.plain, self.file, self.floor = Ids(journal=True), set(), {}, 0

    @rule(first=st.integers(1, TOP), length=st.integers(0, 6))
    def add(self, first, length):
        self.ids.add(first, first + length)
        self.plain |= set(range(first, first + length + 1))

    @rule(first=st.integers(1, TOP), length=st.integers(0, 6))
    def discard(self, first, length):
        self.ids.discard(first, first + length)
        self.plain -= set(range(first, first + length + 1))

    @rule()
    def write(self):
        for first, last in self.ids.journal.items():
            if last is None:
                self.file.pop(first, None)
            else:
                self.file[first] = last
        self.ids.journal.clear()
        self.floor = self.ids.floor
        assert sorted(self.file.items()) == self.ids.runs

    @invariant()
    def same(self):
        top = TOP + 8
        assert {i for i in range(1, top) if i in self.ids} == self.plain
        assert len(self.ids) == len(self.plain)
        assert self.ids.last == max(self.plain, default=0)
        covered = [i for a, b in self.ids.within(1, top) for i in range(a, b + 1)]
        open_ = [i for a, b in self.ids.gaps(1, top) for i in range(a, b + 1)]
        assert covered == sorted(self.plain)
        assert open_ == sorted(set(range(1, top + 1)) - self.plain)
        edges = [self.ids.floor, *(e for run in self.ids.runs for e in run)]
        assert all(b - a >= 2 for a, b in zip(edges[::2], edges[1::2], strict=False))  # as few runs as possible


TestIds = IdsAgainstASet.TestCase


@given(ids)
def test_runs_of_is_the_same_ids(some):
    runs = runs_of(some)
    assert [i for a, b in runs for i in range(a, b + 1)] == sorted(some)
    assert all(b + 1 < c for (_, b), (c, _) in itertools.pairwise(runs))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["accept", "reject"]), ids), max_size=12))
def test_a_row_goes_exactly_once_and_only_when_both_have_settled(steps):
    ledger = Ledger("ab")
    ledger.last = TOP
    settled, refused, gone = {"a": set(), "b": set()}, {"a": set(), "b": set()}, []
    for uplink, verb, rows in steps:
        fresh = rows - settled[uplink]
        if verb == "accept":
            runs = ledger.accept(uplink, rows)
        else:
            listed, runs = ledger.reject(uplink, rows)
            assert set(listed) == fresh
            refused[uplink] |= fresh
        settled[uplink] |= rows
        gone += [i for a, b in runs for i in range(a, b + 1)]
    both = settled["a"] & settled["b"]
    assert sorted(gone) == sorted(both)
    assert ledger.waiting == TOP - len(both)
    assert ledger.store.dead == len(both & (refused["a"] | refused["b"]))
    assert ledger.store.acknowledged + ledger.store.dead == len(both)
    for name, account in ledger.accounts.items():
        assert account.dead == len(refused[name])
        assert account.acknowledged == len(settled[name] - refused[name])


def test_one_kept_row_costs_one_run():
    account = Account()
    account.settle(1, 4)
    for row in range(6, 1000):
        account.settle(row, row)
    assert account.settled.floor == 4 and account.settled.runs == [(6, 999)]


def test_a_release_never_reopens_what_was_settled():
    ledger = Ledger("a")
    ledger.last = 5
    ledger.lease("a", [1, 2, 3])
    ledger.accept("a", [2])
    ledger.release("a", [1, 2, 3])
    assert list(ledger.open_ids("a")) == [1, 3, 4, 5]


def test_a_new_uplink_starts_with_what_is_left():
    ledger = Ledger("a")
    ledger.last = 6
    ledger.accept("a", [1, 2, 4])
    ledger.accounts["b"] = ledger.store.copy()
    assert list(ledger.open_ids("b")) == [3, 5, 6]
    assert ledger.accounts["b"].settled.journal == {4: 4}
