#!/usr/bin/env python3
"""-DMINNOW_GRPC takes the gRPC of that prefix, and refuses a prefix without one."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROJECT = f"""cmake_minimum_required(VERSION 3.25)
project(Option LANGUAGES CXX)
include({SOURCE}/cmake/Service.cmake)
"""


class GrpcOption(unittest.TestCase):
    def configure(self, prefix):
        with tempfile.TemporaryDirectory(prefix="minnow-option-") as folder:
            pathlib.Path(folder, "CMakeLists.txt").write_text(PROJECT)
            result = subprocess.run(["cmake", "-S", folder, "-B", f"{folder}/build", f"-DMINNOW_GRPC={prefix}"],
                                    capture_output=True, text=True, check=False)
            return result.returncode, " ".join(result.stderr.split())

    def test_refuses_a_prefix_without_grpc(self):
        for prefix in ("/nowhere", str(SOURCE)):
            code, said = self.configure(prefix)
            self.assertNotEqual(0, code)
            self.assertIn(f"MINNOW_GRPC is '{prefix}', and there is no lib/cmake/grpc/gRPCConfig.cmake in it", said)

    def test_takes_the_one_of_the_prefix_and_no_other(self):
        with tempfile.TemporaryDirectory(prefix="minnow-grpc-") as prefix:
            config = pathlib.Path(prefix, "lib/cmake/grpc/gRPCConfig.cmake")
            config.parent.mkdir(parents=True)
            config.write_text('message(FATAL_ERROR "the gRPC of the prefix")\n')
            code, said = self.configure(prefix)
            self.assertNotEqual(0, code)
            self.assertIn("the gRPC of the prefix", said)


if __name__ == "__main__":
    unittest.main()
