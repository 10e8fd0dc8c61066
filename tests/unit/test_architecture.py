import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sched_runner

PACKAGE = Path(sched_runner.__file__).parent

# Each room may use those that stand below it.
ROOMS = ["__main__", "cli", "commands", "schedule", "run", "tell", "output", "record", "settings"]
# All may use these, which have nothing but each other.
FOR_ALL = {"words": set(), "clock": set(), "exit_status": set(), "troubles": {"words"}}


def named(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported and every name with dots in it, ended by a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}." for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield f"{ast.unparse(node)}."


# By the path of the file without its ending: schedule/cadence.
NAMES = {
    str(path.relative_to(PACKAGE).with_suffix("")): set(named(ast.parse(path.read_text())))
    for path in PACKAGE.rglob("*.py")
}


def module_of(name: str) -> str:
    """Our module that an imported name is, or is in."""
    parts = name.split(".")[1:-1]
    return next(("/".join(parts[:end]) for end in (2, 1) if "/".join(parts[:end]) in NAMES), "__init__")


OURS = {
    file: {module_of(name) for name in names if name.startswith("sched_runner.")} - {"__init__"}
    for file, names in NAMES.items()
}


def room(file: str) -> str:
    return file.partition("/")[0]


def below(file: str) -> set[str]:
    """The rooms that a file may use besides its own."""
    if room(file) in FOR_ALL:
        return FOR_ALL[room(file)]
    return {*ROOMS[ROOMS.index(room(file)) + 1 :], *FOR_ALL}


def test_every_file_is_in_a_room_or_is_for_all():
    assert {room(file) for file in NAMES} == {*ROOMS, *FOR_ALL, "__init__"}


@pytest.mark.parametrize("file", sorted(set(OURS) - {"__init__"}))
def test_imports_go_down_only(file):
    assert {used for used in OURS[file] if room(used) not in {room(file), *below(file)}} == set()


def test_imports_point_one_way():
    assert set(TopologicalSorter(OURS).static_order()) >= set(NAMES)  # a cycle raises


def test_no_import_is_relative():
    assert [file for file, names in NAMES.items() if any(name.startswith(".") for name in names)] == []


LEAVES = {"clock", "words", "run/launcher", "schedule/signals", "schedule/lean_import", "record/columns"}


def test_the_leaves_import_nothing_of_ours():
    assert {leaf: OURS[leaf] for leaf in LEAVES} == {leaf: set() for leaf in LEAVES}


@pytest.mark.parametrize(
    ("thing", "places"),
    [
        ("apscheduler.", {"schedule/scheduler"}),
        ("systemd.", {"output/journal"}),
        ("subprocess.", {"commands/units", "run/execution", "settings/calendars", "tell/deliveries"}),
        ("dotenv.", {"settings/environment_file"}),
        ("socket.getaddrinfo.", {"tell/request"}),
        ("os.environ.", {"commands/installation", "commands/run"}),
        ("sys.argv.", {"run/launcher"}),
        ("signal.signal.", {"schedule/signals"}),
        ("os.setuid.", {"commands/owner"}),
        ("os.kill.", {"commands/reload", "commands/trigger", "run/execution", "run/sweeper"}),
        ("fcntl.lockf.", {"record/lock"}),
        ("fcntl.flock.", {"output/rotating_file"}),
        ("time.time.", {"clock", "output/rotating_file", "output/terminal"}),
    ],
)
def test_each_thing_is_touched_in_its_place_alone(thing, places):
    assert {file for file, names in NAMES.items() if any(name.startswith(thing) for name in names)} == places
