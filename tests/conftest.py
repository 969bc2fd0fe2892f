"""Settings that must stand before any library is loaded."""

import os
import signal

# One thread a process, here and in the children that tests start: the same bits everywhere, and faster on few cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"

# A test run that was started in the background ignores Ctrl-C, and so would the programs whose Ctrl-C is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
