"""Runs tiers of the tests, one after the other: says when each begins, and at the end what ran and what was left out.

    tiers.py [lint] [unit] [process] [booted] [cluster]
    tiers.py --soak

./tests/run.sh prepares what it needs.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from xml.etree import ElementTree as ET

CHECKOUT = Path(__file__).parents[2]
CODE = ("sched_runner", "tests", "deploy")  # and not whatever else lies in this directory
SCRIPTS = (
    ".ci/run",
    "debian/main-scheduler.p*",
    "debian/*.in",
    "deploy/*.sh",
    "deploy/completion/*.bash",
    "tests/*.sh",
    "tests/*/*.sh",
)
TIERS = ("lint", "unit", "process", "booted", "cluster")
ABOUT = {
    "lint": "20 s",
    "unit": "10 s",
    "process": "2 min",
    "booted": "5 min, and 4 more the first time, for images of Debian",
    "cluster": "5 min, and 1 more the first time, for an image of Debian",
    "booted and cluster": "9 min, and 5 more the first time, for images of Debian",
    "soak": "30 min",
}
COMPLETE_IN_CI = ("lint", "booted", "cluster", "booted and cluster")  # nothing of these may be left out there
LEFT_OUT = 3
FOR_ROOT = ("CI", "LC_ALL", "PATH", "PYTHONSAFEPATH", "XDG_CACHE_HOME", "http_proxy", "https_proxy", "no_proxy")
IN_CI = os.environ.get("CI") == "true"


@dataclass
class Result:
    """What became of a tier."""

    tier: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    left_out: Counter = field(default_factory=Counter)  # of reasons; 0 stands for all

    def __str__(self):
        told = [f"{self.passed} passed", f"{self.failed} failed"] if self.passed or self.failed else []
        told += [f"{count or 'all'} left out: {reason}" for reason, count in self.left_out.items()]
        return f"{self.tier:<19} {span(self.seconds):>7}  {'; '.join(told)}"

    @property
    def is_bad(self):
        return bool(self.failed or (IN_CI and self.left_out and self.tier in COMPLETE_IN_CI))


def span(seconds):
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def say(text):
    print(f"\n--- {text}", flush=True)


def call(*command, cwd=CHECKOUT):
    return subprocess.run(command, cwd=cwd, check=False).returncode


def package_alone():
    """A directory with nothing but the package: for mypy a user's json.py beside it would be the library's."""
    directory = Path(sys.prefix, "package-alone")
    directory.mkdir(exist_ok=True)
    link = directory / "sched_runner"
    link.unlink(missing_ok=True)
    link.symlink_to(CHECKOUT / "sched_runner")
    return directory


def render(page):
    """As a terminal shows it; what scdoc or groff has to say is a fault."""
    with page.open("rb") as source:
        made = subprocess.run(["scdoc"], stdin=source, stdout=PIPE, check=False)
    shown = subprocess.run(["groff", "-k", "-man", "-Tutf8", "-ww", "-z"], input=made.stdout, stderr=PIPE, check=False)
    print(shown.stderr.decode(), end="", file=sys.stderr)
    return made.returncode or shown.returncode or int(bool(shown.stderr))


def lint():
    python = (sys.executable, "-P", "-m")
    scripts = sorted(str(path.relative_to(CHECKOUT)) for pattern in SCRIPTS for path in CHECKOUT.glob(pattern))
    statuses = [
        call(*python, "ruff", "check", *CODE),
        call(*python, "ruff", "format", "--check", *CODE),
        call(*python, "mypy", f"--config-file={CHECKOUT / 'pyproject.toml'}", cwd=package_alone()),
        call("shellcheck", "--norc", *scripts),
        *(render(page) for page in sorted(CHECKOUT.glob("docs/man/*.scd"))),
    ]
    left_out = Counter()
    if (rules := call("tests/support/promtool.sh")) == LEFT_OUT:
        left_out["alert rules: no promtool, and no package prometheus that has it"] = 1
    else:
        statuses.append(rules)
    return Result("lint", 0.0, statuses.count(0), len(statuses) - statuses.count(0), left_out)


def run_pytest(tier, *arguments, prefix=()):
    """Runs pytest, and reads what it has written down."""
    result = Result(tier)
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.xml")
        broken = call(*prefix, sys.executable, "-P", "-m", "pytest", f"--junit-xml={report}", *arguments) != 0
        cases = ET.parse(report).iter("testcase") if report.exists() else ()
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                result.failed += 1
            elif (skipped := case.find("skipped")) is not None:
                result.left_out[skipped.get("message")] += 1
            else:
                result.passed += 1
    if broken and not result.failed:
        result.failed = 1  # it ended in a way that no test tells of
    return result


def succeeds(*command, **options):
    return subprocess.run(command, check=False, **options).returncode == 0


def as_root():
    """What stands before a command that root shall run; None where there is no way."""
    if os.getuid() == 0:
        return ["env"]
    if shutil.which("sudo") and (succeeds("sudo", "-n", "true", stderr=subprocess.DEVNULL) or succeeds("sudo", "-v")):
        return ["sudo", "env", *(f"{name}={os.environ[name]}" for name in FOR_ROOT if name in os.environ)]
    return None


def boot(tier, *directories):
    """The tests that boot machines: two processes for each release and one for the cluster, side by side."""
    root = as_root()
    if root is None:
        return Result(tier, left_out=Counter({"it boots machines, and that needs root or sudo": 0}))
    prepared = subprocess.run([*root, "tests/booted/prepare.sh"], cwd=CHECKOUT, stderr=PIPE, text=True, check=False)
    if prepared.returncode != 0:
        return Result(tier, left_out=Counter({(prepared.stderr.strip() or "prepare.sh failed").splitlines()[-1]: 0}))
    processes = 4 * ("tests/booted" in directories) + ("tests/cluster" in directories)
    parallel = ("-n", str(processes), "--dist", "loadgroup")
    # Root leaves nothing in a user's checkout.
    return run_pytest(
        tier, "-rfE", "-p", "no:cacheprovider", *parallel, *directories, prefix=[*root, "PYTHONDONTWRITEBYTECODE=1"]
    )


def perform(tier):
    match tier:
        case "lint":
            return lint()
        case "unit":
            return run_pytest(tier, "-n", "2", "tests/unit")
        case "process":
            return run_pytest(tier, "-m", "not soak", "-n", "10", "--dist", "worksteal", "tests/process")
        case "soak":
            return run_pytest(tier, "-m", "soak", "tests/process")
        case _:
            return boot(tier, *(f"tests/{name}" for name in tier.split(" and ")))


def chosen(words):
    if words == ["--soak"]:
        return ["soak"]
    tiers = [tier for tier in TIERS if not words or tier in words]
    return [*tiers[:-2], "booted and cluster"] if tiers[-2:] == ["booted", "cluster"] else tiers


def main(words):
    interrupts = []
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # The tests of this moment get it too, and tidy up.
        signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
    results = []
    began = time.monotonic()
    for tier in chosen(words):
        say(f"{tier}: begins, takes about {ABOUT[tier]}")
        tier_began = time.monotonic()
        results.append(perform(tier))
        results[-1].seconds = time.monotonic() - tier_began
        if interrupts:
            return 130
    say("what ran")
    print(*results, sep="\n")
    print(f"{'in all':<19} {span(time.monotonic() - began):>7}")
    print(f"{sum(result.passed for result in results)} passed, {sum(result.failed for result in results)} failed")
    return int(any(result.is_bad for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
