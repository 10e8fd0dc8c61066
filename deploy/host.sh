# shellcheck shell=sh
# For install.sh and uninstall.sh: how they speak, and what both ask of the host before they begin.

unset POSIXLY_CORRECT  # with it, systemctl takes an option behind a word for a unit

trap '' PIPE  # if nobody reads what the script says, the work goes on
say() { printf '%s\n' "${0##*/}: $*" 2>/dev/null || true; }
refuse() { printf '%s\n' "${0##*/}: $*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || refuse "must be run by root: sudo $0"; }

# The files of a package lie where those of PREFIX=/usr lie, but a package has no list of them there.
refuse_beside_a_package() {
    [ ! -e /usr/lib/systemd/system/main-scheduler.service ] || [ -e /usr/lib/main-scheduler/files ] ||
        refuse "main-scheduler is installed as a package: take that away by its own means: apt remove main-scheduler"
}

# Until the end of the script. Nobody removes the file of the lock: who waits for it would wait for another one.
lock_out_others() {
    (umask 077 && : >>/run/main-scheduler-install.lock)  # whoever can open the file can lock it
    exec 9</run/main-scheduler-install.lock
    flock -w 10 9 || refuse "another install.sh or uninstall.sh is at work here: wait for its end, or interrupt it"
}
