# shellcheck shell=sh
# Removes accounts and data, for uninstall.sh --purge and for the purge of the package: both have stopped the services
# before. $left names what cannot be removed.
left=

tell() { [ ! -d /run/systemd/system ] || "$@" 2>/dev/null || true; } # COMMAND...

remove_empty() { # DIRECTORY...
    rmdir --ignore-fail-on-non-empty -- "$@" 2>/dev/null || true
}

# First ends the processes of the account outside of its services, because userdel refuses as long as there are any.
purge_account() { # NAME
    if getent passwd "$1" >/dev/null; then
        uid=$(id -u "$1")
        tell loginctl disable-linger "$1"
        rm -f "/var/lib/systemd/linger/$1"
        tell loginctl terminate-user "$1"
        tell systemctl stop "user@$uid.service" "user-$uid.slice"
        gpasswd --members '' "$1" 2>/dev/null || true # or userdel says that it keeps the group, which is removed below
        userdel "$1" || left="$left account:$1"
    fi
    # userdel keeps the group if others have joined it.
    if getent group "$1" >/dev/null; then groupdel "$1" || left="$left group:$1"; fi
    rm -f "/var/mail/$1"
}

# Removes the account main-scheduler, and those of instances that have a user of their own.
purge_accounts() {
    # A mail of the last alert may still be on its way out.
    tell systemctl kill --signal=KILL 'main-scheduler-alert*.service'
    for drop_in in /etc/systemd/system/main-scheduler@*.service.d/own-user.conf; do
        [ -e "$drop_in" ] || continue
        instance=${drop_in#*@}
        purge_account "main-scheduler-${instance%.service.d/own-user.conf}"
    done
    purge_account main-scheduler
}

purge_data() {
    for directory in /var/log/main-scheduler /var/log/main-scheduler@* \
        /var/lib/main-scheduler /var/lib/main-scheduler@* /var/lib/main-scheduler-alert /var/lib/main-scheduler-alert@*; do
        [ ! -L "$directory" ] || say "left, for the link to it was yours: $(readlink "$directory")"
        rm -rf "$directory" || left="$left $directory"
    done
    rm -rf /etc/systemd/system/main-scheduler.service.d /etc/systemd/system/main-scheduler@*.service.d \
        /etc/systemd/system/main-scheduler-alert*.d /etc/systemd/system.control/main-scheduler*.d /etc/main-scheduler
    remove_empty /etc/systemd/system.control
    rm -f /etc/default/main-scheduler /etc/default/main-scheduler@* /etc/logrotate.d/main-scheduler
    find /etc/systemd/system -type l -name 'main-scheduler*' -delete
    remove_empty /opt/main-scheduler
    tell systemctl daemon-reload
    [ ! -e /opt/main-scheduler ] || say "left, for it is yours: /opt/main-scheduler"
}
