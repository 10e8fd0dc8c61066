import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sched_runner

LEAVES = {"words": set(), "config": set(), "state": set(), "notify": set(), "signals": set(), "outcome": {"words"}}


def named(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported and every name with dots in it, ended by a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}." for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}." for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield f"{ast.unparse(node)}."


NAMES = {p.stem: set(named(ast.parse(p.read_text()))) for p in Path(sched_runner.__file__).parent.glob("*.py")}
OURS = {
    file: {name.split(".")[1] for name in names if name.startswith("sched_runner.")} for file, names in NAMES.items()
}


def test_imports_point_one_way():
    assert set(TopologicalSorter(OURS).static_order()) >= set(NAMES)  # a cycle raises


def test_the_leaves_import_nothing_of_ours():
    assert {leaf: OURS[leaf] for leaf in LEAVES} == LEAVES


@pytest.mark.parametrize(
    ("thing", "places"),
    [
        ("apscheduler.", {"scheduler"}),
        ("systemd.", {"journal", "notify"}),
        ("subprocess.", {"run", "alert"}),
        ("dotenv.", {"env_file"}),
        ("os.environ.", {"cli"}),
        ("sys.argv.", set()),
        ("signal.signal.", {"signals"}),
    ],
)
def test_each_thing_is_touched_in_its_place_alone(thing, places):
    assert {file for file, names in NAMES.items() if any(name.startswith(thing) for name in names)} == places
