"""Settings of the test run."""

import os

# Test matrices are small: threads of BLAS and torch cost more than they give, above all on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
