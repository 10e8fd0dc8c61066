"""Root acts as the user who owns what it handles: as root, it handles nothing that another user can write."""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sched_runner.exit_status import OperatorError


def check_that_root_alone_can_change(path: Path) -> None:
    """Raises OperatorError if another user than root can change the path or a folder above it."""
    for real in (path, Path(os.path.realpath(path))):
        for part in (real, *real.parents):
            with suppress(OSError):  # nobody can have changed a part that is not there
                found = part.lstat()
                is_shared = (
                    found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX and not stat.S_ISLNK(found.st_mode)
                )
                if found.st_uid != 0 or is_shared:
                    raise OperatorError(f"others than root can change {part}: root runs nothing here")


def become(owner: tuple[int, int]) -> dict[str, str]:
    """Root becomes this user and group for good; gives the environment variables that change. Raises OperatorError."""
    uid, gid = owner
    if os.getuid() != 0 or uid == 0:
        return {}
    name, home, gid, gids = _account(uid, gid)
    try:
        os.setgroups(gids)
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise OperatorError(f"cannot become the user {name}: {error.strerror}") from None
    return {"USER": name, "LOGNAME": name, "HOME": home}


def _account(uid: int, gid: int) -> tuple[str, str, int, list[int]]:
    """Name, home, group and all groups of a user."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), "/", gid, [gid]
    return user.pw_name, user.pw_dir, user.pw_gid, os.getgrouplist(user.pw_name, user.pw_gid)


@contextlib.contextmanager
def acting_as(owner: tuple[int, int]) -> Iterator[None]:
    """Root acts as this user and group within the block, and as root again afterwards."""
    uid, gid = owner
    if os.getuid() != 0 or uid == 0:
        yield
        return
    _, _, gid, gids = _account(uid, gid)
    before = os.getgroups(), os.getegid()
    os.setgroups(gids)
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[1])
        os.setgroups(before[0])
