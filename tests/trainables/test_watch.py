"""A worker that stands still is ended, one that goes on is not; and what a stage has done is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from trainables import watch
from trainables.watch import STALLED, Counts, Watch, beat, beating, counts, work

TIMEOUT = 1.0
"""Seconds that the processes below may do no batch."""

BEGIN = f"""
import sys, threading, time
from pathlib import Path
from trainables.watch import Watch, beat, work

def told(reason):
    Path(sys.argv[1]).write_text(reason)

def the_stage_hangs(seconds):
    time.sleep(seconds)

Watch({TIMEOUT}, told).start()
"""


@pytest.fixture
def process(tmp_path):
    """Start a program with a watch; it is ended with the test. The file is what `on_stall` writes."""
    started = []

    def process(body, begin=BEGIN):
        told = tmp_path / "told"
        command = [sys.executable, "-c", begin + textwrap.dedent(body), str(told)]
        one = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(one)
        return one, told

    yield process
    for one in started:
        one.kill()
        one.communicate()


def test_a_stage_without_a_beat_is_ended_with_its_stacks_and_its_reason(process):
    one, told = process(f"""
        with work():
            beat()
            the_stage_hangs({60 * TIMEOUT})
    """)
    _, stderr = one.communicate(timeout=30)
    assert one.returncode == STALLED == 70
    assert "the_stage_hangs" in stderr  # the stack of the thread that hung
    assert "Thread 0x" in stderr
    assert told.read_text() == "no batch for 1 s"


def test_a_stage_with_beats_lives_however_long_it_takes(process):
    one, told = process(f"""
        with work():
            for _ in range(30):
                time.sleep({TIMEOUT / 10})
                beat()
    """)
    assert one.wait(timeout=30) == 0
    assert not told.exists()


def test_outside_work_nothing_is_ended(process):
    one, told = process(f"""
        with work():
            beat()
        time.sleep({3 * TIMEOUT})
    """)
    assert one.wait(timeout=30) == 0
    assert not told.exists()


def test_a_stage_has_the_whole_time_from_its_begin_on(process):
    one, told = process(f"""
        time.sleep({0.8 * TIMEOUT})
        with work():
            time.sleep({0.6 * TIMEOUT})
    """)
    assert one.wait(timeout=30) == 0
    assert not told.exists()


@pytest.mark.parametrize("last_words", ["raise OSError('the store is gone')", "time.sleep(600)"])
def test_an_on_stall_that_fails_or_hangs_does_not_keep_the_process(process, last_words):
    begin = BEGIN.replace("Path(sys.argv[1]).write_text(reason)", last_words).replace("told).", "told, 0.5).")
    one, _ = process("with work(): time.sleep(600)", begin)
    _, stderr = one.communicate(timeout=30)
    assert one.returncode == STALLED
    assert ("on_stall: OSError: the store is gone" in stderr) == ("raise" in last_words)


def test_a_process_that_was_stopped_has_not_stood_still(process):
    """SIGSTOP, as a paused container or a debugger does."""
    one, told = process(f"""
        with work():
            print("begun", flush=True)
            time.sleep({0.5 * TIMEOUT})
            for _ in range(5):
                beat()
                time.sleep({TIMEOUT / 10})
    """)
    assert one.stdout.readline() == "begun\n"
    os.kill(one.pid, signal.SIGSTOP)
    time.sleep(2 * TIMEOUT)
    os.kill(one.pid, signal.SIGCONT)
    assert one.wait(timeout=30) == 0
    assert not told.exists()


def test_a_thread_that_keeps_the_interpreters_lock_is_not_seen_from_inside(process):
    """The watch cannot run then, nor call it a stall afterwards: the worker's heartbeat, which stops too, tells."""
    one, told = process(f"""
        import ctypes
        with work():
            ctypes.PyDLL(None).sleep({int(3 * TIMEOUT)})
            beat()
    """)
    assert one.wait(timeout=30) == 0
    assert not told.exists()


def test_the_watch_ends_when_it_is_stopped(process):
    one, _ = process(f"""
        watch = Watch({TIMEOUT}, told).start()
        watch.stop()
        with work():
            time.sleep({3 * TIMEOUT})
    """, BEGIN.replace(f"Watch({TIMEOUT}, told).start()", ""))  # fmt: skip
    assert one.wait(timeout=30) == 0


@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_at_all_is_refused(timeout):
    with pytest.raises(ValueError, match="for a batch"):
        Watch(timeout, print)


# --- counts -----------------------------------------------------------------------------------------------------------


def test_a_stage_is_counted_from_its_begin_and_stays_so_until_the_next():
    beat(5, 5, 5)
    with work():
        assert counts() == Counts()
        beat(examples=8, tokens=100)
        beat(queries=3)
        beat()
        assert counts() == Counts(8, 100, 3)
    assert counts() == Counts(8, 100, 3)
    with work():
        assert counts() == Counts()


def test_work_within_work_is_part_of_it():
    with work():
        beat(1)
        with work():
            beat(1)
        beat(1)
        assert counts().examples == 3


def test_after_an_error_the_work_is_over():
    with pytest.raises(KeyError), work():
        raise KeyError
    assert watch._state.depth == 0


def test_each_thing_of_a_loop_is_a_beat():
    before = watch._state.beats
    assert list(beating("abc")) == ["a", "b", "c"]
    assert watch._state.beats == before + 4
    assert list(beating([])) == []
