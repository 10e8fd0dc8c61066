#!/bin/sh
# Installs what the booted and the cluster tests need on this host, where it is missing and apt is there.
set -eu

missing=
for pair in systemd-nspawn:systemd-container mmdebstrap:mmdebstrap nsenter:util-linux ip:iproute2; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
[ -f /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "prepare.sh: missing for the booted and the cluster tests:$missing" >&2
    exit 1
fi
# shellcheck source=deploy/apt.sh
. "$(dirname -- "$0")/../../deploy/apt.sh"
# shellcheck disable=SC2086  # a list of words
update_and_install $missing
