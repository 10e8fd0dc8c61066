"""What main.py writes is in scheduler.log: all of it, in order, soon, whatever it is, in little memory."""

import os
import time

import pytest
from harness import Site, joined, wait_until

NEVER = {"SCHED_INTERVAL": "1h", "SCHED_TIMEOUT": "10min"}

# The log keeps 6 MB: this takes each file of it as it is rotated away, before the next one is.
COLLECT = """
    import faults, os
    def collect(original, source, target):
        if str(source).endswith("scheduler.log"):
            with open(source, "rb") as file, open("collected", "ab") as out:
                out.write(file.read())
        return original(source, target)
    faults.wrap("os:rename", collect)
"""


def collected(site: Site) -> bytes:
    """All that ever was in scheduler.log."""
    path = site.path / "collected"
    return (path.read_bytes() if path.exists() else b"") + (site.own / "scheduler.log").read_bytes()


def test_a_line_is_in_the_file_within_a_second_without_more_output_after_it(site: Site) -> None:
    site.main("import time; print('whole'); print(time.monotonic(), file=open('times', 'w')); time.sleep(60)")
    site.start(**NEVER)
    wait_until(lambda: site.output() == b"whole\n")
    assert time.monotonic() - wait_until(site.times)[0] < 1


def test_a_partial_line_is_in_the_file_within_a_second(site: Site) -> None:
    site.main("import time; print('50 %', end=''); print(time.monotonic(), file=open('times', 'w')); time.sleep(60)")
    site.start(**NEVER)
    wait_until(lambda: b"50 %" in site.output())
    assert time.monotonic() - wait_until(site.times)[0] < 1.2


def test_a_line_written_in_slow_parts_joins_back_to_one(site: Site) -> None:
    site.main("import time\nfor n in range(4): print(n, end=' '); time.sleep(0.7)\nprint('end')\nprint('next')")
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"0 1 2 3 end\nnext\n"


def test_a_last_line_without_newline_is_kept(site: Site) -> None:
    site.main("print('a'); print('b', end='')")
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"a\nb\n"


def test_what_was_printed_just_before_a_kill_is_kept(site: Site) -> None:
    site.main("import os, signal; print('last words'); os.kill(os.getpid(), signal.SIGKILL)")
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"last words\n"


def test_empty_lines_blanks_and_tabs_stay(site: Site) -> None:
    site.main("print('\\n\\n a \\t b  \\n\\n<3>c')")
    site.start(**NEVER)
    site.await_runs()
    assert site.output() == b"\n\n a \t b  \n\n<3>c\n"


def test_binary_nuls_and_escape_sequences_are_shown_escaped_one_line_each(site: Site) -> None:
    site.main(
        r"""
        import os
        os.write(1, b"nul \0 bell \a esc \x1b[31mred\x1b[0m\n")
        os.write(1, b"broken \xff\xfe \xc3( utf8 \xc3\xa9\n")
        os.write(1, b"c1 \xc2\x9b31m cr \r back \\x41\n")
        os.write(1, bytes(range(256)) + b"\n")
        """
    )
    site.start(**NEVER)
    site.await_runs()
    lines = site.output().decode().split("\n")
    assert lines[:3] == [
        r"nul \x00 bell \x07 esc \x1b[31mred\x1b[0m",
        r"broken \xff\xfe \xc3( utf8 é",
        r"c1 \xc2\x9b31m cr \r back \x41",
    ]
    assert all(char.isprintable() or char == "\t" for char in "".join(lines))
    for byte in (*range(10), *range(11, 32), *range(127, 256)):
        if byte not in b"\t\r":
            assert rf"\x{byte:02x}" in lines[3] + lines[4]


def test_each_line_says_its_run_and_its_channel(site: Site) -> None:
    site.main("import os, sys; print('out', os.environ['SCHED_RUN']); print('err', file=sys.stderr)")
    site.start(SCHED_INTERVAL="300ms")
    site.await_runs(3)
    for run in (1, 2, 3):
        assert site.output("stdout", run) == b"out %d\n" % run
        assert site.output("stderr", run) == b"err\n"


def test_nothing_is_lost_or_reordered_within_a_channel_when_both_are_busy(site: Site) -> None:
    site.main(
        """
        import os, random
        random.seed(4711)
        for channel in (1, 2):
            if os.fork() == 0:
                for number in range(20000):
                    os.write(channel, b"%d %s\\n" % (number, b"." * random.randrange(80)))
                os._exit(0)
        os.wait(), os.wait()
        """
    )
    site.start(**NEVER)
    site.await_runs()
    for channel in ("stdout", "stderr"):
        numbers = [int(line.split()[0]) for line in site.output(channel).splitlines()]
        assert numbers == list(range(20000)), channel


def test_output_of_random_bytes_sizes_and_pauses_comes_back_whole(site: Site) -> None:
    site.main(
        """
        import os, random, time
        random.seed(1)
        letters = [chr(c) for c in (*range(0x20, 0x7f), *range(0xa0, 0x250), 0x20ac, 0x1f600)] + ["\\n"] * 9
        text = "".join(random.choices(letters, k=400000)).encode() + b"\\n"
        open("written", "wb").write(text)
        while text:
            size = random.choice((1, 7, 500, 65536))
            os.write(1, text[:size])
            text = text[size:]
            if random.random() < 0.005:
                time.sleep(0.02)
        """
    )
    site.start(**NEVER)
    assert site.await_runs(deadline=40)[0]["outcome"] == "succeeded"
    written = (site.path / "written").read_bytes()
    # Escaped are only the control characters U+0080 to U+009F, which are not among these letters.
    assert site.output() == written


def test_a_line_of_100_mb_is_kept_in_marked_pieces_in_flat_memory(site: Site) -> None:
    site.main(
        """
        import os
        block = bytes(range(0x61, 0x7b)) * 4000
        written = 0
        while written < 100_000_000:
            written += os.write(1, block)
        print()
        print("after", written)
        """
    )
    site.start(patch=COLLECT, **NEVER)
    run = site.await_runs(deadline=60)[0]
    assert run["outcome"] == "succeeded"
    log = collected(site)
    assert max(len(line) for line in log.split(b"\n")) < 48 * 1024
    lines = joined(log).split(b"\n")
    assert [len(line) for line in lines[1:]] == [len(lines[1]), 0]
    assert lines[1] == b"after %d" % len(lines[0])


def flat_memory(site: Site, size: int) -> None:
    site.main("")
    scheduler = site.start(SCHED_INTERVAL="1h", SCHED_TIMEOUT="1h")
    site.await_runs(1)
    scheduler.reset_peak()
    idle = scheduler.kib("VmHWM")
    site.main(
        f"""
        import os
        block = b"".join(b"%07d " % n + b"y" * 91 + b"\\n" for n in range(10000))
        written = 0
        while written < {size}:
            written += os.write(1, block)
        """
    )
    site.ask_for_a_run(scheduler)
    assert site.await_runs(2, deadline=600)[1]["outcome"] == "succeeded"
    assert scheduler.kib("VmHWM") - idle < 8 * 1024
    assert (site.own / "scheduler.log").stat().st_size < 1024 * 1024
    assert (site.own / "scheduler.log.5").stat().st_size < 1024 * 1024
    assert not (site.own / "scheduler.log.6").exists()


def test_1_gb_of_output_raises_the_peak_memory_by_less_than_8_mib(site: Site) -> None:
    flat_memory(site, 1_000_000_000)


@pytest.mark.soak
def test_20_gb_of_output_raise_the_peak_memory_by_less_than_8_mib(site: Site) -> None:
    flat_memory(site, 20_000_000_000)


def test_a_100_mb_line_raises_the_peak_memory_by_less_than_8_mib(site: Site) -> None:
    site.main("")
    scheduler = site.start(**NEVER)
    site.await_runs(1)
    scheduler.reset_peak()
    idle = scheduler.kib("VmHWM")
    site.main("import os\nfor n in range(1000): os.write(1, b'z' * 100_000)")
    site.ask_for_a_run(scheduler)
    site.await_runs(2, deadline=60)
    assert scheduler.kib("VmHWM") - idle < 8 * 1024


def test_a_megabyte_of_lines_is_rotated_and_not_one_is_lost_or_doubled(site: Site) -> None:
    site.main("for n in range(100000): print(n, 'x' * 100)")
    site.start(patch=COLLECT, **NEVER)
    site.await_runs(deadline=60)
    numbers = [int(line.split()[0]) for line in joined(collected(site)).splitlines()]
    assert numbers == list(range(100000))
    sizes = [path.stat().st_size for path in site.own.glob("scheduler.log*")]
    assert len(sizes) == 6
    assert max(sizes) < 1024 * 1024


def test_a_terminal_that_nobody_reads_blocks_main_py_for_5_seconds_at_most(site: Site) -> None:
    reader, writer = os.pipe()
    site.main("for n in range(20000): print(n)")
    scheduler = site.start(options={"stdout": writer}, **NEVER)
    os.close(writer)
    run = site.await_runs(deadline=30)[0]
    assert run["outcome"] == "succeeded"
    assert run["duration"] < 8
    assert site.output() == b"".join(b"%d\n" % n for n in range(20000))
    assert scheduler.stop() == 0
    os.close(reader)


def test_a_terminal_that_goes_away_ends_nothing(site: Site) -> None:
    reader, writer = os.pipe()
    site.main("print('x')")
    scheduler = site.start(options={"stdout": writer}, SCHED_INTERVAL="300ms")
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    before = len(site.runs())
    site.await_runs(before + 3)
    assert set(site.outcomes()) == {"succeeded"}
    assert scheduler.stop() == 0
