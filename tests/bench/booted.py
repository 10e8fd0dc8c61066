"""As a service, journal included, beside plain systemd: both in one booted machine, whose journal is fresh."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import LeftOutError, Sample, interleaved, table
from sandbox import PROGRAMS, wait_until
from schedulers import PACKAGE

sys.path.append(str(Path(__file__).parents[1] / "booted"))

LENGTH = 100
SETTINGS = "StandardOutput=journal\nLogRateLimitIntervalSec=30s\nLogRateLimitBurst=1000000\n"
PLAIN = f"""
[Service]
Type=oneshot
User=main-scheduler
StateDirectory=plain
ExecStart=/usr/bin/python3 /opt/main-scheduler/main.py /var/lib/plain {{lines}} {LENGTH} 1
"""
# Name: unit and directory.
UNITS = {"main-scheduler": "main-scheduler", "plain systemd": "plain", "plain systemd, rate limit": "limited"}


def journal(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question b."""
    lines = int(200_000 * scale)
    title = f"b. As a service, journal included: {lines} lines of {LENGTH} bytes"
    import machine  # of tests/booted

    if reason := machine.why_not_here():
        return table(title, {name: LeftOutError(reason) for name in UNITS})
    with machine.Machine("bookworm") as booted:
        _prepare(booted, lines)
        samples = interleaved(UNITS, repeat, lambda name: _once(booted, UNITS[name], lines))
    return table(title, samples, {"lines/s": ("plain systemd",)})


def _prepare(booted: Any, lines: int) -> None:
    import service  # of tests/booted

    service.CHECKOUT = PACKAGE
    service.install(booted)
    booted.write("/opt/main-scheduler/main.py", (PROGRAMS / "flood.py").read_text(), 0o755)
    arguments = f"/var/lib/main-scheduler {lines} {LENGTH} 1"
    booted.write("/etc/default/main-scheduler", f'SCHED_ENV=prod\nSCHED_ARGS="{arguments}"\n')
    text = PLAIN.format(lines=lines)
    booted.write("/etc/systemd/system/plain.service", text + SETTINGS)
    booted.write(
        "/etc/systemd/system/limited.service", text.replace("/plain", "/limited").replace("=plain", "=limited")
    )
    booted.run("systemctl daemon-reload")


def _once(booted: Any, unit: str, lines: int) -> Sample:
    directory = f"/var/lib/{unit}"
    if unit == "limited":
        time.sleep(31)  # the limit is one for 30 s
    booted.run(f"systemctl stop {unit}; journalctl --rotate --vacuum-size=1M; rm -f {directory}/ready {directory}/go")
    booted.run(f"systemctl start --no-block {unit}")
    wait_until(lambda: booted.exists(f"{directory}/ready"), 30, f"{unit} starts main.py")
    before = _journald_cpu(booted)
    # Looked for in the machine, ten times a second; the rate limit may have taken the last line.
    found = booted.run(
        f"""touch {directory}/go
        ended=0
        until journalctl -u {unit} -o cat -n 30 | grep -q 'the last line'; do
            case $(systemctl show -P ActiveState {unit}) in inactive | failed) ended=$((ended + 1)) ;; esac
            [ $ended -lt 50 ] || exit
            sleep 0.1
        done
        python3 -c 'import time; print(time.monotonic())'""",
        check=False,
        timeout=600,
    ).stdout
    began = float(booted.read(f"{directory}/stamps").split()[1])
    booted.run("journalctl --sync")
    kept = int(booted.run(f"journalctl -u {unit} -o cat | grep -c xxxxxxxxxx", check=False).stdout)
    cpu = _journald_cpu(booted) - before
    time.sleep(1)
    return {
        "lines/s": lines / (float(found) - began) if found else None,
        "kept %": 100 * kept / lines,
        "journald's CPU s": cpu,
    }


def _journald_cpu(booted: Any) -> float:
    fields = (
        booted.run("cat /proc/$(systemctl show -P MainPID systemd-journald)/stat").stdout.rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / 100
