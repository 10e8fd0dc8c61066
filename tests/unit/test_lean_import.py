import sys
from types import ModuleType

import pytest

from sched_runner.schedule.lean_import import no_plugins


def test_apscheduler_finds_no_plugins_and_no_version_and_nothing_stays_of_that(monkeypatch):
    monkeypatch.delitem(sys.modules, "pkg_resources", raising=False)
    with no_plugins():
        from pkg_resources import DistributionNotFound, get_distribution, iter_entry_points

        assert list(iter_entry_points("apscheduler.triggers")) == []
        with pytest.raises(DistributionNotFound):
            get_distribution("APScheduler")
    assert "pkg_resources" not in sys.modules


def test_what_was_imported_before_stays(monkeypatch):
    imported = ModuleType("pkg_resources")
    monkeypatch.setitem(sys.modules, "pkg_resources", imported)
    with no_plugins():
        assert sys.modules["pkg_resources"] is imported
    assert sys.modules["pkg_resources"] is imported
