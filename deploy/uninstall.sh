#!/bin/sh
# Takes main-scheduler away.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/uninstall.sh [--purge]

Stops main-scheduler and all its instances (a run in progress gets its stop
grace) and removes what install.sh has put. Settings, drop-ins, logs, state, the
user and /opt/main-scheduler stay, and a logrotate snippet that you have edited.

  --purge   remove those too, the sample main.py only where it is unchanged
  --help    this text
TEXT
}

say() { printf '%s\n' "uninstall.sh: $*"; }
refuse() { printf '%s\n' "uninstall.sh: $*" >&2; exit 1; }

purge=no
left=
for argument in "$@"; do
    case $argument in
        --purge) purge=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done
[ "$(id -u)" = 0 ] || refuse "must be run by root: sudo $0"

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

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
    if cmp -s /etc/logrotate.d/main-scheduler /usr/local/share/main-scheduler/logrotate ||
        cmp -s /etc/logrotate.d/main-scheduler "$source/deploy/logrotate/main-scheduler"
    then
        rm -f /etc/logrotate.d/main-scheduler
    fi
    rm -rf /usr/local/lib/main-scheduler /usr/local/lib/main-scheduler.* /usr/local/share/main-scheduler /usr/local/share/doc/main-scheduler \
        /run/main-scheduler
    rm -f /usr/local/bin/main-scheduler \
        /usr/local/lib/systemd/system/main-scheduler[.@]* \
        /usr/local/lib/systemd/system/main-scheduler-alert[.@]* \
        /usr/local/lib/systemd/catalog/main-scheduler.catalog \
        /usr/local/lib/sysusers.d/main-scheduler.conf \
        /usr/local/lib/tmpfiles.d/main-scheduler.conf \
        /etc/needrestart/conf.d/main-scheduler.conf \
        /run/main-scheduler-install.lock
    remove_empty /usr/local/lib/systemd/system /usr/local/lib/systemd/catalog
    remove_empty /usr/local/share/doc /usr/local/lib/systemd /usr/local/lib/sysusers.d /usr/local/lib/tmpfiles.d
    remove_empty /etc/needrestart/conf.d
    remove_empty /etc/needrestart
    systemctl daemon-reload
    journalctl --update-catalog
}

# What is left of an account outside of its services is ended first: userdel refuses while there are processes.
purge_account() { # NAME
    if getent passwd "$1" >/dev/null; then
        uid=$(id -u "$1")
        loginctl disable-linger "$1" 2>/dev/null || rm -f "/var/lib/systemd/linger/$1"
        loginctl terminate-user "$1" 2>/dev/null || true
        systemctl stop "user@$uid.service" "user-$uid.slice" 2>/dev/null || true
        userdel "$1" || left="$left account:$1"
    fi
    # userdel keeps the group where others have joined it.
    if getent group "$1" >/dev/null; then groupdel "$1" || left="$left group:$1"; fi
    rm -f "/var/mail/$1"
}

# Also those of instances that have a user of their own.
purge_accounts() {
    # A mail of the last alert may still be on its way out.
    systemctl kill --signal=KILL 'main-scheduler-alert*.service' 2>/dev/null || true
    for drop_in in /etc/systemd/system/main-scheduler@*.service.d/own-user.conf; do
        [ -e "$drop_in" ] || continue
        instance=${drop_in#*@}
        purge_account "main-scheduler-${instance%.service.d/own-user.conf}"
    done
    purge_account main-scheduler
}

# main.py may be a pipe or a link by now: neither waited for nor followed.
is_the_sample() {
    dd if=/opt/main-scheduler/main.py iflag=nofollow,nonblock status=none 2>/dev/null | cmp -s - "$source/deploy/main.py"
}

purge_data() {
    rm -rf /var/log/main-scheduler /var/log/main-scheduler@* \
        /var/lib/main-scheduler /var/lib/main-scheduler@* /var/lib/main-scheduler-alert /var/lib/main-scheduler-alert@* ||
        left="$left logs-or-state"
    rm -rf /etc/systemd/system/main-scheduler.service.d /etc/systemd/system/main-scheduler@*.service.d \
        /etc/systemd/system/main-scheduler-alert*.d /etc/systemd/system.control/main-scheduler*.d /etc/main-scheduler
    remove_empty /etc/systemd/system.control
    rm -f /etc/default/main-scheduler /etc/default/main-scheduler@* /etc/logrotate.d/main-scheduler
    if is_the_sample; then rm -f /opt/main-scheduler/main.py; fi
    remove_empty /opt/main-scheduler
    systemctl daemon-reload
    [ ! -e /opt/main-scheduler ] || say "left, for it is yours: /opt/main-scheduler"
}

stop_units
if [ $purge = yes ]; then purge_accounts; fi
remove_files
if [ $purge = yes ]; then purge_data; fi
[ -z "$left" ] || refuse "removed, but for what is named above:$left"
say "removed; the Python packages that install.sh took from the distribution stay"
