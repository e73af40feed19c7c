"""A real Milvus server on loopback, for `test_milvus_server`: `python milvus_server.py FOLDER PORT`, ends with stdin.

Its components are told to talk on loopback only; it listens on more, so it is run in a network namespace of its own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

PARTS = "rootCoord proxy queryCoord queryNode indexNode dataCoord dataNode indexCoord"


def main() -> None:
    server: Any = import_module("milvus").MilvusServer(debug=False)
    server.set_base_dir(sys.argv[1])
    server.listen_port = int(sys.argv[2])
    for part in PARTS.split():
        server.config.set(f"{part}.ip", "127.0.0.1")
    try:
        server.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
