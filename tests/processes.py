"""Commands in processes of their own."""

import pathlib
import re
import signal


def take_signals():
    """Runs in a new process, before the command: it takes what may end it.

    A shell may have had interrupts ignored, as of what runs in the background, and
    `nohup` ignores the other one.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def peak_memory():
    """Returns the largest memory of this process so far, in KiB; on Linux.

    What `resource` tells begins with that of the process which started this one.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*([0-9]+) kB", status)[1])
