"""Reads damaged inputs and judges what comes of it.

Right are two outcomes: the input is refused by one line that a user understands, or it
is read as what it says. All else is a failure: a traceback, an error of several lines,
a wrong result, more than ten seconds, more than 2 GB.
"""

import collections
import dataclasses
import multiprocessing
import pathlib
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings

from tests import processes
from tests.fuzz import mutate, surfaces

SECONDS = 10
MEGABYTES = 2_000

READ, REFUSED, FAILED = "read", "refused", "failed"


class Hang(BaseException):
    """The time is over."""


@dataclasses.dataclass
class Found:
    """What came of the inputs of one surface.

    Attributes:
        counts: Outcome → inputs.
        failures: A line for each failure, which begins with the seed.
        seconds: Longest time that one input took.
    """

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def attack(surface: surfaces.Surface, seeds, folder: pathlib.Path) -> Found:
    """Damages the sound input of a surface once for each seed.

    Args:
        surface: What is attacked.
        seeds: Whole numbers.
        folder: Empty, to work in.

    Returns:
        What came of it.
    """
    sound = folder / "sound"
    sound.mkdir(parents=True)
    path = surface.make(sound)
    expected = surface.read(path)
    found = Found()
    for seed in seeds:
        draw = random.Random(f"{surface.name} {seed}")
        case = folder / "case"
        shutil.copytree(sound, case)
        damaged = case / path.relative_to(sound)
        harm(surface, damaged, draw)
        began = time.monotonic()
        outcome, text = judge(surface, damaged, expected)
        found.seconds = max(found.seconds, time.monotonic() - began)
        found.counts[outcome] += 1
        if outcome == FAILED:
            found.failures.append(f"{surface.name} {seed}: {text}")
        shutil.rmtree(case)
    return found


def in_process(surface: surfaces.Surface, seeds) -> Found:
    """Does the same in a process of its own, which may crash."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(surface.name, seeds, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        found = Found(counts=collections.Counter({FAILED: 1}))
        found.failures.append(f"{surface.name}: process ended with {process.exitcode}")
        return found
    finally:
        process.join()


def _send(name, seeds, pipe):
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        found = attack(surfaces.SURFACES[name], seeds, pathlib.Path(folder))
    pipe.send(found)


def harm(surface, path, draw):
    """Damages one file of the input in place."""
    files = surface.files(path)
    file = draw.choice(files)
    is_json = file.suffix == ".json" and draw.random() < 0.7
    change = mutate.damaged_json if is_json else mutate.damaged
    file.write_bytes(change(file.read_bytes(), draw))


def judge(surface, path, expected):
    """Reads one damaged input; returns the outcome and what to say of it."""
    signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    try:
        value = surface.read(path)
    except surface.refusals as e:
        text = str(e)
        if not text or "\n" in text or not text.isprintable():
            return FAILED, f"not one line: {text!r}"
        if path.name not in text:
            return FAILED, f"does not name {path.name}: {text!r}"
        return REFUSED, text
    except Hang:
        return FAILED, f"more than {SECONDS} s"
    except Exception as e:
        last = traceback.extract_tb(e.__traceback__)[-1]
        return FAILED, f"{type(e).__name__}: {e!s:.200} ({last.filename}:{last.lineno})"
    finally:
        signal.alarm(0)
    if (peak := processes.peak_memory() / 1000) > MEGABYTES:
        return FAILED, f"{peak:,.0f} MB"
    try:
        wrong = surface.wrong(path, value, expected)
    except Exception as e:  # what we read, a plain reader cannot
        wrong = f"{type(e).__name__}: {e}"
    return (FAILED, f"silently wrong: {wrong}") if wrong else (READ, "")


def _hang(*_):
    raise Hang
