"""What bash and zsh offer at a TAB is what the parser takes."""

import os
import subprocess
from pathlib import Path

import pytest
from command_line import PARSER, SUBCOMMANDS, operands, options

FOLDER = Path(__file__).parents[2] / "deploy/completion"
# The shell calls the function with the command, the word that is begun, and the word before it.
BASH = """
source "$0"
[ "$(complete -p main-scheduler)" = 'complete -F _main_scheduler main-scheduler' ] || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_main_scheduler main-scheduler "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# In place of zsh's own, which works only while somebody types.
ZSH = """
setopt extended_glob
file=$0
compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }
_files() { }
words=("$@") CURRENT=$#
complete() { source $file }
complete
"""


@pytest.fixture(params=["bash", "zsh"])
def complete(request, tmp_path):
    """Gives what the shell offers for the last of these words, on a host with two instances."""
    shell, file = {"bash": (["bash", "--norc"], "main-scheduler.bash"), "zsh": (["zsh", "-f"], "_main-scheduler")}[
        request.param
    ]
    (tmp_path / "default").mkdir()
    for name in ("main-scheduler", "main-scheduler@mails", "main-scheduler@reports", "main-scheduler@reports~"):
        (tmp_path / "default" / name).touch()
    (tmp_path / "script.py").touch()
    text = (FOLDER / file).read_text().replace("/etc/default", str(tmp_path / "default"))
    (tmp_path / file).write_text(text)
    code = BASH if request.param == "bash" else ZSH

    def offered(*words, **changed):
        command = [*shell, "-c", code, tmp_path / file, "main-scheduler", *words]
        env = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": ""} | changed
        ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        return sorted(ended.stdout.split())

    return offered


def test_commands_and_options_are_offered(complete):
    assert complete("") == sorted([*SUBCOMMANDS, *options(PARSER)])


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_options_and_instances_of_a_command_are_offered(command, complete):
    parser = SUBCOMMANDS[command]
    instances = ["mails", "reports"] if "INSTANCE" in operands(parser) or command == "remove" else []
    assert complete(command, "") == sorted([*options(parser), *instances])


def test_what_is_begun_is_completed(complete):
    assert complete("st") == ["status"]
    assert complete("status", "re") == ["reports"]
    assert complete("status", "--json", "--h") == ["--help", "--here"]


def test_nothing_is_offered_for_a_time(complete):
    assert complete("history", "--since", "") == []


def test_with_user_the_instances_are_those_of_the_user(complete, tmp_path):
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config/main-scheduler@mine.env").touch()
    assert complete("--user", "st") == ["status"]
    assert complete("--user", "status", "") == sorted([*options(SUBCOMMANDS["status"]), "mine"])
    (tmp_path / "con fig").mkdir()
    (tmp_path / "con fig/main-scheduler@moved.env").touch()
    assert complete("--user", "status", "m", XDG_CONFIG_HOME=f"{tmp_path}/con fig") == ["moved"]
