# shellcheck shell=sh
# apt-get for scripts, as root or by sudo: it asks nothing, and waits for another apt-get that is at work.

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || sudo -v; }; }; }

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

# DPkg::Lock::Timeout is not for the lock of the lists, which apt-daily.service takes soon after a boot.
update_lists() {
    for _ in $(seq 60); do
        if said=$(apt_get update 2>&1); then return 0; fi
        case $said in *lists/lock*) sleep 5 ;; *) break ;; esac
    done
    printf '%s\n' "$said" >&2
    return 1
}

install_packages() { # NAME...
    apt_get install -y --no-install-recommends "$@" >/dev/null
}

# For a script that anybody may call.
update_and_install() { # NAME...
    if ! can_be_root; then
        echo "$0: missing packages, and neither root nor sudo to install them. Have this done:" >&2
        echo "    apt-get install $*" >&2
        exit 1
    fi
    echo "installing $*"
    update_lists
    install_packages "$@"
}
