# SPDX-License-Identifier: Apache-2.0
"""The module's picture of chronq.h against that header, and what happens with other libraries."""

import ctypes
import os
import re
import shutil
import subprocess
import unittest

import chronq
from chronq import _abi, _reader
from support import Case

HEADER = os.environ["CHRONQ_H"]
STRUCTURES = [
    value for value in vars(_abi).values()
    if isinstance(value, type) and issubclass(value, ctypes.Structure) and hasattr(value, "_fields_")
]
NUMBERS = {
    "CQ_TYPE_DEFAULT": chronq.TYPE_DEFAULT,
    "CQ_READER_NAME_MAX": _abi.CQ_READER_NAME_MAX,
    "CQ_IDENTITY_SIZE": _abi.CQ_IDENTITY_SIZE,
    "CQ_READER_PASSIVE": _abi.CQ_READER_PASSIVE,
    "CQ_SYNC_BUCKETS": _abi.CQ_SYNC_BUCKETS,
    "CQ_ERROR": 0,
    "CQ_WARNING": 1,
    "CQ_NOTICE": 2,
    "CQ_PHASE_RECOVER": 0,
    "CQ_PHASE_INDEXES": 1,
    "CQ_PHASE_VERIFY": 2,
    "CQ_PLACE_SEQ": _reader._PLACE_SEQ,
    "CQ_PLACE_TIME": _reader._PLACE_TIME,
    "CQ_PLACE_OLDEST": _reader._PLACE_OLDEST,
    "CQ_PLACE_LATEST": _reader._PLACE_LATEST,
    **{f"CQ_SYNC_{member.name}": member.value for member in chronq.Sync},
    **{f"CQ_START_{member.name}": member.value for member in chronq.Start},
    **{f"CQ_SEGMENT_{member.name}": member.value for member in chronq.Source},
}
C_TYPES = {
    "int": ctypes.c_int, "unsigned": ctypes.c_uint, "bool": ctypes.c_bool, "void": None,
    "size_t": ctypes.c_size_t, "ssize_t": ctypes.c_ssize_t, "pid_t": ctypes.c_int,
    "uint16_t": ctypes.c_uint16, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64,
    "char *": ctypes.c_char_p, "void *": ctypes.c_void_p,
}


def header():
    """Its text without comments and lines of the preprocessor."""
    with open(HEADER, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
    return re.sub(r"^#.*(?:\\\n.*)*$", "", text, flags=re.M)


def ctypes_type(text):
    """What chronq.h writes for a type, as the module has it."""
    text = re.sub(r"\bconst\b|\bstruct\b", " ", text)
    text = " ".join(text.replace("*", " * ").split()).replace("* *", "**")
    if text in C_TYPES:
        return C_TYPES[text]
    if text.startswith("enum "):
        return ctypes.c_int
    if text.endswith("*"):
        return ctypes.POINTER(ctypes_type(text[:-1]))
    return getattr(_abi, text)


def without_name(parameter):
    return re.sub(r"\w+$", "", parameter.strip()) or parameter


class Abi(Case):
    @unittest.skipUnless(shutil.which("cc"), "no C compiler here")
    def test_structures_and_numbers(self):
        lines = ["#include <chronq.h>", "#include <stdio.h>", "int main(void) {"]
        wanted = []

        def expect(name, expression, value):
            lines.append(f'printf("{name} %lld\\n", (long long)({expression}));')
            wanted.append(f"{name} {value}")

        for structure in STRUCTURES:
            name = structure.__name__
            expect(name, f"sizeof(struct {name})", ctypes.sizeof(structure))
            for member, kind in structure._fields_:
                c_member = f"((struct {name} *)0)->{member}"
                expect(f"{name}.{member} at", f"offsetof(struct {name}, {member})", getattr(structure, member).offset)
                expect(f"{name}.{member} size", f"sizeof({c_member})", ctypes.sizeof(kind))
                if kind in (ctypes.c_int, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64):
                    signed = kind is ctypes.c_int and member not in ("phase", "sync")  # an enum's sign is free
                    expect(f"{name}.{member} sign", f"(__typeof__({c_member}))-1 < 0"
                           if member not in ("phase", "sync") else "0", int(signed))
        for name, value in NUMBERS.items():
            expect(name, name, value)
        lines.append("return 0; }")
        source, program = self.dir / "layout.c", self.dir / "layout"
        source.write_text("\n".join(lines))
        subprocess.run(["cc", "-I", os.path.dirname(HEADER), "-o", program, source], check=True)
        got = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        self.assertGreater(len(got), 200)
        self.assertEqual(got, wanted)

    def test_members_by_name(self):
        for structure in STRUCTURES:
            with self.subTest(structure.__name__):
                body = re.search(rf"struct {structure.__name__} \{{(.*?)\}};", header(), re.S)[1]
                names = []
                for declaration in body.split(";")[:-1]:
                    pointer = re.search(r"\(\*(\w+)\)", declaration)
                    names += [pointer[1]] if pointer else [
                        re.search(r"(\w+)\s*(?:\[.*\])?\s*$", part, re.S)[1] for part in declaration.split(",")
                    ]
                self.assertEqual(names, [name for name, _ in structure._fields_])

    def test_functions(self):
        declared = {}
        for result, name, parameters in re.findall(r"CQ_API ([\w *]+?)(cq_\w+)\(([^;]*)\);", header()):
            parameters = " ".join(parameters.split())
            declared[name] = (result, [] if parameters == "void" else parameters.split(","))
        for name, (result, *arguments) in _abi.FUNCTIONS.items():
            with self.subTest(name):
                c_result, c_parameters = declared[name]
                self.assertEqual(ctypes_type(c_result), result)
                self.assertEqual([ctypes_type(without_name(c)) for c in c_parameters], arguments)

    def test_no_library(self):
        for path, text in ((self.dir / "none.so", "none.so"), ("libc.so.6", "has no cq_")):
            with self.subTest(text):
                child = self.python("", env={**os.environ, "CHRONQ_LIBRARY": str(path)}, stderr=subprocess.PIPE)
                said, errors = child.communicate()
                self.assertEqual(child.returncode, 1)
                self.assertIn("ImportError: ", errors)
                self.assertIn(text, errors)

    def test_version(self):
        tool = self.chronq("--version").decode().split()[1]
        self.assertEqual(chronq.__version__, tool)

    def test_all(self):
        for name in chronq.__all__:
            self.assertTrue(getattr(chronq, name).__doc__ or name == "TYPE_DEFAULT", name)
