#!/bin/sh
# Installs or removes main-scheduler for one user and his own service manager, for install.sh and uninstall.sh --user.
set -eu

usage() {
    cat <<'TEXT'
Usage: ./deploy/install.sh --user
       ./deploy/uninstall.sh --user [--purge]

Installs main-scheduler below ~/.local, as a service of your own service manager
(systemctl --user), or takes it away. No root is needed, and nothing outside of
your home is touched. Settings, script, logs and state are never overwritten, and
stay when it is taken away.

  --purge   remove settings, logs and state too, the sample only if unchanged

Then: systemctl --user enable --now main-scheduler
TEXT
}

unset POSIXLY_CORRECT  # with it, systemctl takes an option behind a word for a unit

say() { printf '%s\n' "main-scheduler: $*"; }
refuse() { printf '%s\n' "main-scheduler: $*" >&2; exit 1; }

action=${1:-} purge=no
[ $# = 0 ] || shift
for argument in "$@"; do
    case $action=$argument in
        *=--user) ;;
        remove=--purge) purge=yes ;;
        *=--help | *=-h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=$HOME/.local
export PREFIX
PACKAGE=$PREFIX/lib/main-scheduler
UNITS=$PREFIX/share/systemd/user
SCRIPT=$PREFIX/share/main-scheduler/main.py
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
umask 077

# shellcheck source=deploy/needs.sh
. "$source/deploy/needs.sh"

# The directory in which the service manager looks, whatever variables this shell has set.
folder() { # NAME DEFAULT
    path=$(systemctl --user show-environment | sed -n "s|^$1=/|/|p")
    echo "${path:-$2}"
}

check_manager() {
    [ -O "$HOME" ] || refuse "$HOME is not the home of $(id -un): call this as the user whose it is"
    systemctl --user show-environment >/dev/null 2>&1 ||
        refuse "your service manager does not answer: log in as $(id -un), or have this done first: sudo loginctl enable-linger $(id -un)"
    CONFIG=$(folder XDG_CONFIG_HOME "$HOME/.config")
    STATE=$(folder XDG_STATE_HOME "$PREFIX/state")
}

check_host() {
    case $PREFIX in *[!A-Za-z0-9/._-]*) refuse "$HOME has a character in it that a unit file cannot name" ;; esac
    missing=$(missing_packages)
    [ -z "$missing" ] || refuse "missing here; have this done first: sudo apt-get install ${missing% }"
    python_is_new_enough || refuse "$PYTHON is older than 3.11"
}

# Only if nothing is there yet: a link that leads nowhere is something, too.
put_once() { # MODE FILE TARGET
    if [ -e "$3" ] || [ -L "$3" ]; then return 0; fi
    install -D -m "$1" "$2" "$3"
}

remove_listed() { # the files of the installed version outside of the package
    [ ! -e "$PACKAGE/files" ] || while read -r file; do rm -f "$file"; done <"$PACKAGE/files"
}

put_files() {
    new=$PACKAGE.new
    rm -rf "$new"
    DESTDIR=$new "$source/deploy/stage.sh"
    $PYTHON -I -m compileall -q -s "$new" "$new$PACKAGE"
    remove_listed
    [ ! -e "$PACKAGE" ] || mv "$PACKAGE" "$new/gone"
    mv "$new$PACKAGE" "$PACKAGE"
    (cd "$new" && find ".$PREFIX/bin" ".$PREFIX/share/man" ".$PREFIX/share/bash-completion" ".$PREFIX/share/doc" -type f 2>/dev/null) |
        while read -r file; do
            install -D -m "$(stat -c %a "$new/$file")" "$new/$file" "${file#.}"
            echo "${file#.}"
        done >"$PACKAGE/files"
    for unit in "$new$PREFIX"/lib/systemd/user/*; do
        install -D -m 0644 "$unit" "$UNITS/${unit##*/}"
        echo "$UNITS/${unit##*/}" >>"$PACKAGE/files"
    done
    sed -i "s|systemctl reload|systemctl --user reload|; s|/opt/main-scheduler/main.py|$SCRIPT|" "$new/etc/default/main-scheduler"
    put_once 0600 "$new/etc/default/main-scheduler" "$CONFIG/main-scheduler.env"
    put_once 0755 "$source/deploy/main.py" "$SCRIPT"
    rm -rf "$new"
}

up() { systemctl --user list-units --plain --no-legend --state=active,activating,reloading 'main-scheduler*.service' | cut -d ' ' -f 1; }

install_it() {
    check_host
    put_files
    systemctl --user daemon-reload
    say "installed below $PREFIX; settings: $CONFIG/main-scheduler.env; script: $SCRIPT"
    for unit in $(up); do
        say "$unit still runs the version before; to restart it, which interrupts a run in progress: systemctl --user restart $unit"
    done
    command -v scdoc >/dev/null || say "no man pages, for scdoc is not there: have it installed, and call install.sh --user again"
    command=main-scheduler
    case :$PATH: in
        *:"$PREFIX/bin":*) ;;
        *)
            command=$PREFIX/bin/main-scheduler
            say "$PREFIX/bin is not in your PATH yet: log in anew, or add it"
            ;;
    esac
    [ -e "/var/lib/systemd/linger/$(id -un)" ] ||
        say "it runs only while you are logged in; for always: sudo loginctl enable-linger $(id -un)"
    start="systemctl --user enable --now main-scheduler; then: "
    if systemctl --user -q is-enabled main-scheduler 2>/dev/null && systemctl --user -q is-active main-scheduler; then
        start=
    fi
    say "next: $start$command --user status"
}

remove_it() {
    said="removed"
    [ -e "$PACKAGE" ] || [ -e "$UNITS/main-scheduler.service" ] || said="no installation was found below $PREFIX"
    case $purge=$said in yes=no*) said="$said; what one had left is removed" ;; esac
    for unit in $(up) main-scheduler.service; do systemctl --user -q disable --now "$unit" 2>/dev/null || true; done
    systemctl --user -q disable main-scheduler@.service 2>/dev/null || true
    systemctl --user reset-failed 'main-scheduler*' 2>/dev/null || true
    remove_listed
    rm -rf "$PACKAGE" "$PACKAGE".* "$PREFIX/share/doc/main-scheduler"
    if [ $purge = yes ]; then
        if cmp -s "$SCRIPT" "$source/deploy/main.py"; then rm -f "$SCRIPT"; fi
        rm -f "$CONFIG"/main-scheduler.env "$CONFIG"/main-scheduler@*.env
        for base in "$STATE" "$CONFIG"; do
            rm -rf "$base"/main-scheduler "$base"/main-scheduler@* "$base"/log/main-scheduler "$base"/log/main-scheduler@*
        done
        rmdir --ignore-fail-on-non-empty "${SCRIPT%/*}" "$STATE/log" "$CONFIG/log" 2>/dev/null || true
        [ ! -e "${SCRIPT%/*}" ] || say "left, for it is yours: ${SCRIPT%/*}"
    else
        say "settings, script, logs and state stay; uninstall.sh --user --purge removes all but a script of yours"
    fi
    for directory in bash-completion/completions bash-completion doc man/man5 man/man8 man systemd/user systemd; do
        rmdir --ignore-fail-on-non-empty "$PREFIX/share/$directory" 2>/dev/null || true
    done
    rmdir --ignore-fail-on-non-empty "$PREFIX/lib" "$CONFIG/systemd/user" "$CONFIG/systemd" 2>/dev/null || true
    systemctl --user daemon-reload
    say "$said"
}

check_manager
case $action in
    install) install_it ;;
    remove) remove_it ;;
    *) usage >&2; exit 2 ;;
esac
