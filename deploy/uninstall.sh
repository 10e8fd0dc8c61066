#!/bin/sh
# Takes main-scheduler away.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/uninstall.sh [--purge]
       ./deploy/uninstall.sh --user [--purge]

Stops main-scheduler and all its instances (a run in progress gets its stop
grace) and removes what install.sh has put. Settings, drop-ins, logs, state, the
user and /opt/main-scheduler stay, and a logrotate snippet that you have edited.

  --purge       remove those too, the sample main.py only where it is unchanged
  --help        this text
TEXT
}

purge=no
for argument in "$@"; do
    case $argument in
        --user) exec "$(dirname -- "$0")/user.sh" remove "$@" ;;
        --purge) purge=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

PREFIX=/usr/local
[ -e $PREFIX/lib/main-scheduler ] || [ ! -e /usr/lib/main-scheduler/files ] || PREFIX=/usr
PACKAGE=$PREFIX/lib/main-scheduler
UNITS=$PREFIX/lib/systemd/system

# shellcheck source=deploy/host.sh
. "$source/deploy/host.sh"
# shellcheck source=deploy/purge.sh
. "$source/deploy/purge.sh"

stop_units() {
    [ -e "$UNITS/main-scheduler.service" ] || return 0
    systemctl stop 'main-scheduler-alert*' main-scheduler.service 'main-scheduler@*.service'
    # Disabling a template disables all its instances.
    (cd "$UNITS" && systemctl -q disable main-scheduler[.@]* main-scheduler-alert[.@]*)
    systemctl reset-failed 'main-scheduler*' 2>/dev/null || true
}

remove_files() {
    shipped=$PREFIX/share/main-scheduler/logrotate
    for same in "$shipped" "$source/deploy/logrotate/main-scheduler"; do
        if cmp -s /etc/logrotate.d/main-scheduler "$same"; then rm -f /etc/logrotate.d/main-scheduler; fi
    done
    [ ! -e "$PACKAGE/files" ] || xargs -d '\n' rm -f <"$PACKAGE/files"
    rm -rf "$PACKAGE" "$PACKAGE".* "$PREFIX/share/main-scheduler" "$PREFIX/share/doc/main-scheduler" /run/main-scheduler
    remove_empty "$UNITS" "$PREFIX"/lib/systemd/user "$PREFIX"/lib/systemd/catalog "$PREFIX"/lib/sysusers.d \
        "$PREFIX"/lib/tmpfiles.d "$PREFIX"/share/doc "$PREFIX"/share/man/man? \
        "$PREFIX"/share/bash-completion/completions "$PREFIX"/share/zsh/site-functions
    remove_empty "$PREFIX"/lib/systemd "$PREFIX"/share/bash-completion "$PREFIX"/share/zsh
    remove_empty /etc/needrestart/conf.d
    remove_empty /etc/needrestart
    systemctl daemon-reload
    journalctl --update-catalog
}

# main.py may be a pipe or a link by now: dd does not wait for a pipe, and does not follow a link.
is_the_sample() {
    dd if=/opt/main-scheduler/main.py iflag=nofollow,nonblock status=none 2>/dev/null | cmp -s - "$source/deploy/main.py"
}

need_root
refuse_beside_a_package
lock_out_others
said="removed; the packages that install.sh took from the distribution stay"
[ -e "$PACKAGE" ] || [ -e "$UNITS/main-scheduler.service" ] || said="no installation was found"
case $purge=$said in yes=no*) said="$said; what one had left is removed" ;; esac
stop_units
if [ $purge = yes ]; then purge_accounts; fi
remove_files
if [ $purge = yes ]; then
    if is_the_sample; then rm -f /opt/main-scheduler/main.py; fi
    purge_data
fi
[ -z "$left" ] || refuse "removed, except for these (the reasons are above):$left"
[ $purge = yes ] || say "settings, logs, state and /opt/main-scheduler stay; uninstall.sh --purge removes them"
say "$said"
