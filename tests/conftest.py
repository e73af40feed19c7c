"""Settings of the test run."""

import os

# Test matrices are small: BLAS threads cost more than they give, above all on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
