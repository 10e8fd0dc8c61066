#!/bin/sh
# Prepares what is missing, and runs the tests. See --help.
set -eu

usage() {
    cat <<TEXT
usage: $0 [TIER...]
       $0 --soak
Prepares what is missing and runs these tiers of the tests, or all of them:
    lint      linters, type checker, alert rules
    unit      no process
    process   the real command with real children
    booted    a real systemd in containers, as root
    cluster   three of them with Pacemaker, as root
--soak: the tests that take long, and only those.
TEXT
}

for word in "$@"; do
    case $word in
        lint | unit | process | booted | cluster) ;;
        --soak) [ $# = 1 ] || { usage >&2; exit 2; } ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

cd "$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)"
venv=$PWD/.venv
packages="python3 python3-venv python3-apscheduler python3-systemd python3-dotenv ca-certificates procps shellcheck"
packages="$packages systemd scdoc groff-base zsh" # for calendars, man pages and completion

# The user's own Python and pip, language and umask must not change the tests. See also tests/conftest.py.
umask 022
for name in $(env | sed -n 's/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p') PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV; do
    unset "$name"
done
export LC_ALL=C.UTF-8 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONSAFEPATH=1 PATH="$PATH:/usr/sbin:/sbin"

# shellcheck source=deploy/apt.sh
. deploy/apt.sh

missing_packages() {
    # shellcheck disable=SC2086 # a list of words
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' $packages 2>&1 | grep -qv '^installed '
}

if ! command -v apt-get >/dev/null; then
    echo "$0: needs a Debian, for its packages and images" >&2
    exit 1
fi
if missing_packages; then
    # shellcheck disable=SC2086 # a list of words
    update_and_install $packages
fi

# The libraries are the newest releases of PyPI; the booted tests have those of the distributions. systemd-python comes
# from the distribution, because PyPI has it only as source.
if ! cmp -s tests/requirements.txt "$venv/requirements.txt" || [ ! -d "$venv/twine" ] ||
    ! "$venv/bin/python" -m pytest --version >/dev/null 2>&1
then
    echo "installing the tools of the tests into .venv"
    /usr/bin/python3 -m venv --clear --system-site-packages "$venv"
    "$venv/bin/python" -m pip install -q --upgrade -r tests/requirements.txt "APScheduler<4" python-dotenv
    # twine is in a directory of its own: some of what it needs would change how every Python of the tests starts.
    "$venv/bin/python" -m pip install -q --target "$venv/twine" "twine~=7.0"
    cp tests/requirements.txt "$venv/requirements.txt"
fi
# The tests use an installed package, which is built from the project's own files alone.
build=$venv/build
rm -rf "$build"
mkdir "$build"
cp -R pyproject.toml README.md LICENSE sched_runner "$build"
"$venv/bin/python" -m pip install -q --no-build-isolation --force-reinstall --no-deps "$build"

exec "$venv/bin/python" tests/support/tiers.py "$@"
