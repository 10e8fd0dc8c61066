"""What is for PyPI: the source distribution has the whole project, and the wheel that is built from it the whole package."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
GIT = ("git", "-c", f"safe.directory={CHECKOUT}", "-C", str(CHECKOUT))
SOURCES = CHECKOUT / "sched_runner.egg-info/SOURCES.txt"


def project_files():
    """What git has; in an unpacked source distribution, what its list has."""
    if (CHECKOUT / ".git").exists() and shutil.which("git"):
        return subprocess.run([*GIT, "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    if SOURCES.exists():
        return [name for name in SOURCES.read_text().splitlines() if not is_made_by_setuptools(name)]
    return pytest.skip("neither git nor a source distribution says which files are the project's")


def is_made_by_setuptools(name):
    return name in {"PKG-INFO", "setup.cfg"} or name.startswith("sched_runner.egg-info/")


def build(kind, source, target):
    """The file that setuptools has made, without the network."""
    code = f"import sys, setuptools.build_meta; print(setuptools.build_meta.build_{kind}(sys.argv[1]))"
    ended = subprocess.run(
        [sys.executable, "-c", code, target], cwd=source, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return target / ended.stdout.splitlines()[-1]


def stage(source, target, **env):
    given = os.environ | {"DESTDIR": str(target)} | env
    return subprocess.run([source / "deploy/stage.sh"], env=given, capture_output=True, text=True, check=False)


def test_what_cannot_be_staged_whole_is_an_error_and_no_empty_file(tmp_path):
    (tmp_path / "deploy").mkdir()
    for name in ("stage.sh", "files"):
        shutil.copy(CHECKOUT / "deploy" / name, tmp_path / "deploy")
    ended = stage(tmp_path, tmp_path / "root")
    assert (ended.returncode, "cannot read" in ended.stderr) == (1, True)
    assert not (tmp_path / "root").exists()


def test_a_prefix_may_end_in_a_slash(tmp_path):
    assert stage(CHECKOUT, tmp_path, PREFIX="/usr/").returncode == 0
    unit = (tmp_path / "usr/lib/systemd/system/main-scheduler.service").read_text()
    assert "ExecStart=/usr/bin/main-scheduler run" in unit


def test_the_plain_units_name_the_script_without_an_instance(tmp_path):
    assert stage(CHECKOUT, tmp_path).returncode == 0
    for manager in ("system", "user"):
        units = tmp_path / "usr/local/lib/systemd" / manager
        plain, template = ((units / f"main-scheduler{sign}.service").read_text() for sign in ("", "@"))
        assert ("/main-scheduler/main.py" in plain, "//main.py" in plain) == (True, False)
        assert template.replace("/%i/", "/") == plain


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """Made from a copy: what is built or left over beside the project's files does not count."""
    source = tmp_path_factory.mktemp("source")
    for name in project_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, source / name)
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    directory = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(sdist, directory)
    return next(directory.iterdir())


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    return build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


def test_the_source_distribution_has_the_whole_project_and_nothing_else(unpacked):
    names = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
    assert {name for name in names if not is_made_by_setuptools(name)} == set(project_files())


def test_a_wheel_from_the_source_distribution_has_every_module_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        entry_points = next(file.read(name) for name in names if name.endswith("/entry_points.txt"))
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "sched_runner").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == modules
    assert b"main-scheduler = sched_runner.cli:main" in entry_points


def test_tests_run_from_the_source_distribution(unpacked):
    environ = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/test_bundle.py"]
    ended = subprocess.run(command, cwd=unpacked, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_pypi_would_take_both(sdist, wheel):
    command = [sys.executable, "-m", "twine", "check", "--strict", sdist, wheel]
    environ = {**os.environ, "PYTHONPATH": f"{sys.prefix}/twine"}  # where ./tests/run.sh puts it
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("PASSED") == 2
