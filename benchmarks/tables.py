"""Run a table: `python benchmarks/tables.py wiki-acqh [--budget 600]`; results go to benchmarks/results/TABLE/*.json.

A cell that has a file is not run again; delete the file to run it again.  `tools/make_tables.py` makes the pages.
With --jobs 2, two processes of one thread each share the cells.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import TABLES

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="cut what is left after this long")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "OF"), help="every OF-th fit only")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.out / options.table
    if options.jobs > 1:
        share(options.jobs)
        options.budget = 0  # what no process has run is cut
    run_table(
        TABLES[options.table],
        folder,
        budget_seconds=options.budget,
        part=tuple(options.part),
        say=lambda text: print(text, flush=True),
    )


def share(jobs: int) -> None:
    """Run the same command in several processes of one thread, each with its part of the fits."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    parts = [[*sys.argv, "--jobs", "1", "--part", str(i), str(jobs)] for i in range(jobs)]
    running = [subprocess.Popen([sys.executable, *part], env={**os.environ, **one}) for part in parts]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a process failed; see above")


if __name__ == "__main__":
    main()
