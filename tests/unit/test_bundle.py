"""What deploy/, the README and docs/ say, and what the code does, are the same."""

import json
import re
from pathlib import Path

import pytest
from command_line import SUBCOMMANDS, options

from sched_runner import __version__
from sched_runner.exit_status import ExitStatus
from sched_runner.record import messages
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State
from sched_runner.settings import environment_file, places, table
from sched_runner.tell import metrics

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
OPERATING = (CHECKOUT / "docs/operating.md").read_text()
OPERATING_ES = (CHECKOUT / "docs/operating.es.md").read_text()
UNIT_PAGE = (CHECKOUT / "docs/unit.md").read_text()
WATCHING = (CHECKOUT / "docs/watching.md").read_text()
PAGES = [*sorted(CHECKOUT.glob("*.md")), *sorted((CHECKOUT / "docs").glob("*.md"))]
UNIT = (CHECKOUT / "deploy/systemd/main-scheduler.service").read_text()
CATALOG = (CHECKOUT / "deploy/systemd/main-scheduler.catalog").read_text()
DEFAULT_FILE = CHECKOUT / "deploy/systemd/main-scheduler.default"
MESSAGE_ID = r"0d3b1c7f[0-9a-f]{24}"


def section(page, title):
    return re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", page)[1]


def settings_table(page):
    """Names and what else stands in their rows."""
    return dict(re.findall(r"(?m)^\| `(SCHED_\w+)` \| (.*) \|$", page))


def defaults(page):
    return {name: row.split(" | ")[0] for name, row in settings_table(page).items()}


def load(values):
    return table.load(values, places.installed())


@pytest.fixture
def uncommented(tmp_path):
    """The shipped settings with every line switched on."""
    file = tmp_path / "default"
    file.write_text(re.sub(r"(?m)^#(?=SCHED_)", "", DEFAULT_FILE.read_text()))
    return file


def test_shipped_settings_are_the_defaults_of_the_code():
    values, faults, warnings = environment_file.read(DEFAULT_FILE)
    assert (faults, warnings) == ([], [])
    assert load(values) == load({})


# Their lines in the shipped settings show what may be written: what the code does without them has no name.
EXAMPLES = {"SCHED_PYTHON"}


def test_shipped_settings_once_uncommented_are_the_defaults_of_the_code(uncommented):
    values, faults, warnings = environment_file.read(uncommented)
    assert (faults, warnings) == ([], [])
    assert load({name: value for name, value in values.items() if name not in EXAMPLES}) == load({})


def test_shipped_settings_name_every_setting(uncommented):
    values, *_ = environment_file.read(uncommented)
    assert tuple(values) == table.NAMES


# In English the man pages say it: see test_manual.py.
def test_the_spanish_page_names_every_setting():
    assert tuple(settings_table(section(OPERATING_ES, "Configuración"))) == table.NAMES


@pytest.mark.parametrize(("name", "default"), defaults(OPERATING_ES).items())
def test_the_spanish_page_has_the_defaults_of_the_code(name, default):
    value = re.fullmatch(r"`(.*)`", default)
    assert value or default in {"según `SCHED_ENV`", "ninguno", "véase abajo"}
    assert load({name: value[1] if value else ""}) == load({})


def test_no_other_page_has_a_table_of_settings():
    assert [page.name for page in PAGES if settings_table(page.read_text())] == ["operating.es.md"]


def test_readme_is_short():
    assert len(README.encode()) <= 10_000


def commands(page):
    return re.findall(r"(?m)^\| `main-scheduler (\w+)` \|", page)


def test_the_spanish_page_names_every_command_and_the_readme_some():
    assert set(commands(OPERATING_ES)) == set(SUBCOMMANDS)
    assert set(commands(README)) < set(SUBCOMMANDS)


def test_the_spanish_page_names_every_option_and_exit_status():
    rows = "\n".join(re.findall(r"(?m)^\| `main-scheduler \w+` \|.*", OPERATING_ES))
    named = {option for parser in SUBCOMMANDS.values() for option in options(parser)}
    assert named - {"--help", "--here"} <= set(re.findall(r"`(--[\w-]+)", rows))
    statuses = set(map(int, re.findall(r"\b\d+\b", " ".join(row.split("|")[-2] for row in rows.splitlines()))))
    assert {*ExitStatus} - {ExitStatus.USAGE} <= statuses


def test_operating_names_every_drop_in_and_no_other():
    files = {path.name for path in (CHECKOUT / "deploy/systemd/drop-ins").glob("*.conf")}
    assert set(re.findall(r"(?m)^\| `([\w-]+\.conf)` \|", OPERATING)) == files


def every_metric():
    run = Run(1, Outcome.SUCCEEDED, 1.0, duration=1.0, cpu=1.0, peak_kib=1)
    state = State(gap=1.0, timeout=1.0, last_success=1.0, last_failure=1.0, next_due=1.0, expected_by=1.0, runs=[run])
    return re.findall(r"(?m)^# TYPE (\w+) ", metrics.render("main-scheduler", state))


def test_watching_names_every_metric_and_no_other():
    assert re.findall(r"(?m)^\| `(main_scheduler_\w+)` \|", WATCHING) == every_metric()


RULES = (CHECKOUT / "deploy/prometheus/main-scheduler.rules.yml").read_text()
DASHBOARD = json.loads((CHECKOUT / "deploy/prometheus/main-scheduler.dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def metrics_in(*texts):
    return {name for text in texts for name in re.findall(r"\bmain_scheduler_\w+", text)}


def test_rules_and_dashboard_ask_only_for_metrics_that_there_are():
    assert metrics_in(RULES) <= set(every_metric())
    assert metrics_in(*QUERIES) <= set(every_metric())


def test_rules_and_dashboard_leave_no_metric_out():
    assert metrics_in(RULES, *QUERIES) == set(every_metric())


def alerts():
    return re.findall(r"(?m)^ *- alert: (\w+)$", RULES)


def test_watching_names_every_alert_rule_and_no_other():
    assert re.findall(r"(?m)^\| `(MainScheduler\w+)` \|", WATCHING) == alerts()


def test_every_alert_rule_is_tried_firing_and_not_firing():
    tests = (CHECKOUT / "tests/support/main-scheduler.rules_test.yml").read_text()
    tried = re.findall(r"alertname: (\w+),?\s+exp_alerts:( \[\])?", tests)
    assert {name for name, none in tried if none} == set(alerts())
    assert {name for name, none in tried if not none} == set(alerts())


def test_every_panel_of_the_dashboard_is_about_the_chosen_schedulers():
    assert QUERIES
    assert [query for query in QUERIES if '{instance=~"$instance",scheduler=~"$scheduler"' not in query] == []
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"source", "instance", "scheduler"}


def test_the_dashboard_is_of_a_version_that_grafana_9_and_later_read():
    assert 30 <= DASHBOARD["schemaVersion"] <= 37
    assert DASHBOARD.get("id") is None  # Grafana gives it one
    assert {panel["type"] for panel in DASHBOARD["panels"]} <= {"stat", "timeseries"}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {"${source}"}


def test_no_two_panels_of_the_dashboard_share_an_id_or_overlap():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert all(0 <= x < 24 for x, _ in taken)


def test_operating_names_every_outcome_and_no_other():
    named = re.findall(r"(?m)^\| ([a-z ]+) \| .* \| (?:yes|no)\b", OPERATING)
    assert named == [outcome.value for outcome in Outcome]


def explained_directives():
    """NAME= or NAME=value at the head of a bullet, each with the value that it states, if any."""
    heads = [bullet.split(": ", 1)[0] for bullet in re.split(r"(?m)^- ", UNIT_PAGE)[1:]]
    named = [part for head in heads for part in re.findall(r"`([^`]+)`", " ".join(head.split()))]
    return [part.partition("=")[::2] for part in named if "=" in part]


def directives():
    return re.findall(r"(?m)^(\w+)=(.*)$", UNIT)


@pytest.mark.parametrize("name", sorted({name for name, _ in directives()}))
def test_the_page_of_the_unit_explains_every_directive(name):
    explained = {explained for explained, _ in explained_directives()}
    if name.endswith("DirectoryMode"):
        name = "…Mode"
    assert name in explained


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in explained_directives() if value])
def test_the_page_of_the_unit_states_values_that_the_unit_has(name, value):
    found = [given for own, given in directives() if own == name or (name == "…Mode" and own.endswith("Mode"))]
    assert any(given == value or (name == "Environment" and given.startswith(value)) for given in found)


@pytest.mark.parametrize("name", sorted({name for name, _ in explained_directives()}))
def test_the_page_of_the_unit_explains_no_directive_that_the_unit_lacks(name):
    assert name == "…Mode" or name in {own for own, _ in directives()}


def test_the_packages_have_the_version_of_the_code():
    assert re.match(r"main-scheduler \((.*)\) ", (CHECKOUT / "debian/changelog").read_text())[1] == __version__
    assert re.search(r"(?m)^Version: +(.*)$", (CHECKOUT / "deploy/main-scheduler.spec").read_text())[1] == __version__


LISTED = [line.split() for line in (CHECKOUT / "deploy/files").read_text().splitlines() if re.match(r"\d", line)]
NOT_INSTALLED = {
    *(
        "apt.sh",
        "build-deb.sh",
        "files",
        "host.sh",
        "install.sh",
        "main-scheduler.spec",
        "needs.sh",
        "purge.sh",
        "run.sh",
        "stage.sh",
        "uninstall.sh",
        "user.sh",
    ),
}


def listed_sources():
    """As stage.sh finds them."""
    folders = [source.rpartition("/")[::2] for _, source, target in LISTED if target.endswith("/")]
    found = {path for folder, pattern in folders for path in (CHECKOUT / folder).rglob(pattern) if path.is_file()}
    return found | {CHECKOUT / source for _, source, target in LISTED if not target.endswith("/")}


def test_the_list_of_files_names_no_file_that_is_not_there():
    assert [path for path in listed_sources() if not path.is_file()] == []


def test_the_list_of_files_names_every_file_that_a_host_needs():
    kept = (path for path in (CHECKOUT / "deploy").rglob("*") if path.is_file() and path.suffix != ".pyc")
    there = {path for path in kept if path.name not in NOT_INSTALLED}
    there |= {path for path in (CHECKOUT / "docs").rglob("*") if path.suffix in (".md", ".scd")}
    there |= set((CHECKOUT / "sched_runner").rglob("*.py"))
    pages = {CHECKOUT / page for page in ("README.md", "README.es.md", "FAULTS.md", "SECURITY.md", "LICENSE")}
    assert sorted((there | pages) - listed_sources()) == []


def test_catalog_explains_every_record_of_the_code():
    sent = {value for value in vars(messages).values() if isinstance(value, str) and re.fullmatch(MESSAGE_ID, value)}
    assert len(sent) == 8
    assert set(re.findall(rf"(?m)^-- ({MESSAGE_ID})$", CATALOG)) == sent


def test_message_id_of_failed_runs_is_told_in_operating_and_catalog():
    assert set(re.findall(MESSAGE_ID, OPERATING)) == {messages.RUN_FAILED}
    assert re.findall(rf"MESSAGE_ID=({MESSAGE_ID})", CATALOG) == [messages.RUN_FAILED]


def test_every_test_that_the_page_of_faults_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (CHECKOUT / "FAULTS.md").read_text()))
    sources = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    assert named
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


TWINS = [page for page in PAGES if page.with_suffix(".es.md").exists()]
CODE_BLOCK = r"(?ms)^```.*?^```$"
in_both_languages = pytest.mark.parametrize("page", TWINS, ids=lambda page: page.name)


# In English they are man pages.
ONLY_IN_SPANISH = r"(?m)^\| (ajuste|orden \| qué hace \| código de salida|señal) \|.*\n(\|.*\n)+"


def both(page):
    english, spanish = page.read_text(), page.with_suffix(".es.md").read_text()
    return english, re.sub(ONLY_IN_SPANISH, "", spanish)


def outline(text):
    """The levels of its headings and the numbers of rows of its tables, in order."""
    lines = re.sub(CODE_BLOCK, "", text).splitlines()
    return [line.split(" ")[0] if line.startswith("#") else "|" for line in lines if line[:1] in ("#", "|")]


def test_readme_operating_and_watching_are_in_both_languages():
    assert {page.name for page in TWINS} >= {"README.md", "operating.md", "watching.md"}
    assert {page.name for page in PAGES if page.name.endswith(".es.md")} == {f"{page.stem}.es.md" for page in TWINS}


@in_both_languages
def test_both_languages_have_the_same_headings_and_tables(page):
    english, spanish = both(page)
    assert outline(spanish) == outline(english)


@in_both_languages
def test_both_languages_show_the_same_commands_and_what_they_print(page):
    english, spanish = both(page)
    assert re.findall(CODE_BLOCK, spanish) == re.findall(CODE_BLOCK, english)


@in_both_languages
def test_both_languages_name_the_same_settings_files_and_directives(page):
    english, spanish = (re.findall(r"`[^`]+`", re.sub(CODE_BLOCK, "", text)) for text in both(page))
    assert sorted(spanish) == sorted(english)


def anchors(text):
    titles = re.findall(r"(?m)^#+ (.*)$", re.sub(CODE_BLOCK, "", text))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page):
    """File and anchor of every link to a page of ours; of one within the page, its own file."""
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    own = [link.partition("#")[::2] for link in found if not re.match(r"\w+:", link)]
    return [((page.parent / file).resolve() if file else page, anchor) for file, anchor in own]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_have_a_target(page):
    assert [str(file) for file, _ in links(page) if not file.is_file()] == []
    assert [anchor for file, anchor in links(page) if anchor and anchor not in anchors(file.read_text())] == []


@pytest.mark.parametrize("page", TWINS, ids=lambda page: page.name)
def test_spanish_pages_link_to_spanish_pages(page):
    english = {file.with_suffix(".es.md") if file in TWINS else file for file, _ in links(page)}
    spanish = {file for file, _ in links(page.with_suffix(".es.md"))}
    # Each has a link to the other language besides.
    own = {page, page.with_suffix(".es.md")}
    assert spanish - own == english - own
