#!/usr/bin/env python3
"""The guard of the plugin contract: the headers are as recorded, and planted changes are found."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = ROOT / "host/include/minnow/abi"


def abi(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools/abi.py", *map(str, arguments)], capture_output=True, text=True,
                          check=False)


class Recorded(unittest.TestCase):
    def test_the_headers_are_as_recorded(self):
        result = abi("check")
        self.assertEqual(0, result.returncode, result.stdout + result.stderr)


class Guard(unittest.TestCase):
    """A contract of version 1.0, made from the headers, to which changes are made as version 1.0 or 1.1."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="minnow-abi-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.headers = self.root / "minnow/abi"
        shutil.copytree(HEADERS, self.headers)
        (self.root / "CHANGELOG-abi.md").write_text("## 1.1\n\n## 1.0\n")
        self.set_version(1, 0)
        self.assertEqual(0, self.abi("record").returncode)

    def abi(self, command):
        return abi(command, "--headers", self.headers, "--tables", self.root, "--changelog",
                   self.root / "CHANGELOG-abi.md")

    def set_version(self, major, minor):
        path = self.headers / "base.h"
        text = re.sub(r"(#define MNW_ABI_MAJOR) \d+u", rf"\1 {major}u", path.read_text())
        path.write_text(re.sub(r"(#define MNW_ABI_MINOR) \d+u", rf"\1 {minor}u", text))

    def change(self, header, old, new):
        path = self.headers / header
        text = path.read_text()
        self.assertEqual(1, text.count(old), f"'{old}' in {header}")
        path.write_text(text.replace(old, new))

    def assert_found(self, *messages):
        """Unrecorded, the change is a difference; recorded as the next version, it is told as a break."""
        self.assertEqual(1, self.abi("check").returncode)
        self.set_version(1, 1)
        self.assertEqual(0, self.abi("record").returncode)
        result = self.abi("check")
        self.assertEqual(1, result.returncode)
        for message in messages:
            self.assertIn(f"1.1 breaks 1.0: {message}", result.stdout)

    def test_no_change_passes(self):
        result = self.abi("check")
        self.assertEqual(0, result.returncode, result.stdout)

    def test_reordered_fields_are_found(self):
        self.change("backend.h", "  uint32_t n_threads; /* 0: the backend's choice */\n", "")
        self.change("backend.h", "or NULL; unknown keys are MNW_INVALID */\n",
                    "or NULL; unknown keys are MNW_INVALID */\n  uint32_t n_threads;\n")
        self.assert_found("field mnw_context_options n_threads: was 4 4 uint32_t, is 16 4 uint32_t")

    def test_swapped_fields_of_one_size_are_found(self):
        self.change("backend.h", "uint64_t memory_total, memory_free;", "uint64_t memory_free, memory_total;")
        self.assert_found("field mnw_device_info memory_total: was ")

    def test_a_changed_type_of_the_same_size_is_found(self):
        self.change("graph.h", "int32_t layer; /* -1: none */", "uint32_t layer;")
        self.assert_found("field mnw_node layer: was ")

    def test_a_renumbered_value_is_found(self):
        self.change("base.h", "MNW_UNSUPPORTED = 12,", "MNW_UNSUPPORTED = 14,")
        self.assert_found("enum mnw_code MNW_UNSUPPORTED: was 12, is 14")

    def test_a_renumbered_op_is_found(self):
        self.change("ops.def", "MNW_OP(linear, 2,", "MNW_OP(linear, 4,")
        self.assert_found("op linear: was 2 ", "enum mnw_op MNW_OP_linear: was 2, is 4")

    def test_a_changed_block_of_a_tensor_type_is_found(self):
        self.change("types.def", "MNW_TYPE(Q8_0, 8, 32, 34)", "MNW_TYPE(Q8_0, 8, 32, 36)")
        self.assert_found("tensor_type Q8_0: was 8 32 34, is 8 32 36")

    def test_a_changed_signature_is_found(self):
        self.change("backend.h", "void (*close)(mnw_context* c);", "int (*close)(mnw_context* c);")
        self.assert_found("field mnw_backend close: was ")

    def test_a_changed_parameter_of_a_callback_is_found(self):
        self.change("backend.h", "typedef void (*mnw_done_fn)(void* arg, int code, const mnw_error* error);",
                    "typedef void (*mnw_done_fn)(void* arg, long code, const mnw_error* error);")
        self.assert_found("typedef mnw_done_fn: was ")

    def test_a_removed_field_is_found(self):
        self.change("arch.h", "  uint32_t adapters; ", "  // uint32_t adapters; ")
        self.assert_found("field mnw_build_options adapters is gone", "struct mnw_build_options: was 16 bytes, is 12")

    def test_a_changed_constant_is_found(self):
        self.change("graph.h", "#define MNW_MAX_INPUTS 16", "#define MNW_MAX_INPUTS 17")
        self.assert_found("macro MNW_MAX_INPUTS: was 16, is 17")

    def test_a_frozen_struct_cannot_grow(self):
        self.change("base.h", "  char message[240];", "  char message[240];\n  uint64_t more;")
        self.assert_found("field mnw_error more is new, and mnw_error is frozen")

    def test_a_field_in_what_was_padding_is_found(self):
        self.change("arch.h", "  uint32_t size;\n  const char* id; /* the value of general.architecture it builds */",
                    "  uint32_t size;\n  uint32_t more;\n  const char* id;")
        self.assert_found("field mnw_arch more is new at offset 4, within the 24 bytes that mnw_arch had")

    def test_appending_passes_once_it_is_recorded_as_the_next_version(self):
        self.change("backend.h", "  const void* (*extension)(const char* id);",
                    "  const void* (*extension)(const char* id);\n  int (*drain)(mnw_context* c, mnw_error* e);")
        self.change("base.h", "  MNW_CORRUPT = 15,", "  MNW_CORRUPT = 15,\n  MNW_BUSY = 16,")
        self.change("ops.def", "MNW_OP(linear_id, 3, CORE, 3, 3,", "MNW_OP(linear_id, 3, CORE, 3, 4,")
        self.assertIn("mnw_backend drain", self.abi("check").stdout)
        self.assertNotEqual(0, self.abi("record").returncode)  # not over the table of 1.0
        self.set_version(1, 1)
        self.assertIn("ABI 1.1 has no table", self.abi("check").stdout)
        self.assertEqual(0, self.abi("record").returncode)
        result = self.abi("check")
        self.assertEqual(0, result.returncode, result.stdout)

    def test_a_version_needs_its_section_in_the_changelog(self):
        (self.root / "CHANGELOG-abi.md").write_text("## 0.9\n")
        self.assertIn("has no section '## 1.0'", self.abi("check").stdout)


if __name__ == "__main__":
    unittest.main()
