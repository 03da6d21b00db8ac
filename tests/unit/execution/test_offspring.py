"""What a library leaves running is ended."""

import subprocess
import sys

import psutil

from videogen.execution.offspring import end, offspring

PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('up', flush=True); time.sleep(600)"
)


def runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_marked_children_are_ended_with_what_they_started_and_others_are_not():
    marked = subprocess.Popen([sys.executable, "-c", PARENT, "a-mark"], stdout=subprocess.PIPE)
    other = subprocess.Popen([sys.executable, "-c", PARENT, "no"], stdout=subprocess.PIPE)
    try:
        for process in (marked, other):
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
        family = offspring("a-mark")
        assert len(family) == 2

        end(family, grace_s=0.1)

        assert not any(runs(process) for process in family)
        assert other.poll() is None
    finally:
        end(offspring("a-mark") + offspring("no"), grace_s=0)
        for process in (marked, other):
            process.communicate()
