"""One cluster for all tests, put in order before each; and the table of what was measured."""

from dataclasses import dataclass

import pytest
from cluster import Cluster
from runs import longest_gap, overlap
from tier import find_out_whether_machines_boot, group_by_machine, need_machines

ROW = "a row of the table"


@dataclass
class Row:
    """What a case has shown, in seconds; `failover` is from the fault to the next start, None where there was none."""

    case: str
    interval: float
    failover: float | None
    gap: float
    overlap: float

    def __str__(self):
        failover = "" if self.failover is None else f"{self.failover:.1f} s"
        return f"| {self.case} | {self.interval:g} s | {failover} | {self.gap:.1f} s | {self.overlap:.1f} s |"


def pytest_configure(config):
    find_out_whether_machines_boot(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    group_by_machine(items)


@pytest.fixture(scope="session")
def cluster_for_all():
    need_machines()
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(cluster_for_all, request):
    """In order; what is to be different is the parameter."""
    cluster_for_all.reset(**getattr(request, "param", {}))
    return cluster_for_all


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failure, show what the cluster says of it: a load decides what Pacemaker sees, and when."""
    report = yield
    if report.failed and call.when == "call" and "cluster" in item.funcargs:
        report.sections.append(("the cluster", item.funcargs["cluster"].told()))
    return report


@pytest.fixture
def account(cluster, request):
    """Adds a row to the table; returns the overlap of the runs since the test began."""

    def account(case, fault=None, first=None, interval=2):
        runs = cluster.runs()
        failover = None if first is None else first.start - fault
        row = Row(case, interval, failover, longest_gap(runs), overlap(runs))
        request.node.user_properties.append((ROW, str(row)))
        return row.overlap

    return account


def pytest_terminal_summary(terminalreporter):
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    rows = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == ROW]
    if rows:
        terminalreporter.section("one schedule on three hosts")
        terminalreporter.line("| case | interval | failover | longest time between starts | two at once |")
        terminalreporter.line("| --- | --- | --- | --- | --- |")
        for row in rows:
            terminalreporter.line(row)
