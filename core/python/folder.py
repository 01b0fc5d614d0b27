# SPDX-License-Identifier: Apache-2.0
"""folder.py PREFIX - prints where modules are installed below a prefix: a folder that this Python searches
by itself, if it has one below that prefix, else the usual one."""

import site
import sys
import sysconfig

prefix = sys.argv[1]
searched = [
    folder for folder in site.getsitepackages()
    if folder.startswith(prefix + "/") and not (prefix == "/usr" and folder.startswith("/usr/local/"))
]
print(searched[0] if searched else sysconfig.get_path("purelib", "posix_prefix", {"base": prefix}))
