#!/bin/sh
# Takes main-scheduler away.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/uninstall.sh [--purge]

Stops main-scheduler and all its instances (a run in progress gets its stop
grace) and removes what install.sh has put. Settings, drop-ins, logs, state, the
user and /opt/main-scheduler stay.

  --purge   remove those too, the sample main.py only where it is unchanged
  --help    this text
TEXT
}

say() { printf '%s\n' "uninstall.sh: $*"; }
refuse() { printf '%s\n' "uninstall.sh: $*" >&2; exit 1; }

purge=no
for argument in "$@"; do
    case $argument in
        --purge) purge=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[ "$(id -u)" = 0 ] || refuse "must be run by root: sudo $0"

source=$(cd "$(dirname "$0")/.." && pwd)

remove_empty() { # DIRECTORY...
    rmdir --ignore-fail-on-non-empty -- "$@" 2>/dev/null || true
}

stop_units() {
    [ -e /usr/local/lib/systemd/system/main-scheduler.service ] || return 0
    systemctl stop 'main-scheduler-alert*' main-scheduler.service 'main-scheduler@*.service'
    # Disabling a template disables all its instances.
    (cd /usr/local/lib/systemd/system && systemctl -q disable main-scheduler[.@]* main-scheduler-alert[.@]*)
    systemctl reset-failed 'main-scheduler*' 2>/dev/null || true
}

remove_files() {
    rm -rf /usr/local/lib/main-scheduler /usr/local/share/doc/main-scheduler /run/main-scheduler
    rm -f /usr/local/bin/main-scheduler \
        /usr/local/lib/systemd/system/main-scheduler[.@]* \
        /usr/local/lib/systemd/system/main-scheduler-alert[.@]* \
        /usr/local/lib/systemd/catalog/main-scheduler.catalog \
        /usr/local/lib/sysusers.d/main-scheduler.conf \
        /usr/local/lib/tmpfiles.d/main-scheduler.conf \
        /etc/needrestart/conf.d/main-scheduler.conf \
        /etc/logrotate.d/main-scheduler
    remove_empty /usr/local/lib/systemd/system /usr/local/lib/systemd/catalog
    remove_empty /usr/local/share/doc /usr/local/lib/systemd /usr/local/lib/sysusers.d /usr/local/lib/tmpfiles.d
    remove_empty /etc/needrestart/conf.d
    remove_empty /etc/needrestart
    systemctl daemon-reload
    journalctl --update-catalog
}

purge_data() {
    rm -rf /var/log/main-scheduler /var/log/main-scheduler@* /var/lib/main-scheduler /var/lib/main-scheduler@*
    rm -rf /etc/systemd/system/main-scheduler.service.d /etc/systemd/system/main-scheduler@*.service.d \
        /etc/systemd/system/main-scheduler-alert*.d /etc/systemd/system.control/main-scheduler*.d /etc/main-scheduler
    remove_empty /etc/systemd/system.control
    rm -f /etc/default/main-scheduler /etc/default/main-scheduler@*
    if cmp -s /opt/main-scheduler/main.py "$source/deploy/main.py"; then
        rm -f /opt/main-scheduler/main.py
    fi
    remove_empty /opt/main-scheduler
    if getent passwd main-scheduler >/dev/null; then userdel main-scheduler; fi
    # userdel keeps the group where others have joined it.
    if getent group main-scheduler >/dev/null; then groupdel main-scheduler; fi
    systemctl daemon-reload
    [ ! -e /opt/main-scheduler ] || say "left, for it is yours: /opt/main-scheduler"
}

stop_units
remove_files
if [ $purge = yes ]; then purge_data; fi
say "removed; the Python packages that install.sh took from the distribution stay"
