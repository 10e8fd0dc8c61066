#!/bin/sh
# Installs or upgrades main-scheduler.
set -eu

usage() {
    cat <<'TEXT'
Usage: sudo ./deploy/install.sh [--now]

Installs main-scheduler as a systemd service, or upgrades it. Settings in
/etc/default, an existing /opt/main-scheduler/main.py and a logrotate snippet
that you have edited are never overwritten. A scheduler that is up is
restarted when its run in progress has ended. If one of them would not start,
or does not come up, the old version is put back, and what was up is up.

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

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
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

is_there() { [ -e "$1" ] || [ -L "$1" ]; }  # a link that leads nowhere is something, too

# The new package is complete before the old one goes.
put_package() {
    new=$DESTDIR$PACKAGE.new
    rm -rf "$new"
    mkdir -p "$new"
    put_tree sched_runner '*.py' "$new/sched_runner"
    $PYTHON -I -m compileall -q -s "$new" -p "$PACKAGE" "$new"
    swap_package "$new" "$DESTDIR$PACKAGE.gone"
    rm -rf "$DESTDIR$PACKAGE.gone"
}

swap_package() { # NEW FOR-THE-OLD-ONE
    rm -rf "$2"
    [ ! -e "$DESTDIR$PACKAGE" ] || mv "$DESTDIR$PACKAGE" "$2"
    mv "$1" "$DESTDIR$PACKAGE"
}

# The operator's edits are kept: the file is replaced only as long as it is what was shipped.
put_logrotate() {
    file=/etc/logrotate.d/main-scheduler
    shipped=/usr/local/share/main-scheduler/logrotate
    if ! is_there "$DESTDIR$file" && [ ! -e "$DESTDIR$shipped" ] ||
        cmp -s "$DESTDIR$file" "$DESTDIR$shipped" || cmp -s "$DESTDIR$file" "$source/deploy/logrotate/main-scheduler"
    then
        put 0644 deploy/logrotate/main-scheduler            $file
    else
        say "$file is left as you have edited it; as shipped it is $shipped"
    fi
    put 0644 deploy/logrotate/main-scheduler                $shipped
}

# Only where nobody but us can change what the name means between two looks.
put_sample() {
    directory=$DESTDIR/opt/main-scheduler
    ! is_there "$directory/main.py" || return 0
    if [ -d "$directory" ] && [ -n "$(find "$directory/" -maxdepth 0 '(' ! -uid "$(id -u)" -o -perm /022 ')')" ]; then
        say "no sample is put into $directory, for others can write there: put a main.py there yourself"
        return 0
    fi
    put 0755 deploy/main.py                                 /opt/main-scheduler/main.py
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
    put_logrotate
    put_docs
    # What the service that is up has lost is not made up for: the shipped settings would turn prod into test.
    case $were_up in *main-scheduler.service=*) return 0 ;; esac
    is_there "$DESTDIR/etc/default/main-scheduler" ||
        put 0640 deploy/systemd/main-scheduler.default      /etc/default/main-scheduler
    put_sample
}

put_docs() {
    for file in README.md README.es.md FAULTS.md SECURITY.md LICENSE; do
        put 0644 $file                                      /usr/local/share/doc/main-scheduler/$file
    done
    put_tree docs '*.md' "$DESTDIR/usr/local/share/doc/main-scheduler/docs"
    for file in "$source"/deploy/pacemaker/*; do
        put 0644 "deploy/pacemaker/${file##*/}"             "/usr/local/share/doc/main-scheduler/pacemaker/${file##*/}"
    done
    for drop_in in "$source"/deploy/systemd/drop-ins/*.conf; do
        drop_in=${drop_in##*/}
        put 0644 "deploy/systemd/drop-ins/$drop_in"         "/usr/local/share/doc/main-scheduler/drop-ins/$drop_in"
    done
}

# Of an installation whose account had a home that main.py could write to: programs outside of the sandbox obeyed what
# lay there. With a prefix usermod does not mind that schedulers are up.
take_home_away() {
    home=$(getent passwd main-scheduler | cut -d : -f 6)
    if [ "$home" != / ]; then
        if usermod --prefix=/. --home=/ main-scheduler; then
            say "the account main-scheduler had $home as its home, and has / now"
        else  # it is not in /etc/passwd
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
    systemd-sysusers /usr/local/lib/sysusers.d/main-scheduler.conf
    systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/main-scheduler.conf
    journalctl --update-catalog
    take_home_away
    # A link is the operator's, and may lead nowhere yet.
    [ -L /etc/default/main-scheduler ] || [ ! -e /etc/default/main-scheduler ] || chgrp main-scheduler /etc/default/main-scheduler
    systemctl daemon-reload
}

units_that_are_up() {
    systemctl list-units --plain --no-legend --state=active,activating,reloading \
        main-scheduler.service 'main-scheduler@*.service' | cut -d ' ' -f 1
}

main_pid() { systemctl show --property=MainPID --value "$1"; } # UNIT

# What an upgrade replaces, but for the package, as far as it is there.
replaced() { # ROOT
    for path in "$1"/usr/local/bin/main-scheduler "$1"/usr/local/lib/systemd/system/main-scheduler[.@]* \
        "$1"/usr/local/lib/systemd/system/main-scheduler-alert[.@]* \
        "$1"/usr/local/lib/systemd/catalog/main-scheduler.catalog "$1"/usr/local/lib/sysusers.d/main-scheduler.conf \
        "$1"/usr/local/lib/tmpfiles.d/main-scheduler.conf "$1"/usr/local/share/main-scheduler \
        "$1"/usr/local/share/doc/main-scheduler "$1"/etc/logrotate.d/main-scheduler \
        "$1"/etc/needrestart/conf.d/main-scheduler.conf
    do
        if is_there "$path"; then printf '%s\n' "${path#"$1"}"; fi
    done
}

copy() { # FROM-ROOT TO-ROOT PATH
    mkdir -p "$2${3%/*}"
    cp -a "$1$3" "$2$3"
}

# The old version is kept until what was up is up again. It is complete as soon as it has its name.
keep_old_version() {
    rm -rf "$PACKAGE.old.part"
    for path in "$PACKAGE" $(replaced ''); do copy '' "$PACKAGE.old.part" "$path"; done
    rm -rf "$PACKAGE.old"
    mv "$PACKAGE.old.part" "$PACKAGE.old"
}

put_old_version_back() {
    rm -rf "$PACKAGE.new"
    cp -a "$PACKAGE.old$PACKAGE" "$PACKAGE.new" && swap_package "$PACKAGE.new" "$PACKAGE.failed" || return 1
    for path in $(replaced ''); do rm -rf "$path"; done
    for path in $(replaced "$PACKAGE.old"); do copy "$PACKAGE.old" '' "$path" || return 1; done
    systemctl daemon-reload
    journalctl --update-catalog || true
}

# Since an upgrade began that is taken back: what the new version was not started for goes on as it was.
is_up_with_old_version() { # UNIT PID-BEFORE
    [ "$2" != 0 ] || return 0  # it was not up: systemd starts it again and again
    [ "$(main_pid "$1")" != "$2" ] || return 0
    say "starting $1 with the old version"
    instance=${1#main-scheduler}
    instance=${instance#@}
    # It may have come up with the new version, and have a run in progress. The old version may not know how to wait.
    # shellcheck disable=SC2086  # no argument at all if there is no instance
    if systemctl -q is-active "$1" && (cd "$PACKAGE.failed" && $PYTHON -Es -m sched_runner restart ${instance%.service})
    then return 0; fi
    systemctl restart "$1"
}

# However this script ends before all that was up is up again.
take_back() {
    status=$?
    trap - EXIT
    trap '' INT HUP TERM
    set +e
    say "the old version is put back"
    put_old_version_back || refuse "the old version cannot be put back; it lies in $PACKAGE.old"
    trap : INT HUP TERM  # for the commands they are not ignored: Ctrl-C ends the wait for a run
    down=
    for each in $were_up; do is_up_with_old_version "${each%=*}" "${each##*=}" || down="$down ${each%=*}"; done
    rm -rf "$PACKAGE.failed" "$PACKAGE.old"
    [ -z "$down" ] || refuse "the old version is back, but these are not up (systemctl status says why):$down"
    say "not upgraded: the old version is back, and what was up is up" >&2
    [ "$status" != 0 ] || status=1
    exit "$status"
}

begin() {
    umask 077  # who can open it can lock it
    exec 9>/run/main-scheduler-install.lock
    umask 022
    flock -w 10 9 || refuse "another install.sh is at work here: wait for its end, or interrupt it"
    were_up=$(for unit in $(units_that_are_up); do printf '%s=%s\n' "$unit" "$(main_pid "$unit")"; done)
    [ ! -e "$PACKAGE" ] || keep_old_version
    [ -e "$PACKAGE.old" ] || return 0
    trap 'exit 130' INT
    trap 'exit 129' HUP
    trap 'exit 143' TERM
    trap take_back EXIT
}

restart_what_is_up() {
    timeout 60 /usr/local/bin/main-scheduler --version >/dev/null || refuse "the new version does not work here"
    if [ $now = yes ]; then set -- --now; else set --; fi
    /usr/local/bin/main-scheduler restart --all "$@" || exit 1
}

were_up=
[ -n "$DESTDIR" ] || { check_host; begin; }
put_files
[ -z "$DESTDIR" ] || exit 0
tell_system
warn_of_link_local_name_server
restart_what_is_up
trap - EXIT INT HUP TERM
rm -rf "$PACKAGE.old"
say "installed. To start it now and at every boot: systemctl enable --now main-scheduler"
