#!/bin/sh
# Installs or upgrades main-scheduler.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/install.sh [--now]

Installs main-scheduler as a systemd service, or upgrades it. Settings in
/etc/default and an existing /opt/main-scheduler/main.py are never overwritten.
A scheduler that is up is restarted when its run in progress has ended.

  --now         restart at once, and so interrupt a run in progress
  --help        this text
  DESTDIR=DIR   in the environment: only put the files below DIR (for packagers)

Then: systemctl enable --now main-scheduler
TEXT
}

say() { printf '%s\n' "install.sh: $*"; }
refuse() { printf '%s\n' "install.sh: $*" >&2; exit 1; }

now=no
for argument in "$@"; do
    case $argument in
        --now) now=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

source=$(cd "$(dirname "$0")/.." && pwd)
DESTDIR=${DESTDIR:-}
PYTHON=/usr/bin/python3
PACKAGE=/usr/local/lib/main-scheduler
umask 022

python_is_new_enough() { $PYTHON -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The names of the distribution's packages that are not there yet.
missing_packages() {
    [ -x $PYTHON ] || printf 'python3 '
    for pair in apscheduler:python3-apscheduler systemd.journal:python3-systemd dotenv:python3-dotenv; do
        $PYTHON -I -c "import ${pair%%:*}" 2>/dev/null || printf '%s ' "${pair##*:}"
    done
}

check_host() {
    [ "$(id -u)" = 0 ] || refuse "must be run by root: sudo $0"
    [ -d /run/systemd/system ] || refuse "systemd is not running here; ./deploy/run.sh runs the scheduler without it"
    missing=$(missing_packages)
    if [ -n "$missing" ] && command -v apt-get >/dev/null; then
        say "installing $missing"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q update
        # shellcheck disable=SC2086  # a list of words
        apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
        missing=$(missing_packages)
    fi
    [ -z "$missing" ] || refuse "missing here: ${missing% } (named as in Debian; install them for $PYTHON and try again)"
    python_is_new_enough || refuse "$PYTHON is older than 3.11"
}

put() { # MODE FILE TARGET
    mkdir -p "$DESTDIR$(dirname "$3")"
    install -m "$1" "$source/$2" "$DESTDIR$3"
}

# A template and, without the instance, the plain unit.
put_both() { # NAME SUFFIX
    put 0644 "deploy/systemd/$1@.$2" "/usr/local/lib/systemd/system/$1@.$2"
    sed -e '/^# Installed twice/d' -e 's/@%i//; s/ %i$//' "$source/deploy/systemd/$1@.$2" \
        >"$DESTDIR/usr/local/lib/systemd/system/$1.$2"
}

# All files of a kind in a folder of the checkout, and in the folders below it.
put_tree() { # FOLDER PATTERN TARGET
    [ -d "$source/$1" ] || return 0
    (cd "$source/$1" && find . -type f -name "$2" -exec sh -c '
        target=$1
        shift
        for file in "$@"; do install -D -m 0644 "$file" "$target/$file"; done' sh "$3" {} +)
}

# The new package is complete before the old one goes.
put_package() {
    new=$DESTDIR$PACKAGE.new
    old=$DESTDIR$PACKAGE.old
    rm -rf "$new" "$old"
    mkdir -p "$new"
    put_tree sched_runner '*.py' "$new/sched_runner"
    $PYTHON -I -m compileall -q -s "$new" -p "$PACKAGE" "$new"
    [ ! -e "$DESTDIR$PACKAGE" ] || mv "$DESTDIR$PACKAGE" "$old"
    mv "$new" "$DESTDIR$PACKAGE"
    rm -rf "$old"
}

put_files() {
    put_package
    put 0755 deploy/main-scheduler                          /usr/local/bin/main-scheduler
    put 0644 deploy/systemd/main-scheduler.service          /usr/local/lib/systemd/system/main-scheduler.service
    put 0644 deploy/systemd/main-scheduler.service          /usr/local/lib/systemd/system/main-scheduler@.service
    for suffix in service path timer; do put_both main-scheduler-alert $suffix; done
    put 0644 deploy/systemd/main-scheduler.catalog          /usr/local/lib/systemd/catalog/main-scheduler.catalog
    put 0644 deploy/systemd/main-scheduler.sysusers         /usr/local/lib/sysusers.d/main-scheduler.conf
    put 0644 deploy/systemd/main-scheduler.tmpfiles         /usr/local/lib/tmpfiles.d/main-scheduler.conf
    put 0644 deploy/systemd/main-scheduler.needrestart      /etc/needrestart/conf.d/main-scheduler.conf
    put 0644 deploy/logrotate/main-scheduler                /etc/logrotate.d/main-scheduler
    put 0644 README.md                                      /usr/local/share/doc/main-scheduler/README.md
    put 0644 README.es.md                                   /usr/local/share/doc/main-scheduler/README.es.md
    for file in "$source"/deploy/pacemaker/*; do
        put 0644 "deploy/pacemaker/${file##*/}"             "/usr/local/share/doc/main-scheduler/pacemaker/${file##*/}"
    done
    for drop_in in "$source"/deploy/systemd/drop-ins/*.conf; do
        drop_in=${drop_in##*/}
        put 0644 "deploy/systemd/drop-ins/$drop_in"         "/usr/local/share/doc/main-scheduler/drop-ins/$drop_in"
    done
    [ -e "$DESTDIR/etc/default/main-scheduler" ] ||
        put 0640 deploy/systemd/main-scheduler.default      /etc/default/main-scheduler
    [ -e "$DESTDIR/opt/main-scheduler/main.py" ] ||
        put 0755 deploy/main.py                             /opt/main-scheduler/main.py
}

tell_system() {
    systemd-sysusers /usr/local/lib/sysusers.d/main-scheduler.conf
    systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/main-scheduler.conf
    journalctl --update-catalog
    chgrp main-scheduler /etc/default/main-scheduler
    systemctl daemon-reload
}

units_that_are_up() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading \
        main-scheduler.service 'main-scheduler@*.service' | cut -d ' ' -f 1
}

# Who has the lock of a run (byte 1) keeps the next from beginning. It is opened as its owner: root may be nobody on a
# file system of the network, and must not follow where another user points.
stop_between_runs() { # UNIT
    $PYTHON -I - "$1" "$(systemctl show --property=MainPID --value "$1")" <<'PYTHON'
import fcntl, os, signal, subprocess, sys

unit, pid = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
try:
    links = {os.readlink(entry): entry.stat() for entry in os.scandir(f"/proc/{pid}/fd")}
    path, owner = next(item for item in links.items() if item[0].endswith("/lock"))
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    os.seteuid(0)
except (OSError, StopIteration) as error:
    sys.exit(f"install.sh: {unit}: cannot see whether a run is in progress: {error or 'it has no lock'}")
try:
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1)
except OSError:
    print(f"install.sh: {unit}: waiting for the end of the run in progress (to interrupt it: Ctrl-C, and again with --now)")
    sys.stdout.flush()
    fcntl.lockf(lock, fcntl.LOCK_EX, 1, 1)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(subprocess.call(["systemctl", "stop", unit]))
PYTHON
}

would_start() { # UNIT
    instance=${1#main-scheduler}
    instance=${instance#@}
    # shellcheck disable=SC2086  # no argument at all where there is no instance
    /usr/local/bin/main-scheduler check ${instance%.service} >/dev/null || [ $? != 78 ]
}

restart() { # UNIT
    if ! would_start "$1"; then
        say "$1 goes on as it was: with these settings it would not start"
        return 1
    fi
    trap '' INT HUP  # from the stop to the start; before, they end stop_between_runs
    if [ $now = no ] && [ "$(systemctl show --property=ActiveState --value "$1")" != activating ]; then
        stop_between_runs "$1" || {
            say "$1 goes on as it was; to restart it all the same: $0 --now"
            trap - INT HUP
            return 1
        }
    fi
    say "restarting $1"
    systemctl restart "$1"
    restarted=$?
    trap - INT HUP
    return "$restarted"
}

[ -n "$DESTDIR" ] || check_host
put_files
[ -z "$DESTDIR" ] || exit 0
tell_system
failed=
for unit in $(units_that_are_up); do restart "$unit" || failed="$failed $unit"; done
[ -z "$failed" ] || refuse "installed, but these were not restarted:$failed (systemctl status says why)"
say "installed. To start it now and at every boot: systemctl enable --now main-scheduler"
