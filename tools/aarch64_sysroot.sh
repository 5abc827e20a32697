#!/bin/sh
# Unpacks the arm64 packages that a cross-build for aarch64 needs into build/aarch64-sysroot, and
# installs the compiler and the emulator. Debian and Ubuntu; the system's own packages are not touched
# by the foreign ones, whose lists and archives stay in that folder too.
set -eu
cd "$(dirname "$0")/.."
. tools/setup.sh
minnow_packages="$minnow_packages g++-aarch64-linux-gnu qemu-user"
minnow_setup tests  # adds the packages of the tests, whose libraries are wanted too
sysroot="$PWD/build/aarch64-sysroot"
[ -e "$sysroot/complete" ] && exit 0
rm -rf "$sysroot"
mkdir -p "$sysroot/apt/lists/partial" "$sysroot/apt/archives/partial"
: > "$sysroot/apt/status"
cat > "$sysroot/apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$sysroot/apt";
Dir::State::status "$sysroot/apt/status";
Dir::Cache "$sysroot/apt";
Debug::NoLocking "true";
EOF
libraries=""
for package in $minnow_packages; do
  case "$package" in lib*-dev | nlohmann-json3-dev) libraries="$libraries $package" ;; esac
done
export APT_CONFIG="$sysroot/apt/apt.conf"
apt-get update -qq
# g++ of the sysroot's architecture brings the C and C++ libraries that go with it.
apt-get install -qq -y --download-only libc6-dev libstdc++6 $libraries >/dev/null
for archive in "$sysroot"/apt/archives/*.deb; do dpkg-deb -x "$archive" "$sysroot"; done
# What makes code at build time runs here; gRPC's CMake package looks for it beside its libraries.
mkdir -p "$sysroot/usr/bin"
for tool in /usr/bin/grpc_*_plugin; do ln -sf "$tool" "$sysroot/usr/bin/"; done
rm -r "$sysroot/apt"
touch "$sysroot/complete"
