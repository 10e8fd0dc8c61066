#!/bin/sh
# Puts what the list "files" names below DESTDIR/PREFIX: for install.sh and for packages, which do the rest.
#   DESTDIR=root PREFIX=/usr ./deploy/stage.sh
set -euf
umask 022
export LC_ALL=C

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PREFIX=${PREFIX:-/usr/local}
: "${DESTDIR:?is the directory that the files go to}"

# All sources have /usr/local for a prefix. What is Python finds its way by itself.
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
        *@.*=*) sed -e '/^# Installed twice/d' -e 's/@%i//; s/ %i$//' ;;
        *) cat ;;
    esac
}

put() { # MODE SOURCE TARGET
    case $3 in
        /*) target=$DESTDIR$3 ;;
        *) target=$DESTDIR$PREFIX/$3 ;;
    esac
    mkdir -p "${target%/*}"
    with_prefix "$2" <"$source/$2" | content "$2" "$3" >"$target"
    chmod "$1" "$target"
}

put_all() { # MODE FOLDER PATTERN TARGET/
    [ -d "$source/$2" ] || return 0
    (cd "$source/$2" && find . -type f -name "$3") | while read -r file; do put "$1" "$2/${file#./}" "$4${file#./}"; done
}

sed '/^#/d; /^$/d' "$source/deploy/files" | while read -r mode from to; do
    case $from=$to in
        *=*/) put_all "$mode" "${from%/*}" "${from##*/}" "$to" ;;
        *.scd=*) [ ! -e "$source/$from" ] || ! command -v scdoc >/dev/null || put "$mode" "$from" "$to" ;;
        *) [ ! -e "$source/$from" ] || put "$mode" "$from" "$to" ;;
    esac
done
