"""One booted machine per release, with the service installed by install.sh, for all tests that don't need a fresh one."""

import pytest
from machine import RELEASES, Machine
from service import Service, install, reset
from tier import find_out_whether_machines_boot, group_by_machine, need_machines


def pytest_configure(config):
    find_out_whether_machines_boot(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    group_by_machine(items)


@pytest.fixture(scope="session", autouse=True)
def host_can_boot():
    need_machines()


@pytest.fixture(scope="session", params=RELEASES)
def release(request, host_can_boot):
    return request.param


@pytest.fixture(scope="session")
def installed(release):
    with Machine(release) as machine:
        install(machine)
        yield machine


@pytest.fixture
def machine(installed):
    """A machine with the service installed, not started, and nothing of earlier tests."""
    reset(installed)
    return installed


@pytest.fixture
def service(machine):
    return Service(machine)


@pytest.fixture
def reports(machine):
    """The instance main-scheduler@reports."""
    return Service(machine, "reports")
