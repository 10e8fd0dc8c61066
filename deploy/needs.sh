# shellcheck shell=sh
# What the installed command needs, for install.sh and user.sh: the distribution's Python and three libraries.
PYTHON=/usr/bin/python3

python_is_new_enough() { $PYTHON -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The names of the distribution's packages that are not there yet.
missing_packages() {
    [ -x $PYTHON ] || printf 'python3 '
    for pair in apscheduler:python3-apscheduler systemd.journal:python3-systemd dotenv:python3-dotenv; do
        $PYTHON -I -c "import ${pair%%:*}" 2>/dev/null || printf '%s ' "${pair##*:}"
    done
}
