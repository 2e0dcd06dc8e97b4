"""Many damaged inputs: `python -m tests.fuzz --inputs=10000 --seed=0`.

Each surface is attacked in a process of its own.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.fuzz import attack, surfaces


def main() -> int:
    """Attacks every surface and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--inputs", type=int, default=10_000, help="of all surfaces")
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--surface", nargs="*", choices=sorted(surfaces.SURFACES))
    given = parser.parse_args()
    chosen = [surfaces.SURFACES[name] for name in given.surface or surfaces.SURFACES]
    unit = given.inputs / sum(surface.share for surface in chosen)
    print(f"{'surface':18}{'seeds':>16}{'read':>8}{'refused':>9}{'failed':>8}  longest")
    total, failures = 0, []
    for surface in chosen:
        count = max(1, round(unit * surface.share))
        seeds = range(given.seed, given.seed + count)
        found = attack.in_process(surface, seeds)
        counts = found.counts
        print(
            f"{surface.name:18}{f'{seeds.start} to {seeds.stop - 1}':>16}"
            f"{counts[attack.READ]:8,}{counts[attack.REFUSED]:9,}"
            f"{counts[attack.FAILED]:8,}{found.seconds:7.2f} s",
            flush=True,
        )
        total += counts.total()
        failures += found.failures
    print(f"{total:,} inputs, {len(failures):,} failures")
    print(*failures, sep="\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
