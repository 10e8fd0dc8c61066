"""A directory for each test, and an end of all that was started there."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Site, Supervisor, can_mount, copy_for_everybody, unprivileged_prefix


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def copies() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="main-scheduler-", dir="/tmp") as directory:
        copy_for_everybody(Path(directory))
        yield Path(directory)


@pytest.fixture
def open_site(copies: Path) -> Iterator[Site]:
    """One that every user of this machine can enter and write to, for commands that run as another."""
    with tempfile.TemporaryDirectory(prefix="main-scheduler-", dir="/tmp") as directory:
        made = Site(Path(directory))
        made.path.chmod(0o777)
        made.env["TMPDIR"] = "/tmp"
        made.use_copies(copies)
        if subprocess.run([*unprivileged_prefix(), made.python, "--version"], check=False).returncode:
            skip_or_fail(f"another user may not run {made.python}")
        yield made
        made.end()


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A short one: 107 bytes are all that the path of a socket may have."""
    with tempfile.TemporaryDirectory(prefix="main-scheduler-", dir="/tmp") as directory:
        yield Path(directory, "socket")


@pytest.fixture
def supervisor(socket_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(socket_path)
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
