import io
import os
import threading
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


@pytest.mark.parametrize("text", ["A=1\r\n", "A=1\r\nB 2\r\n# C\r\n" * 100, "A=1\nB=2\r\n"])
def test_the_line_ends_of_windows_are_one_fault_however_many_there_are(path, text):
    wanted = f"{path} has the line ends of Windows; remove them: sed -i 's/\\r$//' {path}"
    assert read(path, text) == ({}, [wanted], [])


@pytest.mark.parametrize("text", ["\ufeffA=1\n", "\ufeff# comment\nA=1\n", "\ufeffA=1\r\n", "\ufeff"])
def test_a_byte_order_mark_is_one_fault_in_the_first_line(path, text):
    values, (fault,), _ = read(path, text)
    assert values == {}
    assert fault.startswith(f"{path}:1: begins with a byte order mark")


@pytest.mark.parametrize("line", ["A=b\r", "# comment\r", "\rA=b"])
def test_a_lone_carriage_return_is_a_control_character(path, line):
    _, (fault,), _ = read(path, f"{line}")
    assert fault == f"{path}:1: has a control character in it"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("PATH=$PATH:/opt/bin", "PATH"),
        ("PATH=/opt/bin:${PATH}", "PATH"),
        ("A=$A", "A"),
        ("A=${A}x", "A"),
        (" A = '$HOME/x'", "A"),
        ("A=$USER", "A"),
        ("A=$PWD", "A"),
        ("A=`date`", "A"),
        ("A=$(date)", "A"),
    ],
)
def test_what_looks_as_if_a_shell_would_expand_it_gets_a_warning_and_is_taken_as_it_stands(path, line, name):
    values, faults, warnings = read(path, f"FIRST=1\n{line}\n")
    assert values[name] == line.partition("=")[2].strip(" '")
    assert faults == []
    assert warnings == [
        f"{path}:2: {name} is used as it is written: systemd expands neither $ nor a backquote; write the final value"
    ]


@pytest.mark.parametrize("line", ["A=$5", "A=5$", "A=$HOMER", "A=US$", "A=a$b", "# PATH=$PATH", "A=$ PATH", "A.*=$b"])
def test_a_dollar_that_no_shell_would_expand_to_something_known_gets_no_warning(path, line):
    assert read(path, line).warnings == []


def test_a_faulty_line_gets_no_warning_besides(path):
    assert read(path, "PATH=$PATH # more\n").warnings == []


@pytest.mark.parametrize(
    ("text", "secret"), [("TOKEN=hush\\n", "hush"), ("TOKEN='hush", "hush"), ("TOKEN=hush # a", "hush")]
)
def test_a_fault_tells_no_value(path, text, secret):
    assert secret not in read(path, text).faults[0]


def test_a_file_of_1_mib_is_read_and_no_larger_one(path):
    line = "A=" + "x" * 1021 + "\n"
    assert read(path, line * 1024).faults == []
    assert read(path, line * 1024 + "B").faults == [f"{path} cannot be read: it is larger than 1 MiB"]


def test_a_directory_is_a_fault_and_costs_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    assert environment_file.read(tmp_path).faults == [f"{tmp_path} cannot be read: Is a directory"]
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("pipes", [True, False])
def test_a_device_is_a_fault(pipes):
    found = environment_file.read(Path("/dev/zero"), pipes=pipes)
    assert found.faults == ["/dev/zero cannot be read: it is not a regular file"]


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_fifo_is_read_only_when_there_is_time_for_it_and_never_waited_for_else(fifo):
    assert environment_file.read(fifo).faults == [f"{fifo} cannot be read: it is not a regular file"]


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_pipe_is_read_to_its_end(fifo, size):
    def write():
        fifo.write_text(f"A=1\nB={'x' * size}\n")

    writer = threading.Thread(target=write)
    writer.start()
    found = environment_file.read(fifo, pipes=True)
    writer.join()
    assert found == ({"A": "1", "B": "x" * size}, [], [])


@pytest.mark.parametrize("written", [None, b"A=1\n"])
def test_a_pipe_that_nobody_ends_is_given_up(fifo, written, monkeypatch):
    monkeypatch.setattr(environment_file, "_PIPE_LASTS", 0.05)
    writer = os.open(fifo, os.O_RDWR)
    if written:
        os.write(writer, written)
    (fault,) = environment_file.read(fifo, pipes=True).faults
    os.close(writer)
    assert "nobody has written to the end of this pipe" in fault


def test_the_name_of_the_file_is_shown_printably(tmp_path):
    (fault,) = environment_file.read(tmp_path / "a\x1b[2J\u202e").faults
    assert fault.isprintable()
