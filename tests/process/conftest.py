"""A directory for each test, and an end of all that was started there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Site, Supervisor, can_mount


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.fixture
def open_site() -> Iterator[Site]:
    """One that every user of this machine can enter and write to, for commands that run as another."""
    path = Path(tempfile.mkdtemp(prefix="main-scheduler-"))
    path.chmod(0o777)
    made = Site(path)
    yield made
    made.end()
    shutil.rmtree(path)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "notify")
    yield made
    made.close()


def skip_or_fail(reason: str) -> None:
    """Root in CI can do everything: there a skipped test is a hole that nobody would see."""
    if os.environ.get("CI") and os.getuid() == 0:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def mounts() -> None:
    """The test mounts small file-systems in a namespace of its own."""
    if not can_mount():
        skip_or_fail("this user may not mount in a namespace")


@pytest.fixture
def root() -> None:
    """The test needs a second user."""
    if os.getuid() != 0:
        skip_or_fail("needs root, to have processes of two users")
