import concurrent.futures
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sched_runner
from sched_runner.schedule.lean_import import import_apscheduler

NOT_NEEDED = {
    "asyncio", "ssl", "email", "zipfile", "importlib.metadata", "concurrent.futures.process", "pkg_resources", "pytz", "tzlocal",
}  # fmt: skip
DEBIANS = "/usr/lib/python3/dist-packages"
USED = ("events", "executors.pool", "schedulers.blocking", "triggers.base")
# What each series takes from other modules.
IMPORTS = {
    "3.9.1": """
from pkg_resources import DistributionNotFound, get_distribution, iter_entry_points
from asyncio import iscoroutinefunction
from concurrent.futures.process import BrokenProcessPool
from pytz import FixedOffset, timezone, utc
from tzlocal import get_localzone
version = get_distribution("APScheduler").version
plugins = list(iter_entry_points("apscheduler.triggers"))
""",
    "3.10.4": """
import importlib.metadata as importlib_metadata
from importlib.metadata import entry_points
from asyncio import iscoroutinefunction
from concurrent.futures.process import BrokenProcessPool
from pytz import FixedOffset, timezone, utc
from tzlocal import get_localzone
version = importlib_metadata.version("APScheduler")
not_found = importlib_metadata.PackageNotFoundError
plugins = list(entry_points(group="apscheduler.triggers"))
del importlib_metadata
""",
    "3.11.3": """
import importlib.metadata as importlib_metadata
import multiprocessing
from importlib.metadata import entry_points
from asyncio import iscoroutinefunction
from concurrent.futures.process import BrokenProcessPool
from tzlocal import get_localzone
version = importlib_metadata.version("APScheduler")
not_found = importlib_metadata.PackageNotFoundError
plugins = list(entry_points(group="apscheduler.triggers"))
del importlib_metadata
""",
}

FRESH = """
import json, sys
sys.path[:0] = sys.argv[1:]
from sched_runner.schedule.lean_import import import_apscheduler
import_apscheduler()
lean = "apscheduler" in sys.modules
from sched_runner.schedule import service
loaded = list(sys.modules)

from datetime import UTC
import apscheduler
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.interval import IntervalTrigger
from apscheduler.util import iscoroutinefunction_partial
runs = []
def job():
    runs.append(1)
    if len(runs) == 2:
        scheduler.shutdown(wait=False)
scheduler = BlockingScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
scheduler.add_job(job, IntervalTrigger(seconds=0.01, timezone=UTC))
scheduler.start()

async def coroutine(): pass
late = [iscoroutinefunction_partial(coroutine), iscoroutinefunction_partial(job), BlockingScheduler().timezone is not None]
import asyncio, importlib.metadata, ssl, urllib.request
real = [hasattr(asyncio, "run"), hasattr(urllib.request, "HTTPSHandler"), hasattr(ssl, "create_default_context")]
json.dump({"lean": lean, "loaded": loaded, "runs": len(runs), "late": late, "real": real, "version": apscheduler.version,
           "installed": importlib.metadata.version("APScheduler")}, sys.stdout)
"""


@pytest.fixture
def modules(monkeypatch):
    """sys.modules without what a fake APScheduler imports, and afterwards as it was."""
    monkeypatch.delattr(importlib, "metadata", raising=False)
    monkeypatch.delattr(concurrent.futures, "process", raising=False)
    before = dict(sys.modules)
    roots = {"apscheduler", "asyncio", "pkg_resources", "pytz", "tzlocal"}
    for name in before:
        if name.split(".")[0] in roots or name in NOT_NEEDED:
            del sys.modules[name]
    yield sys.modules
    sys.modules.clear()
    sys.modules.update(before)


@pytest.fixture
def install(modules, tmp_path, monkeypatch):
    """Makes an APScheduler that has ``source`` as one of its modules, and metadata of the versions."""
    # Not syspath_prepend: from Python 3.12 on, what that calls imports importlib.metadata.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def make(source, *versions):
        for name in USED:
            path = tmp_path / "apscheduler" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.touch()
        (tmp_path / "apscheduler/schedulers/blocking.py").write_text(source)
        for version in versions:
            (tmp_path / f"APScheduler-{version}.dist-info").mkdir()

    return make


@pytest.mark.parametrize("library", ["newest", DEBIANS])
def test_a_fresh_process_imports_only_what_it_needs_and_runs_jobs_and_gets_the_real_modules_later(library):
    if library == DEBIANS and not Path(DEBIANS, "apscheduler").exists():
        pytest.skip("no python3-apscheduler")
    path = [str(Path(sched_runner.__file__).parents[1])] + [DEBIANS] * (library == DEBIANS)
    process = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, *path], check=True, capture_output=True, text=True, timeout=20
    )
    told = json.loads(process.stdout)
    assert told["lean"]
    assert NOT_NEEDED.isdisjoint(told["loaded"])
    assert told["runs"] == 2
    assert told["late"] == [True, False, True]
    assert told["real"] == [True, True, True]
    assert told["installed"].startswith(told["version"])


@pytest.mark.parametrize("version", IMPORTS)
def test_a_known_version_is_imported_without_what_it_does_not_need(modules, install, version):
    install(IMPORTS[version], version)
    before = dict(modules)
    import_apscheduler()
    blocking = modules["apscheduler.schedulers.blocking"]
    assert (blocking.version, blocking.plugins) == (version, [])
    assert NOT_NEEDED.isdisjoint(set(modules) - set(before))
    assert before.items() <= modules.items()


@pytest.mark.parametrize(
    ("source", "versions"),
    [
        ("", ["3.12.0"]),
        ("", ["4.0.0"]),
        ("", []),
        ("", ["3.10.4", "3.11.3"]),  # an upgrade that was broken off
        ("from asyncio import run", ["3.11.4"]),
        ("import asyncio", ["3.11.4"]),
        ("import importlib.metadata as kept", ["3.11.4"]),
        ("from importlib.metadata import entry_points; entry_points()", ["3.11.4"]),
        ("from tzlocal import get_localzone; get_localzone()", ["3.11.4"]),
    ],
    ids=["next series", "next generation", "no version", "two versions", "another name", "a module", "a module by another name", "another use", "a use at once"],
)  # fmt: skip
def test_what_is_unknown_is_left_to_the_plain_import(modules, install, source, versions):
    install(source, *versions)
    before = dict(modules)
    import_apscheduler()
    assert modules == before
    blocking = importlib.import_module("apscheduler.schedulers.blocking")
    assert all(type(value).__name__ != "_StandIn" for value in vars(blocking).values())
    assert all(type(module).__name__ != "_StandIn" for module in modules.values())


def test_a_fault_of_apscheduler_shows_in_the_plain_import(modules, install):
    install("1 / 0", "3.11.3")
    before = dict(modules)
    import_apscheduler()
    assert modules == before
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("apscheduler.schedulers.blocking")


def test_an_apscheduler_that_is_missing_is_found_missing_by_the_plain_import(modules, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    before = dict(modules)
    import_apscheduler()
    assert modules == before


def test_an_interrupted_import_leaves_no_stand_in(modules, install):
    install("raise KeyboardInterrupt", "3.11.3")
    before = dict(modules)
    with pytest.raises(KeyboardInterrupt):
        import_apscheduler()
    assert modules == before


def test_what_was_imported_before_is_used_and_stays(modules, install):
    install("from tzlocal import get_localzone", "3.11.3")
    modules["tzlocal"] = imported = ModuleType("tzlocal")
    imported.get_localzone = object()
    import_apscheduler()
    assert modules["tzlocal"] is imported
    assert modules["apscheduler.schedulers.blocking"].get_localzone is imported.get_localzone


def test_an_apscheduler_that_was_imported_before_stays(modules, install):
    install("", "3.11.3")
    modules["apscheduler"] = ModuleType("apscheduler")
    before = dict(modules)
    import_apscheduler()
    assert modules == before
