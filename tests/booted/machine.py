"""A booted machine: a fresh Debian with a real systemd as PID 1, in a container.

The root file system comes from a cached image and every change to it lives in memory, so each machine is as new.
"""

import hashlib
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

BARE = ("systemd", "systemd-sysv", "dbus")
SERVICE = (*BARE, "logrotate", "postfix", "python3-venv", "python3-apscheduler", "python3-systemd", "python3-dotenv")
BUILD = (
    *(*BARE, "debhelper", "dh-python", "lintian", "python3-apscheduler", "python3-dotenv", "python3-hypothesis"),
    *("python3-prometheus-client", "python3-pytest", "python3-systemd", "rpm", "scdoc"),
)
# The distribution's timers, which would change files at a time of day (kernel-command-line(7), systemd.mask=).
MASKED = [
    f"systemd.mask={name}.timer"
    for name in ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "logrotate", "man-db", "e2scrub_all", "fstrim")
]
RELEASES = ("bookworm", "trixie")

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "main-scheduler-tests"
NOT_COPIED = ("./.*", "./scheduler", "__pycache__")  # what git and the tests leave there
BOOT_TIMEOUT = 60
RTMIN_PLUS_4 = 38  # systemd's signal for "power off"

serial_numbers = itertools.count(1)


class BootError(RuntimeError):
    """Says in one line why a machine has not come up."""


def why_not_here():
    """The reason why this host can't boot a machine, or None: one is really booted."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    missing = [tool for tool in ("systemd-nspawn", "mmdebstrap", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (tests/booted/prepare.sh)"
    if own_cgroup() is None:
        return "no cgroup2 hierarchy that can be written to"
    try:
        with Machine("bookworm", BARE):
            return None
    except (BootError, OSError, subprocess.SubprocessError) as fault:
        return str(fault)


def own_cgroup():
    """The cgroup2 directory that this process is in, where it may make others."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    names = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if not mounts or not names:
        return None
    directory = Path(mounts[0] + names[0])
    return directory if os.access(directory, os.W_OK) else None


def image(release, packages):
    """The directory of a cached image, made first where there is none."""
    recipe = hashlib.sha256(" ".join((release, *packages)).encode()).hexdigest()[:12]
    final = CACHE / f"{release}-{recipe}"
    if final.exists():
        return final
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{release}-new-") as work:
        new = Path(work, "root")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", release, str(new)]
        made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise BootError(f"mmdebstrap cannot make an image of {release}: {last_line(made.stderr)}")
        try:
            new.rename(final)
        except OSError:
            if not final.exists():  # else another test run was faster
                raise
    return final


def last_line(text):
    return (text.strip() or "no word").splitlines()[-1]


def wait_until(predicate, timeout, what):
    """Returns the predicate's first true value."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s: {what}")
        time.sleep(0.1)
    return value


class CommandError(AssertionError):
    """A command in the machine failed; says everything that it printed."""


class Machine:
    """`with Machine("trixie") as machine: machine.run("systemctl status")`.

    It has no network but its own loopback unless `network` is true, when it has the host's, or names a network
    namespace. It can be rebooted where `keep` is true. `binds` are directories of the host's, and where they are seen.
    """

    def __init__(self, release, packages=SERVICE, network=False, keep=False, binds=()):
        self.release = release
        self.packages = packages
        self.network = network
        self.keep = keep
        self.binds = dict(binds)
        self.layers = None
        self.name = f"main-scheduler-test-{os.getpid()}-{next(serial_numbers)}"
        self.cgroup = None
        self.nspawn = None
        self.init = None  # the host's pid of the machine's PID 1

    def __enter__(self):
        self.root = image(self.release, self.packages)
        if self.keep:
            self._mount_layers()
        self._boot()
        return self

    def _boot(self):
        self.console = tempfile.TemporaryFile("w+")  # noqa: SIM115 - is open for as long as the machine is up
        self.nspawn = subprocess.Popen(
            self._command(),
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(self._is_booted, BOOT_TIMEOUT, f"{self.release} boots")
        except BaseException as fault:
            self.console.seek(0)
            said = self.console.read()
            self.stop()
            if not isinstance(fault, Exception):
                raise
            error = BootError(f"no machine boots here: {fault}, saying: {last_line(said)}")
            error.add_note(said)
            raise error from fault

    def __exit__(self, *exception):
        self.stop()

    def _command(self):
        command = ["systemd-nspawn", f"--directory={self.root}", f"--machine={self.name}", "--register=no", "--boot"]
        command.append("--link-journal=no")  # it would need a machine id of the host's
        if not self.keep:
            command += ["--read-only", "--volatile=overlay"]
        command += [f"--bind={outside}:{inside}" for outside, inside in self.binds.items()]
        if isinstance(self.network, str):
            command.append(f"--network-namespace-path={self.network}")
        elif not self.network:
            command.append("--private-network")
        if Path("/run/systemd/system").exists():
            return [*command, *MASKED]  # the host's systemd makes a scope
        # Two machines in one cgroup would kill each other's services.
        self.cgroup = own_cgroup() / self.name
        self.cgroup.mkdir()
        enter = f'echo $$ > {shlex.quote(str(self.cgroup))}/cgroup.procs; exec "$@"'
        return ["sh", "-c", enter, "sh", *command, "--keep-unit", *MASKED]

    def _mount_layers(self):
        """A layer in memory for what changes, like nspawn's own but that a reboot keeps it."""
        self.layers = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.layers], check=True)
        upper, work, merged = (self.layers / name for name in ("upper", "work", "merged"))
        for directory in (upper, work, merged):
            directory.mkdir()
        options = f"lowerdir={self.root},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
        self.root = merged

    def _unmount_layers(self):
        subprocess.run(["umount", self.layers / "merged"], check=False)
        subprocess.run(["umount", self.layers], check=True)
        self.layers.rmdir()

    def reboot(self):
        """Power off and on again: an nspawn with --keep-unit does not reboot by itself."""
        self._power_off()
        self._boot()

    def cut_power(self):
        """Nothing in the machine gets to say a word; what it had written stays where `keep` is true."""
        os.kill(self.init, signal.SIGKILL)
        self.nspawn.wait(30)
        self._power_off()

    def power_on(self):
        self._boot()

    def _is_booted(self):
        if self.nspawn.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended with status {self.nspawn.returncode}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self.init = int(children[-1])
        state = self.run("systemctl is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def stop(self):
        self._power_off()
        if self.layers is not None:
            self._unmount_layers()

    def _power_off(self):
        if self.init is not None and self.nspawn.poll() is None:
            os.kill(self.init, RTMIN_PLUS_4)
        try:
            self.nspawn.wait(30 if self.init else 0)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        self.init = None
        self.console.close()
        if self.cgroup is not None:
            wait_until(self._cgroups_are_removed, 10, f"the cgroup of {self.name} is empty")

    def _cgroups_are_removed(self):
        # nspawn makes one of the same name in the old hierarchy where there is one.
        for top in (self.cgroup, Path("/sys/fs/cgroup/systemd", self.name)):
            for directory, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(directory)
                except OSError:
                    return False
        return True

    def run(self, command, *, check=True, user=None, timeout=60, input=None):  # noqa: A002 - as subprocess.run names it
        """Runs a list of arguments, or a string by the shell, and gives what subprocess.run gives, as text."""
        arguments = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        if user is not None:
            arguments = ["runuser", "-u", user, "--", *arguments]
        result = subprocess.run(
            [
                "nsenter",
                f"--target={self.init}",
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
                "--cgroup",
                "--root",
                "--wd",
                "env",
                "-i",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root",
                "LANG=C.UTF-8",
                *arguments,
            ],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=timeout,
            check=False,
        )
        if check and result.returncode != 0:
            raise CommandError(f"{command} ended with {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def read(self, path):
        return self.run(["cat", path]).stdout

    def write(self, path, text, mode=None):
        self.run(f'mkdir -p "$(dirname {shlex.quote(path)})" && cat > {shlex.quote(path)}', input=text)
        if mode is not None:
            self.run(["chmod", format(mode, "o"), path])

    def exists(self, path):
        return self.run(["test", "-e", path], check=False).returncode == 0

    def copy(self, source, target):
        """Copies a directory of the host's into the machine."""
        pack = subprocess.Popen(
            ["tar", "-C", str(source), *(f"--exclude={name}" for name in NOT_COPIED), "-c", "."], stdout=subprocess.PIPE
        )
        with pack:
            unpack = f"mkdir -p {shlex.quote(target)} && tar -C {shlex.quote(target)} --no-same-owner -x"
            subprocess.run(
                ["nsenter", f"--target={self.init}", "--mount", "--root", "--wd", "sh", "-c", unpack],
                stdin=pack.stdout,
                check=True,
            )
        assert pack.returncode == 0

    def property(self, unit, name):
        return self.run(["systemctl", "show", "--property", name, "--value", unit]).stdout.rstrip("\n")

    def forget_journal(self):
        """From here on, journal() gives only what is new (--after-cursor= of 252 skips the first that matches)."""
        self.run("journalctl --sync && journalctl --quiet --rotate --vacuum-time=1us")

    def journal(self, *arguments, output="cat"):
        """What journalctl prints, since forget_journal()."""
        self.run("journalctl --sync")
        return self.run(["journalctl", f"--output={output}", "--no-pager", "--quiet", *arguments]).stdout

    wait_until = staticmethod(wait_until)
