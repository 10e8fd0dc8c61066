"""Why a run failed: the line of its output that says so, and the drop-in that helps if the sandbox is the cause."""

from collections.abc import Sequence


def error_line(lines: Sequence[str]) -> str:
    """The line of a run's last words on stderr that names the error: in a traceback that of the exception."""
    tracebacks = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if tracebacks:
        named = (line for line in lines[tracebacks[-1] + 1 :] if line and not line.startswith(" "))
        return next(named, "")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


_HINTS = (
    (("postdrop", "bin/sendmail", "sendmail:", "exim"), "sendmail.conf"),
    (("Read-only file system",), "write-beside-script.conf"),
    (("/home/", "/root/"), "venv-in-home.conf"),
    (("sandbox", "namespace"), "browser.conf"),
)


def sandbox_hint(text: str) -> str:
    """Names the drop-in that helps if the service's sandbox is the likely cause of ``text``, or nothing."""
    if not any(sign in text for sign in ("Read-only file system", "Permission denied", "not permitted")):
        return ""
    found = [file for signs, file in _HINTS if any(sign in text for sign in signs)]
    which = found[0] if found else "write-beside-script.conf"
    return f"the service's sandbox is a likely cause: the drop-in {which} relaxes it, see the README"
