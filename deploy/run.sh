#!/bin/sh
# Prepares what is missing, and runs the scheduler here in the foreground. See --help.
set -eu

usage() {
    cat <<TEXT
usage: $0 [SCRIPT]
       $0 --status | --history | --trigger
Runs SCRIPT (default: the sample, which sends a mail) at once and then every minute, until Ctrl-C.

An executable script with a first line #!, or a program, is executed as it is. Any other script is run by Python: by that
of the virtual environment that is activated, if one is.

Settings come from the environment: SCHED_INTERVAL=30min $0 main.py
Logs and state go to ./scheduler/.

--status shows how the scheduler in this directory is going, --history its runs, and --trigger has it run now.
TEXT
}

refuse() { # STATUS TEXT
    printf '%s\n' "$0: $2" >&2
    exit "$1"
}

tree=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=deploy/apt.sh
. "$tree/deploy/apt.sh"

# Prints the first Python that has what the scheduler imports.
find_python() {
    for python in python3 /usr/bin/python3; do
        if "$python" -I -c "
import sys, apscheduler.schedulers.blocking, systemd.daemon, dotenv
assert sys.version_info >= (3, 11)" 2>/dev/null
        then
            echo "$python"
            return
        fi
    done
    return 1
}

# Whether the script is an executable with a first line #!, or a program.
runs_by_itself() {
    [ -x "$1" ] || return 1
    case $(head -c 4 -- "$1" | tr -d '\0') in
        '#!'* | "$(printf '\177ELF')") return 0 ;;
        *) return 1 ;;
    esac
}

start() { # COMMAND...
    python=$(find_python) || {
        command -v apt-get >/dev/null ||
            refuse 1 "needs Python 3.11 or newer with APScheduler 3.x, systemd-python and python-dotenv"
        update_and_install python3 python3-apscheduler python3-systemd python3-dotenv
        python=$(find_python) || refuse 1 "needs Python 3.11 or newer"
    }
    # Python must not import a json.py that you have beside the README: only our package is imported from there.
    exec "$python" -I -c '
import sys
tree = sys.argv.pop(1)
sys.path.insert(0, tree)
import sched_runner
sys.path.remove(tree)
from sched_runner.cli import main
sys.exit(main())' "$tree" "$@"
}

case ${1-} in
    --help | -h) usage; exit 0 ;;
    --status | --history | --trigger) command=${1#--}; shift; start "$command" --here "$@" ;;
    -*) usage >&2; exit 2 ;;
esac
[ $# -le 1 ] || refuse 2 "one script, please; its arguments go into SCHED_ARGS"
SCHED_MAIN=${1:-${SCHED_MAIN:-$tree/deploy/main.py}}
[ -e "$SCHED_MAIN" ] || refuse 1 "there is no script $SCHED_MAIN (this is $PWD)"
[ -f "$SCHED_MAIN" ] || refuse 1 "$SCHED_MAIN is no script"
export SCHED_MAIN

environment=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -z "${SCHED_PYTHON-}" ] && [ -n "$environment" ] && [ -x "$environment/bin/python" ] && ! runs_by_itself "$SCHED_MAIN"; then
    export SCHED_PYTHON="$environment/bin/python"
fi
# The sample has a variable of its own, because MAILDIR names the mailbox of the person who types this.
export SAMPLE_MAILDIR="${SAMPLE_MAILDIR:-$PWD/scheduler/Maildir}"

start run
