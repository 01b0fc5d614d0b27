# SPDX-License-Identifier: Apache-2.0
"""The library of a sanitizer's build in Python: it needs the sanitizer's own library to be loaded before all others.

SANITIZER_LIBRARY (of `meson test`) is that library; with other builds there is none, and nothing is done.
"""

import os
import sys

LIBRARY = os.environ.get("SANITIZER_LIBRARY")


def environment():
    """For a Python program that imports chronq.  Python itself frees not everything at its end: that is no leak of ours."""
    if not LIBRARY:
        return {}
    return {"LD_PRELOAD": LIBRARY, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def ensure():
    """Continues with that library; all other programs that this one starts are as they would be without."""
    if not LIBRARY:
        return
    if "UNSANITIZED_OPTIONS" not in os.environ:
        own = {"UNSANITIZED_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | own | environment())
    os.environ["ASAN_OPTIONS"] = os.environ.pop("UNSANITIZED_OPTIONS")
    del os.environ["LD_PRELOAD"]
