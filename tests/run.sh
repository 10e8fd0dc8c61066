#!/bin/sh
# Prepares what is missing, and runs all the tests. See --help.
set -eu

soak=
case ${1-} in
    "") ;;
    --soak) soak=yes ;;
    *)
        echo "usage: $0 [--soak]"
        echo "Linters, type checker, unit, process, booted and cluster tests; --soak: the tests that take long, and only those."
        [ "$1" = --help ]
        exit
        ;;
esac

cd "$(dirname "$0")/.."
venv=$PWD/.venv
packages="python3 python3-venv python3-apscheduler python3-systemd python3-dotenv ca-certificates procps shellcheck"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    # shellcheck disable=SC2086 # a list of words
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>&1 | grep -qv '^installed '
}

if ! command -v apt-get >/dev/null; then
    echo "$0: needs a Debian, for its packages and images" >&2
    exit 1
fi
if missing_packages; then
    if [ "$(id -u)" != 0 ] && ! { command -v sudo >/dev/null && sudo -v; }; then
        echo "$0: missing packages, and neither root nor sudo to install them. Have this done:" >&2
        echo "    apt-get install $packages" >&2
        exit 1
    fi
    as_root apt-get -q update
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $packages
fi

# The libraries of PyPI's newest releases; the booted tests have those of the distributions. systemd-python is the
# distribution's: PyPI has it only as a source.
[ -x "$venv/bin/pytest" ] || /usr/bin/python3 -m venv --clear --system-site-packages "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check --upgrade -r tests/requirements.txt "APScheduler<4" python-dotenv
"$venv/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps .
rm -rf build ./*.egg-info
# What is tested is what was installed.
unset PYTHONPATH PYTHONUNBUFFERED

if [ -n "$soak" ]; then
    exec "$venv/bin/pytest" -m soak tests/process
fi

"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy"
shellcheck deploy/*.sh tests/*.sh tests/*/*.sh
"$venv/bin/pytest" -m "not soak" tests/unit tests/process
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "$0: the booted and the cluster tests need root or sudo, and are left out"
    [ -z "${CI-}" ]
    exit
fi
as_root tests/booted/prepare.sh
as_root env ${CI:+CI="$CI"} "$venv/bin/pytest" tests/booted
as_root env ${CI:+CI="$CI"} "$venv/bin/pytest" tests/cluster
