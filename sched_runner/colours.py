"""Colours, for terminals alone (ECMA-48, SGR)."""

DIM, RED, GREEN, YELLOW = "\033[2m", "\033[31m", "\033[32m", "\033[33m"
_RESET = "\033[0m"


def painted(text: str, colour: str, *, coloured: bool) -> str:
    """The text in a colour, where ``coloured``."""
    return f"{colour}{text}{_RESET}" if coloured and colour else text
