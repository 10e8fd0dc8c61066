#!/bin/sh
# Installs or upgrades main-scheduler.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/install.sh [--now]
       ./deploy/install.sh --user

Installs main-scheduler as a systemd service, or upgrades it. Settings in
/etc/default, an existing /opt/main-scheduler/main.py and a logrotate snippet
that you have edited are never overwritten. A scheduler that is up is
restarted when its run in progress has ended. If one of them does not come up
with the new version, install.sh puts the old version back, and starts again
what was up.

  --now         restart at once, and so interrupt a run in progress
  --user        for you alone and without root: see ./deploy/install.sh --user --help
  --help        this text
  PREFIX=/usr   in the environment: install there, and not below /usr/local
  DESTDIR=DIR   in the environment: only put the files below DIR (for packagers)

Then: systemctl enable --now main-scheduler
TEXT
}

now=no
for argument in "$@"; do
    case $argument in
        --user) exec "$(dirname -- "$0")/user.sh" install "$@" ;;
        --now) now=yes ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
[ -z "${DESTDIR:-}" ] || exec "$source/deploy/stage.sh"
PREFIX=${PREFIX:-/usr/local}
export PREFIX="${PREFIX%/}"
PACKAGE=$PREFIX/lib/main-scheduler
NEW=$PACKAGE.new
LOGROTATE=/etc/logrotate.d/main-scheduler
SHIPPED=$PREFIX/share/main-scheduler/logrotate
umask 022

# shellcheck source=deploy/host.sh
. "$source/deploy/host.sh"
# shellcheck source=deploy/apt.sh
. "$source/deploy/apt.sh"
# shellcheck source=deploy/needs.sh
. "$source/deploy/needs.sh"

install_what_is_missing() {
    command -v apt-get >/dev/null || return 0
    if [ -n "$missing" ]; then
        say "installing $missing(this takes a minute)"
        update_lists
        # shellcheck disable=SC2086  # a list of words
        install_packages $missing
    fi
    # Only the man pages need scdoc: without it and without a network, all else is installed.
    command -v scdoc >/dev/null || install_packages -o DPkg::Lock::Timeout=30 scdoc 2>/dev/null || true
}

# Files below /usr/local win over those below /usr, and nothing tells the operator.
refuse_a_second_installation() {
    refuse_beside_a_package
    for other in /usr/local /usr; do
        [ $other = "$PREFIX" ] || [ ! -e $other/lib/systemd/system/main-scheduler.service ] ||
            refuse "main-scheduler is installed below $other: take that away first: ./deploy/uninstall.sh"
    done
}

check_host() {
    need_root
    [ -d /run/systemd/system ] || refuse "systemd is not running here; ./deploy/run.sh runs the scheduler without it"
    case $PREFIX in
        /usr/local | /usr) ;;
        *) refuse "PREFIX is $PREFIX, but systemd finds units only below /usr/local and /usr" ;;
    esac
    refuse_a_second_installation
    missing=$(missing_packages)
    install_what_is_missing
    missing=$(missing_packages)
    [ -z "$missing" ] || refuse "missing here: ${missing% } (named as in Debian; install them for $PYTHON and try again)"
    python_is_new_enough || refuse "$PYTHON is older than 3.11"
    command -v scdoc >/dev/null || say "no man pages, for scdoc is not there: install it, and call install.sh again"
}

is_there() { [ -e "$1" ] || [ -L "$1" ]; }  # a link that leads nowhere is something, too

copy() { # FROM-ROOT TO-ROOT PATH
    mkdir -p "$2${3%/*}"
    cp -a --remove-destination "$1$3" "$2$3"
}

# The new version is complete before the old one goes. The file "files" in the package lists all files outside of it.
stage() {
    rm -rf "$NEW"
    DESTDIR=$NEW "$source/deploy/stage.sh"
    install -D -m 0644 "$NEW$LOGROTATE" "$NEW$SHIPPED"
    $PYTHON -I -m compileall -q -s "$NEW" "$NEW$PACKAGE"
    (cd "$NEW" && find . -type f ! -path ".$PACKAGE/*" ! -path ./etc/default/main-scheduler ! -path ".$LOGROTATE") |
        sed 's/^\.//' >"$NEW$PACKAGE/files"
}

swap_package() { # NEW FOR-THE-OLD-ONE
    rm -rf "$2"
    [ ! -e "$PACKAGE" ] || mv "$PACKAGE" "$2"
    mv "$1" "$PACKAGE"
}

# The operator's edits are kept: the file is replaced only as long as it is what was shipped.
put_logrotate() {
    if ! is_there $LOGROTATE && [ ! -e "$SHIPPED" ] || cmp -s $LOGROTATE "$SHIPPED" || cmp -s $LOGROTATE "$NEW$LOGROTATE"; then
        copy "$NEW" '' $LOGROTATE
    else
        say "$LOGROTATE is left as you have edited it; as shipped it is $SHIPPED"
    fi
}

# Only if nobody but us can write to the directory: somebody else could change what the name means between two looks.
put_sample() {
    directory=/opt/main-scheduler
    ! is_there $directory/main.py || return 0
    if [ -d $directory ] && [ -n "$(find $directory/ -maxdepth 0 '(' ! -uid "$(id -u)" -o -perm /022 ')')" ]; then
        say "no sample is put into $directory, for others can write there: put a main.py there yourself"
        return 0
    fi
    install -D -m 0755 "$source/deploy/main.py" $directory/main.py
}

put_files() {
    swap_package "$NEW$PACKAGE" "$PACKAGE.gone"
    rm -rf "$PACKAGE.gone"
    put_logrotate
    for path in $replaced; do
        if [ -e "$NEW$path" ]; then copy "$NEW" '' "$path"; else rm -f "$path"; fi
    done
    # While the service is up, lost files are not replaced: the shipped settings would turn prod into test.
    case $were_up in *main-scheduler.service=*) return 0 ;; esac
    is_there /etc/default/main-scheduler || copy "$NEW" '' /etc/default/main-scheduler
    put_sample
}

# An older version gave the account a home that main.py could write to, and programs outside of the sandbox obeyed what
# lay there. With --prefix usermod changes the account although schedulers are up.
take_home_away() {
    home=$(getent passwd main-scheduler | cut -d : -f 6)
    if [ "$home" != / ]; then
        if usermod --prefix=/. --home=/ main-scheduler; then
            say "the account main-scheduler had $home as its home, and has / now"
        else  # the account is not in /etc/passwd
            say "the home of the account main-scheduler is $home: make it /, for other programs obey what lies there"
        fi
    fi
    if [ -e /var/lib/systemd/linger/main-scheduler ]; then
        say "the account main-scheduler no longer lingers: what it ran outside of the service is ended"
        loginctl disable-linger main-scheduler 2>/dev/null || rm -f /var/lib/systemd/linger/main-scheduler
        loginctl terminate-user main-scheduler 2>/dev/null || true
        systemctl stop "user@$(id -u main-scheduler).service" 2>/dev/null || true
    fi
}

warn_of_link_local_name_server() {
    ! grep -Eqi '^nameserver[[:space:]]+(169\.254\.|fe[89ab]|fd20:ce:)' /etc/resolv.conf 2>/dev/null ||
        say "the unit may not reach the name server in /etc/resolv.conf: you need the drop-in link-local.conf"
}

tell_system() {
    systemd-sysusers "$PREFIX"/lib/sysusers.d/main-scheduler.conf
    systemd-tmpfiles --create "$PREFIX"/lib/tmpfiles.d/main-scheduler.conf
    journalctl --update-catalog
    take_home_away
    # If the settings file is a link, it is the operator's, and may lead nowhere yet.
    [ -L /etc/default/main-scheduler ] || [ ! -e /etc/default/main-scheduler ] || chgrp main-scheduler /etc/default/main-scheduler
    systemctl daemon-reload
}

units_that_are_up() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading \
        main-scheduler.service 'main-scheduler@*.service' | cut -d ' ' -f 1
}

main_pid() { systemctl show --property=MainPID --value "$1"; } # UNIT

# The old version is kept until what was up is up again. The copy is complete as soon as it has its final name.
keep_old_version() {
    rm -rf "$PACKAGE.old.part"
    for path in "$PACKAGE" $LOGROTATE $replaced; do
        if is_there "$path"; then copy '' "$PACKAGE.old.part" "$path"; fi
    done
    rm -rf "$PACKAGE.old"
    mv "$PACKAGE.old.part" "$PACKAGE.old"
}

put_old_version_back() {
    copy "$PACKAGE.old" "$PACKAGE.back" "$PACKAGE" && swap_package "$PACKAGE.back$PACKAGE" "$PACKAGE.failed" || return 1
    for path in $LOGROTATE $replaced; do
        if is_there "$PACKAGE.old$path"; then copy "$PACKAGE.old" '' "$path" || return 1; else rm -f "$path"; fi
    done
    systemctl daemon-reload
    journalctl --update-catalog || true
}

# For a unit that was up before the upgrade. If the upgrade has not restarted it, it goes on as it was.
is_up_with_old_version() { # UNIT PID-BEFORE
    [ "$2" != 0 ] || return 0  # the unit has no process: systemd starts it again and again
    [ "$(main_pid "$1")" != "$2" ] || return 0
    say "starting $1 with the old version"
    instance=${1#main-scheduler}
    instance=${instance#@}
    # The unit may be up with the new version, and have a run in progress. The old version may not know how to wait.
    # shellcheck disable=SC2086  # no argument at all if there is no instance
    if systemctl -q is-active "$1" && (cd "$PACKAGE.failed" && $PYTHON -Es -m sched_runner restart ${instance%.service})
    then return 0; fi
    systemctl restart "$1"
}

# Is called if this script ends, for whatever reason, before all that was up is up again.
take_back() {
    status=$?
    trap - EXIT
    trap '' INT HUP TERM
    set +e
    say "the old version is put back"
    put_old_version_back || refuse "the old version cannot be put back; it lies in $PACKAGE.old"
    trap : INT HUP TERM  # the commands below do not ignore these signals: Ctrl-C ends the wait for a run
    down=
    for each in $were_up; do is_up_with_old_version "${each%=*}" "${each##*=}" || down="$down ${each%=*}"; done
    rm -rf "$PACKAGE.failed" "$PACKAGE.old" "$PACKAGE.back" "$NEW"
    [ -z "$down" ] || refuse "the old version is back, but these are not up (systemctl status says why):$down"
    say "not upgraded: the old version is back, and what was up is up" >&2
    [ "$status" != 0 ] || status=1
    exit "$status"
}

begin() {
    lock_out_others
    set -f
    IFS='
'  # a list has a name on each line, and there may be blanks in the name
    were_up=$(for unit in $(units_that_are_up); do printf '%s=%s\n' "$unit" "$(main_pid "$unit")"; done)
    stage
    # The files of the new version and those of the old one.
    replaced=$(cat "$NEW$PACKAGE/files" "$PACKAGE/files" 2>/dev/null | sort -u)
    [ ! -e "$PACKAGE" ] || keep_old_version
    [ -e "$PACKAGE.old" ] || return 0
    trap 'exit 130' INT
    trap 'exit 129' HUP
    trap 'exit 143' TERM
    trap take_back EXIT
}

restart_what_is_up() {
    timeout 20 "$PREFIX"/bin/main-scheduler --version >/dev/null || refuse "the new version does not work here"
    if [ $now = yes ]; then set -- --now; else set --; fi
    "$PREFIX"/bin/main-scheduler restart --all "$@" || exit 1
}

check_host
begin
put_files
tell_system
warn_of_link_local_name_server
restart_what_is_up
trap - EXIT INT HUP TERM
rm -rf "$PACKAGE.old" "$NEW"
say "installed $("$PREFIX"/bin/main-scheduler --version)"
systemctl -q is-enabled main-scheduler ||
    say "to start it now and at every boot: systemctl enable --now main-scheduler"
