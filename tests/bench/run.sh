#!/bin/sh
# Installs what the bench needs, outside of the tree, and runs it: see --help.
set -eu

bench=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/main-scheduler-bench
packages="python3 python3-venv python3-apscheduler python3-systemd python3-dotenv gcc libc6-dev
    apache2-utils cron daemontools runit s6"

# shellcheck source=deploy/apt.sh
. "$bench/../../deploy/apt.sh"

# What can't be had is left out, and the tables say so.
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>&1)" = installed ] && continue
    [ -n "${updated-}" ] || update_lists || true
    updated=yes
    install_packages "$package" || true
done

mkdir -p "$cache"
# The libraries of the distribution, and the newest of PyPI; systemd-python is the distribution's in both.
[ -x "$cache/debian/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages "$cache/debian"
[ -x "$cache/newest/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages "$cache/newest"
"$cache/newest/bin/pip" install -q --disable-pip-version-check --upgrade "APScheduler<4" python-dotenv >&2 || true
for peer in yacron cronstable supervisor circus; do
    [ -x "$cache/$peer/bin/python" ] || /usr/bin/python3 -m venv "$cache/$peer"
    "$cache/$peer/bin/pip" install -q --disable-pip-version-check "$peer" >&2 || true
done
# The busybox that has crond; unpacked, because installing it would remove the other one.
if ! [ -x "$cache/busybox/bin/busybox" ]; then
    (cd "$cache" && apt-get -q download busybox-static && dpkg -x busybox-static_*.deb busybox) >&2 || true
fi
# As install.sh does.
/usr/bin/python3 -m compileall -q "$bench/../../sched_runner"
cc -O2 -o "$cache/stamp" "$bench/programs/stamp.c"

# Nothing of this shell's Python may get into the tools.
unset PYTHONPATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
exec /usr/bin/python3 "$bench/bench.py" "$@"
