"""What an installation leaves on a machine: files and accounts, before and after."""

import re

# What a package manager, systemd and a user database change by themselves, whoever uses them.
NOT_OURS = re.compile(
    r"/(proc|sys|dev|run|tmp|root|usr/src)/|/var/(tmp|cache|lib/apt|log/(apt|journal|wtmp|lastlog|btmp|dpkg))"
    r"|/etc/(passwd|group|shadow|gshadow)-?$|/etc/\.pwd\.lock$|/var/lib/systemd/"
)


def files(machine):
    """Type, mode, owner and path of all files."""
    lines = machine.run("find / -xdev -printf '%y %m %u:%g %p\\n'").stdout.splitlines()
    return sorted(line for line in lines if not NOT_OURS.search(line.split(" ", 3)[3]))


def users(machine):
    return machine.run("sort /etc/passwd /etc/group; sort /etc/shadow | cut -d : -f 1,2").stdout
