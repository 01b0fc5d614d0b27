# SPDX-License-Identifier: Apache-2.0
"""run.py NAME [TEST...] - runs the tests of test_NAME.py, or those whose name has TEST; each is a line of TAP.

Needs what `meson test` sets: CHRONQ_PYTHON (the folder of the module), CHRONQ_LIBRARY, CHRONQ, CHRONFS.
"""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # into the source tree
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
os.environ["PYTHONPATH"] = os.environ["CHRONQ_PYTHON"]  # of children, too
sys.path.insert(0, os.environ["CHRONQ_PYTHON"])
sys.path.append(str(Path(__file__).resolve().parent.parent / "support" / "programs"))

import taplines  # noqa: E402

sys.exit(taplines.run("test_" + sys.argv[1], sys.argv[2:]))
