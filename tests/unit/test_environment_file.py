import io
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from sched_runner.settings import environment_file
from sched_runner.settings.environment_file import Content


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("env") / "main-scheduler"


def read(path: Path, text: str) -> Content:
    path.write_bytes(text.encode())
    return environment_file.read(path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b", "b"),
        ("  A\t=\tb  ", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ('A="b c"', "b c"),
        ("A=' b '", " b "),
        ('A="it\'s"', "it's"),
        ("A='say \"b\"'", 'say "b"'),
        ("A=it's", "it's"),
        ('A={"hours": 7}', '{"hours": 7}'),
        ("A='{\"hours\": 7}'", '{"hours": 7}'),
        ("A=$HOME", "$HOME"),
        ("A=${HOME}", "${HOME}"),
        ("A=grün 日本", "grün 日本"),
        ("A=", ""),
        ("A=''", ""),
        ("A=   ", ""),
        ("A=b=c", "b=c"),
        ("A=b;c", "b;c"),
    ],
)
def test_what_both_readers_read_alike_is_accepted(path, line, value):
    assert read(path, f"{line}\n")[:2] == ({"A": value}, [])


@pytest.mark.parametrize("line", ["", "   ", "# comment", "  # A=b", "#"])
def test_a_line_that_says_nothing_gives_nothing(path, line):
    assert read(path, f"{line}\n") == ({}, [], [])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A=b # comment", "comment on a line of its own"),
        ("A=b\t# comment", "comment on a line of its own"),
        ("A=#b", "comment on a line of its own"),
        ("A='b' # comment", "one pair of quotes round the whole value"),
        ("export A=b", "leave out export"),
        ("export\tA=b", "leave out export"),
        ("export =b", "leave out export"),
        ("A=b\\tc", "backslash"),
        ("A='b\\'c'", "backslash"),
        ("A=b\\", "backslash"),
        ("# comment \\", "swallows the next line"),
        ("A='b", "one pair of quotes round the whole value"),
        ("A='", "one pair of quotes round the whole value"),
        ("A=\"b'", "one pair of quotes round the whole value"),
        ("A='b'c", "one pair of quotes round the whole value"),
        ("A='b''c'", "between its quotes"),
        ("A='b'\"c\"", "one pair of quotes round the whole value"),
        ('A="b" "c"', "between its quotes"),
        ("A", "is not NAME=value"),
        ("; comment", "is not NAME=value"),
        ("9A=b", "is no name"),
        ("A-B=c", "is no name"),
        ("A B=c", "is no name"),
        ("Ä=b", "is no name"),
        ("=b", "is no name"),
        ("'A'=b", "is no name"),
        ("# comment\rA=b", "control character"),
        ("A=b\x1b[0m", "control character"),
        ("\ufeffA=b", "control character"),
        ("A=b\u2028c", "control character"),
    ],
)
def test_what_the_readers_read_differently_is_refused_with_file_and_line(path, line, why):
    values, (fault,), _ = read(path, f"FIRST=1\n{line}\nLAST=3\n")
    assert values == {"FIRST": "1", "LAST": "3"}
    assert fault.startswith(f"{path}:2: ")
    assert why in fault


def test_every_faulty_line_is_told(path):
    _, faults, _ = read(path, "A\nB=1\nexport C=2\n")
    assert [fault.split(": ")[0] for fault in faults] == [f"{path}:1", f"{path}:3"]


def test_of_two_values_for_a_name_the_last_counts(path):
    assert read(path, "A=1\nA=2\n") == ({"A": "2"}, [], [])


def test_the_last_line_needs_no_newline(path):
    assert read(path, "A=1\nB=2") == ({"A": "1", "B": "2"}, [], [])


def test_a_file_that_is_not_there_is_a_fault(tmp_path):
    assert environment_file.read(tmp_path / "none").faults == [
        f"{tmp_path}/none cannot be read: No such file or directory"
    ]


def test_a_file_that_is_not_utf_8_is_a_fault(tmp_path):
    (tmp_path / "latin").write_bytes(b"A=gr\xfcn\n")
    assert environment_file.read(tmp_path / "latin") == ({}, [f"{tmp_path}/latin is not in UTF-8"], [])


def as_systemd_reads(text: str) -> dict[str, str]:
    """A model of systemd.exec(5), EnvironmentFile=; in version 252 a backslash joins lines of comments too."""
    values = {}
    for line in text.replace("\\\n", "").split("\n"):
        name, equals, rest = line.strip(" \t").partition("=")
        if not equals or name[:1] in ("#", ";"):
            continue
        value, rest = "", rest.strip(" \t")
        while rest[:1] in ("'", '"') and rest:  # quoted parts stand side by side
            part, _, rest = rest[1:].partition(rest[0])
            value, rest = value + part, rest.strip(" \t")
        values[name.rstrip(" \t")] = value + rest
    return values


_VALUES = st.text(alphabet="ab \t\"'#$={};:,\\é日", max_size=8)
_NAMES = st.sampled_from(["A", "A ", "\tA", "_a9", "export", "export ", "export A", "#A", ";A", "A B"])
_LINES = st.one_of(
    st.builds("{}={}".format, _NAMES, _VALUES),
    st.builds("{}={}{}{}".format, _NAMES, st.sampled_from("'\""), _VALUES, st.sampled_from("'\"")),
    st.builds("{}{}".format, st.sampled_from("#;A"), _VALUES),
    st.text(max_size=12),
)


@given(lines=st.lists(_LINES, min_size=1, max_size=4))
@example(lines=["# C:\\", "A=1"])
@example(lines=["export =b"])
@example(lines=["A='b'", "'"])
def test_whatever_is_accepted_both_readers_read_alike(path, lines):
    accepted = [line for line in lines if not read(path, line).faults]
    text = "\n".join([*accepted, "LAST=1"])
    values, faults, _ = read(path, text)
    assert faults == []
    assert values == dotenv_values(stream=io.StringIO(text), interpolate=False)
    assert values == as_systemd_reads(text)
