#!/usr/bin/env python3
"""What a stranger does: installs Minnow, builds the three examples against the installed SDK alone, outside the tree,
and runs models through them.

  out_of_tree.py BUILD_FOLDER [unittest options]
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DEMO = SOURCE / "models" / "minnow-demo.Q8_0.gguf"
GOLDEN = SOURCE / "tests" / "golden" / "models"
STARCODER = SOURCE / "examples" / "toy_architecture" / "starcoder2.gguf"
EXAMPLES = ("toy_backend", "matmul_backend", "toy_architecture")
TEXT = "Receipt\nGreen Market, 12 May 2024\nApples 3.20\nBread 5.20\nTotal 8.40\nThank you for shopping with us.\n"

build = temp = prefix = None  # set by main and setUpModule


def run(*command, ok=0, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=temp, **options)
    if ok is not None and result.returncode != ok:
        raise AssertionError(f"{' '.join(map(str, command))}\nexit code {result.returncode}, not {ok}\n"
                             f"{result.stdout[-4000:]}{result.stderr[-4000:]}")
    return result


def minnow(*arguments, ok=0):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINNOW_")}
    environment["XDG_CACHE_HOME"] = str(temp / "cache")
    return run(prefix / "bin" / "minnow", *arguments, ok=ok, env=environment)


def setUpModule():
    global temp, prefix
    temp = pathlib.Path(tempfile.mkdtemp(prefix="minnow-out-of-tree-"))
    unittest.addModuleCleanup(shutil.rmtree, temp)
    prefix = temp / "prefix"
    old_umask = os.umask(0o002)  # many users' own; the plugin folder must not become group-writable by it
    run("cmake", "--install", build, "--prefix", prefix)
    for example in EXAMPLES:
        # A copy elsewhere: nothing of the tree may be needed.
        shutil.copytree(SOURCE / "examples" / example, temp / example)
        run("cmake", "-S", temp / example, "-B", temp / example / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", temp / example / "build")
        run("cmake", "--install", temp / example / "build", "--prefix", prefix)
    os.umask(old_umask)
    (temp / "text.txt").write_text(TEXT * 6)


class Install(unittest.TestCase):
    def test_lays_down_all_that_the_readme_names(self):
        for path in ("bin/minnow", "libexec/minnow/minnow-probe", "libexec/minnow/minnow-script",
                     "share/minnow/lua/minnow.d.lua",
                     "include/minnow/abi/plugin.h", "include/minnow/abi/ops.def", "include/minnow/sdk/arch.hpp",
                     "share/licenses/minnow/LICENSE.MIT", "share/licenses/minnow/LICENSE.Apache-2.0"):
            self.assertTrue((prefix / path).is_file(), path)

    def test_components_are_apart_and_destdir_is_honoured(self):
        for component, has, lacks in (("runtime", "bin/minnow", "include"), ("dev", "include/minnow", "bin")):
            stage = temp / component
            run("cmake", "--install", build, "--prefix", "/opt/minnow", "--component", component,
                env=os.environ | {"DESTDIR": str(stage)})
            self.assertTrue((stage / "opt/minnow" / has).exists(), has)
            self.assertFalse((stage / "opt/minnow" / lacks).exists(), lacks)
            self.assertTrue((stage / "opt/minnow/share/licenses/minnow/LICENSE.MIT").is_file())

    def test_the_installed_program_finds_its_plugins_and_the_examples(self):
        plugins = json.loads(minnow("plugins", "--json").stdout)
        states = {p["id"]: p["state"] for p in plugins}
        self.assertEqual({"minnow.cpu", "minnow.models", "example.toy", "example.matmul", "example.starcoder2"},
                         set(states))
        self.assertNotIn("refused", states.values(), plugins)

    def test_pkg_config_is_enough_to_compile_a_plugin(self):
        [pc] = prefix.glob("lib*/**/minnow.pc")
        environment = os.environ | {"PKG_CONFIG_PATH": str(pc.parent)}
        flags = run("pkg-config", "--cflags", "minnow", env=environment).stdout.split()
        run("cc", "-std=c11", "-Wall", "-Werror", "-shared", "-fPIC", *flags, temp / "toy_backend" / "toy_backend.c",
            "-o", temp / "toy.so")
        folder = run("pkg-config", "--variable=plugindir", "minnow", env=environment).stdout.strip()
        self.assertTrue((pathlib.Path(folder) / "toy_backend.so").is_file(), folder)


class Headers(unittest.TestCase):
    """Each header of the contract alone, as C11 and as C++20, with all warnings as errors."""

    def check(self, compiler, headers, *flags):
        if not shutil.which(compiler):
            self.skipTest(f"there is no {compiler} on this machine")
        for header in headers:
            run(compiler, *flags, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only",
                "-I", prefix / "include", "-include", header.relative_to(prefix / "include"), os.devnull)

    def abi(self):
        headers = sorted((prefix / "include/minnow/abi").glob("*.h"))
        self.assertTrue(headers)
        return headers

    def sdk(self):
        return sorted(p for p in (prefix / "include/minnow/sdk").iterdir())

    def test_the_contract_is_c11_for_gcc(self):
        self.check("gcc", self.abi(), "-x", "c", "-std=c11")

    def test_the_contract_is_c11_for_clang(self):
        self.check("clang", self.abi(), "-x", "c", "-std=c11")

    def test_contract_and_sdk_are_cpp20_for_gcc(self):
        self.check("g++", self.abi() + self.sdk(), "-x", "c++", "-std=c++20")

    def test_contract_and_sdk_are_cpp20_for_clang(self):
        self.check("clang++", self.abi() + self.sdk(), "-x", "c++", "-std=c++20")

    def test_every_header_says_that_it_is_under_mit(self):
        for header in self.abi() + self.sdk():
            self.assertIn("SPDX-License-Identifier: MIT", header.read_text(encoding="utf-8").splitlines()[0], header)


class Backends(unittest.TestCase):
    # Devices in order of preference, and which of them must get nodes of the demo model.
    LISTS = {
        "toy first": (["toy", "cpu"], [], {"cpu"}),  # an add saves less than its copies cost
        "toy first, all it claims": (["toy", "cpu"], ["--all-claims"], {"toy", "cpu"}),
        "matmul first": (["matmul", "cpu"], [], {"matmul", "cpu"}),
        "both first": (["matmul", "toy", "cpu"], ["--all-claims"], {"matmul", "toy", "cpu"}),
        "both first, turned round": (["toy", "matmul", "cpu"], ["--all-claims"], {"matmul", "toy", "cpu"}),
    }

    @staticmethod
    def options(devices, more):
        return [o for d in devices for o in ("--device", d)] + more

    def logits(self, model, options):
        file = temp / "logits.npy"
        minnow("perplexity", "-m", model, "-f", temp / "text.txt", "-c", "64", "--chunks", "2", "--logits", file,
               *options)
        return file.read_bytes()

    def placement(self, options, model=DEMO):
        return json.loads(minnow("inspect", model, "--placement", "--json", *options).stdout)

    def test_each_gets_what_it_is_there_for(self):
        for name, (devices, more, expected) in self.LISTS.items():
            with self.subTest(name):
                rows = self.placement(self.options(devices, more))
                self.assertEqual(expected, {r["device"] for r in rows})
                for row in rows:
                    if row["device"] == "toy":
                        self.assertIn(row["op"], ("add", "mul"))
                    if row["device"] == "matmul":
                        self.assertEqual("linear", row["op"])
                    self.assertEqual(row["device"] == devices[0], row["reason"] == "", row)

    def test_the_demo_model_gives_the_same_tokens(self):
        ask = ["generate", "-m", DEMO, "-p", TEXT, "-n", "48", "--temp", "0", "--logprobs", "3", "--json"]
        expected = json.loads(minnow(*ask).stdout)
        self.assertGreater(len(expected["tokens"]), 10)
        for name, (devices, more, _) in self.LISTS.items():
            with self.subTest(name):
                got = json.loads(minnow(*ask, *self.options(devices, more)).stdout)
                self.assertEqual(expected["tokens"], got["tokens"])
                self.assertEqual(expected["logprobs"], got["logprobs"])

    def test_every_golden_model_gives_the_same_bits(self):
        names = [answers.name.removesuffix(".logits.json") for answers in sorted(GOLDEN.glob("*.logits.json"))]
        models = [GOLDEN / f"{name}.gguf" for name in names if not name.endswith(".lora")] + [DEMO, STARCODER]
        self.assertGreater(len(models), 8)
        for model in models:
            expected = self.logits(model, [])
            for name in ("toy first, all it claims", "both first"):
                devices, more, _ = self.LISTS[name]
                with self.subTest(model=model.name, devices=name):
                    self.assertTrue(expected == self.logits(model, self.options(devices, more)))

    def test_strict_mode_names_the_first_node_that_would_fall_back(self):
        refused = minnow("generate", "-m", DEMO, "-p", "a", "-n", "1", "--device", "matmul", "--device", "cpu",
                         "--strict-backend", ok=3)
        self.assertIn("the first is node 0, ", refused.stderr)
        self.assertIn("get_rows(token_embd.weight", refused.stderr)
        self.assertIn("matmul takes linear only", refused.stderr)
        minnow("generate", "-m", DEMO, "-p", "a", "-n", "1", "--device", "cpu", "--device", "toy", "--strict-backend")

    def test_a_list_without_a_device_for_the_rest_is_refused_with_reasons(self):
        refused = minnow("generate", "-m", DEMO, "-p", "a", "-n", "1", "--device", "toy", ok=3)
        self.assertIn("toy adds and multiplies only", refused.stderr)

    def test_a_setting_that_a_backend_does_not_know_is_an_error(self):
        refused = minnow("generate", "-m", DEMO, "-p", "a", "-n", "1", "--device", "toy:x=1", ok=2)
        self.assertIn("without settings", refused.stderr)


class Check(unittest.TestCase):
    def check(self, example, *options):
        library = temp / example / "build" / "plugins" / f"{example}.so"
        result = json.loads(minnow("check", library, "--json", *options).stdout.splitlines()[-1])
        self.assertEqual(0, result["failed"])
        return result["ok"]

    def test_each_example_passes(self):
        for example in EXAMPLES:
            with self.subTest(example):
                self.assertGreater(self.check(example), 8)

    def test_the_architecture_passes_on_its_own_model(self):
        self.assertGreater(self.check("toy_architecture", "--model", STARCODER), 8)


class Architecture(unittest.TestCase):
    def setUp(self):
        self.expected = json.loads((SOURCE / "examples/toy_architecture/expected.json").read_text(encoding="utf-8"))

    def test_gives_the_tokens_that_transformers_gives(self):
        got = json.loads(minnow("generate", "-m", STARCODER, "--kv-type", "f32", "--temp", "0", "--json",
                                "-n", len(self.expected["tokens"]), "-p", self.expected["prompt"]).stdout)
        self.assertEqual(self.expected["tokens"], got["tokens"])

    def test_gives_the_perplexity_that_transformers_gives(self):
        (temp / "source.txt").write_text(self.expected["text"], encoding="utf-8")
        got = json.loads(minnow("perplexity", "-m", STARCODER, "--kv-type", "f32", "--json", "-f", temp / "source.txt",
                                "-c", self.expected["context"]).stdout)
        self.assertAlmostEqual(1, got["perplexity"] / self.expected["perplexity"], delta=1e-5)


if __name__ == "__main__":
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
