#!/bin/sh
# Puts what the list "files" names below DESTDIR/PREFIX: for install.sh and for packages, which do the rest.
#   DESTDIR=root PREFIX=/usr ./deploy/stage.sh
set -euf
umask 022
export LC_ALL=C

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=${PREFIX:-/usr/local}
PREFIX=${PREFIX%/}
: "${DESTDIR:?is the directory that the files go to}"

# All sources have /usr/local as their prefix. Python files need no other one: they find their place by themselves.
with_prefix() {
    case $1 in
        *.py) cat ;;
        *) sed "s|/usr/local/|$PREFIX/|g" ;;
    esac
}

content() { # SOURCE TARGET
    case $1=$2 in
        *.scd=*) scdoc ;;
        *@.*=*@.*) cat ;;
        *main-scheduler.service=*/main-scheduler.service) sed 's|/%i/|/|' ;;
        *@.*=*) sed -e '/^# Installed twice/d' -e 's/@%i//; s/ %i$//' ;;
        *) cat ;;
    esac
}

put() { # MODE SOURCE TARGET
    case $3 in
        /*) target=$DESTDIR$3 ;;
        *) target=$DESTDIR$PREFIX/$3 ;;
    esac
    [ -r "$source/$2" ] || { echo "stage.sh: cannot read $source/$2" >&2; exit 1; }
    mkdir -p "${target%/*}"
    with_prefix "$2" <"$source/$2" | content "$2" "$3" >"$target"
    chmod "$1" "$target"
}

put_all() { # MODE FOLDER PATTERN TARGET/
    [ -d "$source/$2" ] || return 0
    case $3 in *.scd) command -v scdoc >/dev/null || return 0 ;; esac
    (cd "$source/$2" && find . -type f -name "$3") | while read -r file; do
        file=${file#./}
        put "$1" "$2/$file" "$4${file%.scd}"
    done
}

sed '/^#/d; /^$/d' "$source/deploy/files" | while read -r mode from to; do
    case $to in
        */) put_all "$mode" "${from%/*}" "${from##*/}" "$to" ;;
        *) put "$mode" "$from" "$to" ;;
    esac
done
