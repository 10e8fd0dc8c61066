import pytest

from sched_runner.record.state import State
from sched_runner.tell import teller
from sched_runner.tell.alerts import Alert
from sched_runner.tell.memory import Memory
from sched_runner.tell.teller import tell

NOW = 86400.0 * 20_000 + 3600  # an hour into a day
FAILING = Alert("failing", "run 7 failed")
WELL = State(last_success=NOW - 50)


class Way:
    """Keeps what it is told; fails so many times first."""

    def __init__(self, faults=0, then=lambda: None):
        self.got = []
        self.faults = faults
        self.then = then

    def __call__(self, subject, text):
        if self.faults:
            self.faults -= 1
            return "no way"
        self.got.append(subject)
        self.then()
        return ""


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr("sched_runner.clock.wall", lambda: NOW)


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path)


def look(*found):
    """Finds these one after the other, and then the last one for ever."""
    left = [({"runs": trouble}, state) for trouble, state in found]
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_way_that_fails_is_tried_once_at_a_time_and_repeats_no_other(tmp_path):
    mail, command = Way(), Way(faults=2)
    ways = {"mail": mail, "command": command}
    results = [tell(look((FAILING, State())), ways, Memory(tmp_path)) for _ in range(4)]
    assert results == [{"command": "no way"}, {"command": "no way"}, {}, {}]
    assert (mail.got, command.got) == (["run 7 failed"], ["run 7 failed"])


def test_what_happens_during_a_delivery_is_told_too(memory):
    way = Way()
    assert tell(look((FAILING, State()), (None, WELL)), {"mail": way}, memory) == {}
    assert [text.partition(":")[0] for text in way.got] == ["run 7 failed", "all is well again"]


def test_a_script_that_changes_its_state_all_the_time_is_not_followed_for_ever(memory):
    kinds = iter(range(1000))
    way = Way()
    tell(lambda: ({"runs": Alert(str(next(kinds)), "it is bad")}, State()), {"mail": way}, memory)
    assert len(way.got) == 10


def test_deliveries_that_take_long_end_the_looking(memory, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(teller.time, "monotonic", lambda: clock[0])
    kinds = iter(range(1000))
    way = Way(then=lambda: clock.append(clock.pop() + 60))
    tell(lambda: ({"runs": Alert(str(next(kinds)), "it is bad")}, State()), {"mail": way}, memory)
    assert len(way.got) == 2


@pytest.mark.parametrize(("into_the_day", "wanted"), [(3600, []), (300, ["run 7 failed"])])
def test_where_nothing_can_be_remembered_it_is_told_in_one_slot_a_day(tmp_path, monkeypatch, into_the_day, wanted):
    monkeypatch.setattr("sched_runner.clock.wall", lambda: 86400.0 * 20_000 + into_the_day)
    (tmp_path / "file").touch()
    way = Way()
    failed = tell(look((FAILING, State())), {"mail": way}, Memory(tmp_path / "file" / "in"))
    assert way.got == wanted
    assert bool(failed) is not bool(wanted)


def test_nothing_unprintable_is_told(memory):
    got = []
    text = "no\x1b[2J\x9b\u202e\u2028\ud800" + "x" * 10_000
    way = lambda subject, text: got.append((subject, text)) or ""  # noqa: E731
    tell(look((Alert("failing", text + "\n", f"{text}\n{text}"), State())), {"mail": way}, memory)
    ((subject, body),) = got
    assert subject.isprintable()
    assert len(subject) <= 500
    assert [line.isprintable() and len(line) <= 500 for line in body.split("\n")] == [True, True]
