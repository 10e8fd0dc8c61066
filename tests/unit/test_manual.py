"""The man pages are the reference: they have what the code has, nothing else, and no other English page has it again."""

import re
from pathlib import Path

import pytest
from command_line import PARSER, SUBCOMMANDS, operands, options

from sched_runner.exit_status import ExitStatus
from sched_runner.schedule import signals
from sched_runner.settings import places, table

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = (DOCS / "man/main-scheduler.8.scd").read_text()
SETTINGS = (DOCS / "man/main-scheduler.default.5.scd").read_text()
ENGLISH = [page for page in (*DOCS.parent.glob("*.md"), *DOCS.glob("*.md")) if not page.name.endswith(".es.md")]


def entries(page, title):
    """What a section explains: the line without indentation, and the indented lines below it."""
    section = re.search(rf"(?ms)^# {title}\n(.*?)(?=^# |\Z)", page)[1]
    return dict(re.findall(r"(?m)^([*_].*)\n((?:\t.*\n)+)", section))


def usage(head):
    """Options with the names of their values, and operands, in the first line of an entry."""
    named = dict(re.findall(r"\*(--[\w-]+)\*(?: _(\w+)_)?", head))
    return named, re.findall(r"_(\w+)_", re.sub(r"\*--[\w-]+\* _\w+_", "", head))


def without_help(named):
    return {name: value for name, value in named.items() if name != "--help"}


def test_the_page_has_every_command_with_its_options_and_operands():
    page = {re.match(r"\*(\w+)\*", head)[1]: usage(head) for head in entries(COMMAND, "COMMANDS")}
    assert page == {name: (without_help(options(parser)), operands(parser)) for name, parser in SUBCOMMANDS.items()}


def test_the_page_explains_every_option_once():
    explained = [item for head in entries(COMMAND, "OPTIONS") for item in usage(head)[0].items()]
    known = {item for parser in (PARSER, *SUBCOMMANDS.values()) for item in options(parser).items()}
    assert sorted(explained) == sorted(known)


def test_the_page_explains_every_exit_status_once():
    statuses = [int(re.match(r"\*(\d+)\*", head)[1]) for head in entries(COMMAND, "EXIT STATUS")]
    assert statuses == list(ExitStatus)


def test_the_page_explains_every_signal_that_the_scheduler_takes():
    named = {name for head in entries(COMMAND, "SIGNALS") for name in re.findall(r"\*(SIG\w+)\*", head)}
    assert named == {signal.name for signal in (*signals.STOP, signals.RELOAD, signals.TRIGGER)}


def test_the_page_of_the_settings_has_every_setting():
    assert tuple(re.match(r"\*(\w+)\*=_", head)[1] for head in entries(SETTINGS, "SETTINGS")) == table.NAMES


DEFAULTS = [
    (re.match(r"\*(\w+)\*", head)[1], re.search(r"Default: ([^.;]+(?:\.[^.; ]+)*)[.;]", " ".join(text.split()))[1])
    for head, text in entries(SETTINGS, "SETTINGS").items()
]
# In words: what follows from another setting, from the unit or from the script.
IN_WORDS = {"none", "as *SCHED_ENV* says", "that of *WorkingDirectory=* in the unit, else the directory of the script"}


@pytest.mark.parametrize(("name", "default"), DEFAULTS)
def test_the_page_of_the_settings_has_the_defaults_of_the_code(name, default):
    place = places.installed()
    literal = re.fullmatch(r"\*(.*)\*", default)
    assert literal or default in IN_WORDS
    assert table.load({name: literal[1] if literal else ""}, place) == table.load({}, place)


@pytest.mark.parametrize("page", ENGLISH, ids=lambda page: page.name)
def test_no_other_english_page_has_a_table_of_settings_options_or_exit_statuses(page):
    rows = re.findall(r"(?m)^\|.*", page.read_text())
    assert [row for row in rows if re.match(r"\| `(SCHED_\w+|--\S+)` \||.*\|.*\| exit status \|$", row)] == []


@pytest.mark.parametrize("page", [COMMAND, SETTINGS], ids=["command", "settings"])
def test_examples_and_text_name_only_settings_that_there_are(page):
    assert set(re.findall(r"SCHED_[A-Z]+(?:_[A-Z]+)*", page)) <= {*table.NAMES, "SCHED_RUN", "SCHED_ATTEMPT"}
