# Shared by the scripts of this directory; sourced, not run.

fail() {
  echo "${0##*/}: $*" >&2
  exit 99
}

need() {
  for needed in "$@"; do
    command -v "$needed" >/dev/null 2>&1 || fail "$needed is not installed"
  done
}

# The directory of kernels and images: the argument, or the user's cache.
work_directory() {
  printf '%s' "${1:-${XDG_CACHE_HOME:-$HOME/.cache}/governor-vm}"
}

# What an image depends on: the files that build it and the Node that goes into it.
image_key() {
  cat "$@" "$(readlink -f "$(command -v node)")" | sha256sum | cut -d' ' -f1
}

# One build at a time in a directory; held until the script ends. usage: lock FILE
lock() {
  exec 9>"$1"
  flock 9
}
