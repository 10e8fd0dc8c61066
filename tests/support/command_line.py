"""The command line as the parser of the command has it: what the man page and the completion must agree with."""

import argparse

from sched_runner import cli

PARSER = cli._parser()


def _subcommands():
    found = next(action for action in PARSER._actions if isinstance(action, argparse._SubParsersAction))
    listed = {action.dest for action in found._choices_actions}  # the others are for units and for install.sh
    return {name: parser for name, parser in found.choices.items() if name in listed}


SUBCOMMANDS = _subcommands()


def options(parser):
    """Each long option that the help shows, and the name of its value, if it takes one."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return {
        name: "" if action.nargs == 0 else action.metavar or action.dest.upper()
        for action in shown
        for name in action.option_strings
        if name.startswith("--")
    }


def operands(parser):
    """The names of what it takes without an option, in capitals."""
    return [
        (action.metavar or action.dest).upper()
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
    ]
