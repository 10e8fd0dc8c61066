"""What deploy/ and the README say, and what the code does, are the same."""

import re
from pathlib import Path

import pytest

from sched_runner import config, env_file, records

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
UNIT = (CHECKOUT / "deploy/systemd/main-scheduler.service").read_text()
CATALOG = (CHECKOUT / "deploy/systemd/main-scheduler.catalog").read_text()
DEFAULT_FILE = CHECKOUT / "deploy/systemd/main-scheduler.default"
MESSAGE_ID = r"0d3b1c7f[0-9a-f]{24}"


def section(title):
    return re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", README)[1]


def settings_table():
    """Names and defaults in the README."""
    return dict(re.findall(r"(?m)^\| `(SCHED_\w+)` \| (.*?) \|", section("Settings")))


def load(values):
    return config.load(values, config.installed(), "/usr/bin/python3")


@pytest.fixture
def uncommented(tmp_path):
    """The shipped settings with every line switched on."""
    file = tmp_path / "default"
    file.write_text(re.sub(r"(?m)^#(?=SCHED_)", "", DEFAULT_FILE.read_text()))
    return file


def test_shipped_settings_are_the_defaults_of_the_code():
    values, faults = env_file.read(DEFAULT_FILE)
    assert faults == []
    assert load(values) == load({})


def test_shipped_settings_once_uncommented_are_the_defaults_of_the_code(uncommented):
    values, faults = env_file.read(uncommented)
    assert faults == []
    assert load(values) == load({})


def test_shipped_settings_name_every_setting(uncommented):
    values, _ = env_file.read(uncommented)
    assert tuple(values) == config.NAMES


def test_readme_names_every_setting():
    assert tuple(settings_table()) == config.NAMES


@pytest.mark.parametrize(("name", "default"), settings_table().items())
def test_readme_has_the_defaults_of_the_code(name, default):
    value = re.fullmatch(r"`(.*)`", default)
    assert value or default in {"from `SCHED_ENV`", "none", "the runner's own", "see below"}
    assert load({name: value[1] if value else ""}) == load({})


def explained_directives():
    """NAME= or NAME=value at the head of a bullet, each with the value that it states, if any."""
    heads = [bullet.split(": ", 1)[0] for bullet in re.split(r"(?m)^- ", section("Explanation of directives"))[1:]]
    named = [part for head in heads for part in re.findall(r"`([^`]+)`", " ".join(head.split()))]
    return [part.partition("=")[::2] for part in named if "=" in part]


def directives():
    return re.findall(r"(?m)^(\w+)=(.*)$", UNIT)


@pytest.mark.parametrize("name", sorted({name for name, _ in directives()}))
def test_readme_explains_every_directive(name):
    explained = {explained for explained, _ in explained_directives()}
    if name.endswith("DirectoryMode"):
        name = "…Mode"
    assert name in explained


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in explained_directives() if value])
def test_readme_states_values_that_the_unit_has(name, value):
    found = [given for own, given in directives() if own == name or (name == "…Mode" and own.endswith("Mode"))]
    assert any(given == value or (name == "Environment" and given.startswith(value)) for given in found)


@pytest.mark.parametrize("name", sorted({name for name, _ in explained_directives()}))
def test_readme_explains_no_directive_that_the_unit_lacks(name):
    assert name == "…Mode" or name in {own for own, _ in directives()}


def test_catalog_explains_every_record_of_the_code():
    sent = {value for value in vars(records).values() if isinstance(value, str) and re.fullmatch(MESSAGE_ID, value)}
    assert len(sent) == 8
    assert set(re.findall(rf"(?m)^-- ({MESSAGE_ID})$", CATALOG)) == sent


def test_message_id_of_failed_runs_is_told_in_readme_and_catalog():
    assert set(re.findall(MESSAGE_ID, README)) == {records.RUN_FAILED}
    assert re.findall(rf"MESSAGE_ID=({MESSAGE_ID})", CATALOG) == [records.RUN_FAILED]


def test_every_test_that_the_page_of_faults_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "FAULTS.md").read_text()))
    sources = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    assert named
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


SPANISH = (CHECKOUT / "README.es.md").read_text()
CODE_BLOCK = r"(?ms)^```.*?^```$"


def outline(text):
    """The levels of its headings and the numbers of rows of its tables, in order."""
    lines = re.sub(CODE_BLOCK, "", text).splitlines()
    return [line.split(" ")[0] if line.startswith("#") else "|" for line in lines if line[:1] in ("#", "|")]


def test_both_languages_have_the_same_headings_and_tables():
    assert outline(SPANISH) == outline(README)


def test_both_languages_show_the_same_commands_and_what_they_print():
    assert re.findall(CODE_BLOCK, SPANISH) == re.findall(CODE_BLOCK, README)


def test_both_languages_name_the_same_settings_files_and_directives():
    english, spanish = (re.findall(r"`[^`]+`", re.sub(CODE_BLOCK, "", text)) for text in (README, SPANISH))
    assert sorted(spanish) == sorted(english)


@pytest.mark.parametrize("text", [README, SPANISH], ids=["en", "es"])
def test_links_within_a_readme_have_a_heading(text):
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"(?m)^#+ (.*)$", text)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
