#!/bin/sh
# Prepares what is missing, and runs the scheduler here in the foreground. See --help.
set -eu

if [ "${1-}" = --help ] || [ $# -gt 1 ]; then
    echo "usage: $0 [main.py]"
    echo "Runs main.py (default: the sample, which sends a mail) at once and then every minute, until Ctrl-C."
    echo "Settings come from the environment: SCHED_INTERVAL=30min $0 main.py"
    echo "Logs and state go to ./scheduler/."
    exit 0
fi

tree=$(cd "$(dirname "$0")/.." && pwd)
packages="python3 python3-apscheduler python3-systemd python3-dotenv"

# Prints the first Python that has what the scheduler imports.
find_python() {
    for python in python3 /usr/bin/python3; do
        if "$python" -I -c "import sys, apscheduler, systemd.daemon, dotenv; assert sys.version_info >= (3, 11)" 2>/dev/null
        then
            echo "$python"
            return
        fi
    done
    return 1
}

install_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "$0: needs Python 3.11 or newer with APScheduler 3.x, systemd-python and python-dotenv" >&2
        return 1
    fi
    if [ "$(id -u)" = 0 ]; then
        sudo=
    elif command -v sudo >/dev/null && sudo -v; then
        sudo=sudo
    else
        echo "$0: missing packages, and neither root nor sudo to install them. Have this done:" >&2
        echo "    apt-get install $packages" >&2
        return 1
    fi
    echo "installing $packages"
    # shellcheck disable=SC2086 # packages and sudo are lists of words
    {
        $sudo apt-get -qq update
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $packages >/dev/null
    }
}

find_python >/dev/null || install_packages
python=$(find_python)

SCHED_MAIN=${1:-${SCHED_MAIN:-$tree/deploy/main.py}}
MAILDIR=${MAILDIR:-$PWD/scheduler/Maildir}
export SCHED_MAIN MAILDIR
exec "$python" -I -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from sched_runner.cli import main; sys.exit(main())' \
    "$tree" run
