"""Settings of the test run."""

import atexit
import os
import tempfile

# Test matrices are small: threads of BLAS and torch cost more than they give, above all on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the folder of the process that starts them
    _cache = tempfile.TemporaryDirectory(prefix="modalhash-cache-")
    os.environ["MODALHASH_CACHE"] = _cache.name  # nothing is written to the user's home
    atexit.register(_cache.cleanup)
