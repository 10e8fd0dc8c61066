"""What scripts typically need, each tried: run as a main.py, it prints what does not work, and fails if anything does not."""

import asyncio
import contextlib
import ctypes
import fcntl
import http.client
import http.server
import locale
import mmap
import multiprocessing
import os
import pty
import pwd
import resource
import select
import signal
import smtplib
import socket
import socketserver
import sqlite3
import ssl
import subprocess
import sys
import syslog
import tarfile
import tempfile
import threading
import zoneinfo
from datetime import datetime
from multiprocessing import shared_memory
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
STATE = Path(os.environ["STATE_DIRECTORY"])


def double(number):
    return 2 * number


def temporary_file():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"hello")


def temporary_program():
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory, "program")
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        subprocess.run([program], check=True)


def file_in_the_state_directory():
    (STATE / "file").write_text("hello")
    (STATE / "file").chmod(0o644)
    os.utime(STATE / "file")


def file_in_home():
    Path.home().joinpath(".cache").mkdir(exist_ok=True)


def links():
    for link in (STATE / "soft", STATE / "hard"):
        link.unlink(missing_ok=True)
    (STATE / "target").write_text("")
    (STATE / "soft").symlink_to("target")
    (STATE / "hard").hardlink_to(STATE / "target")


def allocated_and_sent_file():
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        os.posix_fallocate(source.fileno(), 0, 4096)
        assert os.sendfile(target.fileno(), source.fileno(), 0, 4096) == 4096


def locks():
    with open(STATE / "locked", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)


def sqlite_with_a_write_ahead_log():
    with contextlib.closing(sqlite3.connect(STATE / "base.sqlite")) as base:
        assert base.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        base.execute("create table if not exists things (name)")


def archive():
    with tarfile.open(STATE / "archive.tar.gz", "w:gz") as tar:
        tar.add("/etc/os-release")


def mapped_file():
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        mmap.mmap(file.fileno(), 4096).close()


def watched_file():
    descriptor = libc.inotify_init()
    assert descriptor >= 0
    assert libc.inotify_add_watch(descriptor, str(STATE).encode(), 2) >= 0


def shell_pipeline():
    assert subprocess.run("echo hello | tr a-z A-Z", shell=True, capture_output=True, check=True).stdout == b"HELLO\n"


def asyncio_subprocess():
    async def end():
        return await (await asyncio.create_subprocess_exec("true")).wait()

    assert asyncio.run(end()) == 0


def pool_by_fork():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, [1, 2]) == [2, 4]


def pool_by_spawn():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(abs, [-1]) == [1]


def semaphore():
    multiprocessing.Semaphore(1).acquire()


def shared_memory_of_posix():
    memory = shared_memory.SharedMemory(create=True, size=4096)
    memory.buf[0] = 1
    memory.close()
    memory.unlink()


def shared_memory_of_system_v():
    segment = libc.shmget(0, 4096, 0o1600)
    assert segment >= 0
    assert libc.shmctl(segment, 0, None) == 0


def threads():
    done = threading.Event()
    threading.Thread(target=done.set).start()
    assert done.wait(5)


def just_in_time_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def callback_from_c():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda _a, _b: 0)
    libc.qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare)


def memory_file():
    os.close(os.memfd_create("memory"))


def pseudo_terminal():
    pid, terminal = pty.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(terminal)


def timer_and_signal():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.sigtimedwait({signal.SIGALRM}, 1)


def signal_to_a_child():
    child = subprocess.Popen(["sleep", "60"])
    descriptor = os.pidfd_open(child.pid)
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def niceness():
    subprocess.run(["nice", "-n", "5", "ionice", "-c", "3", "true"], check=True)


def affinity():
    os.sched_setaffinity(0, os.sched_getaffinity(0))


def resource_limits():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def names_of_hosts():
    assert socket.getaddrinfo("localhost", 25)


def interfaces():
    assert (1, "lo") in socket.if_nameindex()


def server_and_client():
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments):
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.handle_request).start()
        client = http.client.HTTPConnection(*server.server_address, timeout=10)
        client.request("GET", "/")
        assert client.getresponse().status == 200


def datagrams():
    one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    one.bind(("127.0.0.1", 0))
    other.sendto(b"hello", one.getsockname())
    assert select.select([one], [], [], 5)[0]


def ipv6():
    socket.socket(socket.AF_INET6).close()


def local_socket():
    path = STATE / "socket"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def mail_over_smtp():
    with smtplib.SMTP("127.0.0.1", timeout=10) as smtp:
        assert smtp.noop()[0] == 250


def tls():
    context = ssl.create_default_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(os.urandom(16)) == 16


def syslog_and_journal():
    syslog.syslog("hello")
    subprocess.run(["logger", "hello"], check=True)


def time_zones():
    assert datetime(2026, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Madrid")).utcoffset().seconds == 7200


def locales():
    locale.setlocale(locale.LC_ALL, "C.UTF-8")


def names_of_users():
    assert pwd.getpwuid(os.getuid()).pw_name == os.environ["USER"]


def what_the_machine_is():
    assert "MemTotal" in Path("/proc/meminfo").read_text()
    assert "processor" in Path("/proc/cpuinfo").read_text()
    assert Path("/proc/sys/kernel/random/boot_id").read_text()
    assert Path("/etc/os-release").read_text()
    assert os.getloadavg()
    assert os.statvfs("/").f_blocks


def dropped_rights():
    subprocess.run(["setpriv", "--no-new-privs", "true"], check=True)


def python_of_its_own():
    (STATE / "module.py").write_text("answer = 42\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", STATE / "module.py"], check=True)
    subprocess.run([sys.executable, "-c", "import module"], cwd=STATE, check=True)


NEEDS = [
    value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and name != "double"
]


def main():
    lacking = []
    for need in NEEDS:
        try:
            need()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            lacking.append(f"{need.__name__}: {error!r}")
    print(f"{len(NEEDS)} needs, {len(lacking)} lacking", *lacking, sep="\n")
    return bool(lacking)


if __name__ == "__main__":
    sys.exit(main())
