# Sourced by demo.sh and test.sh: installs what Minnow is built with, and for `minnow_setup tests` what its tests
# start besides, from the distribution's packages. Does nothing when all of it is there.

minnow_packages="build-essential cmake ninja-build ccache pkg-config \
  libboost-dev libboost-filesystem-dev liblua5.4-dev libuv1-dev libpcre2-dev libutf8proc-dev \
  nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev libssl-dev libsqlite3-dev libpq-dev libzstd-dev \
  libcurl4-openssl-dev libedit-dev python3 \
  libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc"

minnow_test_packages="libcpputest-dev qemu-user postgresql curl python3-grpcio python3-protobuf lua-check \
  python3-jsonschema libtest-json-schema-acceptance-perl"

# minnow_setup [tests]
minnow_setup() {
  [ "${1:-}" = tests ] && minnow_packages="$minnow_packages $minnow_test_packages"
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "minnow: this script sets up Debian 12, Ubuntu 24.04 and later. On another system install the" >&2
    echo "counterparts of: $minnow_packages" >&2
    echo "and then build with: cmake --preset release && cmake --build --preset release" >&2
    return 1
  fi
  missing=""
  for package in $minnow_packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
  done
  [ -z "$missing" ] && return 0
  echo "minnow: installing$missing" >&2
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "minnow: not root and no sudo; as root run: apt-get install$missing" >&2
      return 1
    fi
    sudo="sudo"
  fi
  $sudo apt-get update -qq >&2 &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 || {
    echo "minnow: the packages could not be installed; see the messages above" >&2
    return 1
  }
}
