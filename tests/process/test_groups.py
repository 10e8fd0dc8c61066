"""What the booted tests rely on: all tests of a machine run in one process of pytest."""

import subprocess
import sys

TESTS = """
import os, pytest

@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("group", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("a", "b")])
def test_tell(group, number):
    open(f"{group} {os.environ['PYTEST_XDIST_WORKER']}", "w")
"""


def test_all_tests_of_a_group_run_in_one_process(tmp_path):
    (tmp_path / "test_groups.py").write_text(TESTS)
    command = ["-P", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup", "test_groups.py"]
    subprocess.run([sys.executable, *command], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert sorted(path.name.split()[0] for path in tmp_path.glob("? gw*")) == ["a", "b"]
