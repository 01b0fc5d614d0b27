# SPDX-License-Identifier: Apache-2.0
"""run.py FILE [TEST...] - runs the tests of FILE.py below this folder, or those whose name has TEST; each a line of TAP.

Needs what `meson test` sets: CHRONQ_PYTHON (the folder of the module chronq), CHRONQ_LIBRARY, CHRONQ, CHRONFS, and
CHRONQ_SHIP, CHRONQ_FETCH, the programs.  Skips all, and says why, where these tests are not possible.
"""

import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True  # into the source tree
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
os.environ["PYTHONPATH"] = os.environ["CHRONQ_PYTHON"]  # of children, too
file = HERE / (sys.argv[1] + ".py")
sys.path[:0] = [os.environ["CHRONQ_PYTHON"], str(HERE / "lib"), str(file.parent)]
sys.path.append(str(HERE.parent / "support" / "programs"))

import sanitized  # noqa: E402

sanitized.ensure()


def missing():
    """What these tests need and the machine does not have."""
    import servers

    for program, path in (("nats-server", servers.NATS_SERVER), ("openssl", shutil.which("openssl"))):
        if not path:
            return f"{program} is not installed (scripts/install-deps --test)"
    if "harness" not in file.name:
        # those that publish themselves what fetch takes need no ship
        for name in ("CHRONQ_FETCH",) if file.name.startswith("fetch") else ("CHRONQ_SHIP", "CHRONQ_FETCH"):
            if not os.access(os.environ.get(name, ""), os.X_OK):
                return "this build has no chronq ship and fetch, for it has no libnats (scripts/install-deps --test)"
    return None


if reason := missing():
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)

import taplines  # noqa: E402

sys.exit(taplines.run(file.stem, sys.argv[2:]))
