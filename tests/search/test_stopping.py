"""Signals, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.stopping import Stopping

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from search.stopping import Stopping
asked = []
with Stopping(asked.append, {grace}) as stopping:
    stopping.leaving = lambda: print("left", flush=True)
    print("ready", flush=True)
    start = time.monotonic()
    while time.monotonic() - start < 30 and not (asked and {ends}):
        time.sleep(0.02)
    print("ended", asked, flush=True)
"""


def begun(grace=25.0, ends=True):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(ROOT), grace=grace, ends=ends)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_first_signal_only_asks(name):
    process = begun()
    os.killpg(process.pid, getattr(signal, name))
    out, err = process.communicate(timeout=20)
    assert out == f"ended ['stopped by {name}']\n"
    assert process.returncode == 0
    assert name in err


def test_the_second_leaves_at_once_with_what_must_be_written():
    process = begun(ends=False)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("left\n", 1)


def test_a_sigterm_leaves_no_more_than_the_grace():
    process = begun(grace=0.5, ends=False)
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (out, process.returncode) == ("left\n", 1)
    assert "0.5 s after SIGTERM" in err


def test_a_sigint_leaves_all_the_time_there_is():
    process = begun(grace=0.2, ends=False)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1.0)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_what_was_there_before_is_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stopping(lambda reason: None, 1.0):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
