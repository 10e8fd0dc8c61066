#!/bin/sh
# Builds the Debian package of this checkout with the tools of the release that it runs on, and leaves it in dist/.
#   ./deploy/build-deb.sh
#   DEB_BUILD_OPTIONS=nocheck ./deploy/build-deb.sh     without the unit tests
# If root runs this script, the script installs what the build needs. If lintian is there, lintian must find nothing.
set -eu
umask 022

source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$source"
. deploy/apt.sh

is_prepared() { command -v dpkg-buildpackage >/dev/null && dpkg-checkbuilddeps -I; }

if ! is_prepared; then
    if [ "$(id -u)" != 0 ]; then
        echo "build-deb.sh: have this done, and call it again: sudo apt-get build-dep $source" >&2
        exit 1
    fi
    update_lists
    apt_get build-dep -y --no-install-recommends "$source"
fi

# The package is built elsewhere, so that nothing is left in the checkout.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT  # or sh ends without the other trap
trap 'exit 129' HUP
trap 'exit 143' TERM
mkdir "$work/main-scheduler"
tar -c -f "$work/source.tar" --exclude=./.?* --exclude=./dist --exclude=./build --exclude=./scheduler --exclude=__pycache__ .
tar -x -f "$work/source.tar" -C "$work/main-scheduler"
(cd "$work/main-scheduler" && dpkg-buildpackage --build=binary --no-check-builddeps --unsigned-source --unsigned-changes)
! command -v lintian >/dev/null || lintian --allow-root --fail-on=error,warning "$work"/*.changes
mkdir -p dist
cp "$work"/*.deb dist/
ls "$source"/dist/main-scheduler_"$(dpkg-parsechangelog -S Version)"_all.deb
