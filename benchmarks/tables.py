"""Run a table: `python benchmarks/tables.py wiki-acqh [--budget 600]`; results go to benchmarks/results/TABLE/*.json.

A cell that has a file is not run again; delete the file to run it again.  `tools/make_tables.py` makes the pages.
"""

import argparse
from pathlib import Path

from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import TABLES

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="cut what is left after this long")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.out / options.table
    run_table(TABLES[options.table], folder, budget_seconds=options.budget, say=lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
