#!/usr/bin/env python3
"""Checks the direction of includes: a folder of host/ includes only itself and what stands below it, and a
plugin sees nothing of the host but host/include/minnow. The order below is that of the design."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Each folder of host/ with what it may include, beside itself and the contract's headers.
BELOW = {
    "base": [],
    "formats": ["base"],
    "quant": ["base"],
    "plugins": ["quant", "formats", "base"],
    "graph": ["base"],
    "text": ["formats", "base"],
    "constrain": ["text", "base"],
    "model": ["text", "graph", "plugins", "quant", "formats", "base"],
    "engine": ["constrain", "model", "text", "graph", "plugins", "formats", "base"],
    "conformance": ["model", "graph", "plugins", "quant", "formats", "base"],
    "script": ["engine", "constrain", "model", "text", "formats", "base"],
    "batch": ["script", "engine", "base"],
    "http": ["base"],
    "service": ["http", "script", "engine", "constrain", "model", "text", "base"],
    "cli": ["service", "batch", "script", "engine", "constrain", "model", "text", "graph", "plugins", "formats", "base"],
    "probe": ["plugins", "base"],
    "untrusted": ["script", "base"],
    "check": ["conformance", "base"],
    ".": ["cli", "base"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.M)


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def main():
    errors = []
    host = ROOT / "host"
    for path in sorted(host.rglob("*")):
        if path.suffix not in (".h", ".cc", ".hpp", ".def"):
            continue
        relative = path.relative_to(host)
        folder = relative.parts[0] if len(relative.parts) > 1 else "."
        for name in includes(path):
            top = name.split("/")[0] if "/" in name else None
            if folder == "include":
                if (host / name).exists():
                    errors.append(f"{path.relative_to(ROOT)}: the contract includes host header {name}")
            elif top in BELOW and top != folder and top not in BELOW.get(folder, []) and (host / name).exists():
                errors.append(f"{path.relative_to(ROOT)}: {folder}/ may not include {name}")
            elif folder not in BELOW:
                errors.append(f"{path.relative_to(ROOT)}: folder {folder}/ has no place in tools/check_includes.py")
                break
    for path in sorted((ROOT / "plugins").rglob("*")):
        if path.suffix not in (".h", ".cc", ".cu", ".cuh", ".mm"):
            continue
        for name in includes(path):
            if (host / name).exists() and not name.startswith("minnow/"):
                errors.append(f"{path.relative_to(ROOT)}: a plugin may not include {name}")
    print("\n".join(errors) or "includes point down only")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
