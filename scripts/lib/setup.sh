# Sourced by scripts/quickstart and scripts/test: installs what is missing, makes .venv, installs the
# package into it. Expects bash with `set -euo pipefail` and the working directory at the project root.
#
# IPF_PYTHON      the Python that .venv is made from (default: Debian's, /usr/bin/python3; a python3
#                 found on PATH may be a pyenv shim whose version changes with the directory)
# IPF_NO_INSTALL  if set, no system packages are installed

ipf_lib="scripts/lib"
ipf_venv="$PWD/.venv"
ipf_python="$ipf_venv/bin/python"
ipf_jobs="${IPF_JOBS:-$(nproc)}"

# The build directories of one tree share what ccache keeps: paths are absolute, so that symbols are
# found from any of them. In the C locale Python gives its children another one.
export CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=locale

ipf_say() { printf '%s\n' "==> $*"; }
ipf_die() { printf '%s\n' "error: $*" >&2; exit 1; }

# ipf_step <title> <command...>: runs the command, says what runs and how long it took.
ipf_step() {
  local title="$1" status=0 start=$SECONDS
  shift
  ipf_say "$title"
  "$@" || status=$?
  if [ "$status" -eq 0 ]; then
    ipf_say "$title: done in $((SECONDS - start)) s"
  else
    ipf_say "$title: FAILED after $((SECONDS - start)) s (exit status $status)"
  fi
  return "$status"
}

# The same for steps that the rest depends on: a failure ends the script.
ipf_must() { ipf_step "$@" || ipf_die "cannot go on without this step: $1"; }

# The entries of list files: comments and blank lines removed.
ipf_entries() { sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$@"; }

ipf_as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    env "$@"
  elif command -v sudo >/dev/null; then
    sudo env "$@"
  else
    ipf_die "these need root and there is no sudo: $*"
  fi
}

# ipf_install_packages <list files...>: one apt call for the packages that are missing, if any.
ipf_install_packages() {
  local package missing=()
  if [ -n "${IPF_NO_INSTALL:-}" ] || ! command -v apt-get >/dev/null; then
    ipf_say "system packages: not installed from here; they are listed in $*"
    return 0
  fi
  for package in $(ipf_entries "$@"); do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
      missing+=("$package")
    fi
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  ipf_must "apt-get update" \
    ipf_as_root DEBIAN_FRONTEND=noninteractive apt-get -qq update </dev/null
  # Otherwise Grid Engine's packages set up a site of their own and ask where.
  if [[ " ${missing[*]} " == *" gridengine-"* ]]; then
    echo "gridengine-master shared/gridengineconfig boolean false" | ipf_as_root debconf-set-selections
  fi
  ipf_must "apt-get install ${missing[*]}" \
    ipf_as_root DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 install "${missing[@]}" </dev/null >/dev/null
}

# ipf_make_venv <requirement files...>: .venv with these requirements; pip runs only if they changed.
ipf_make_venv() {
  local python="${IPF_PYTHON:-/usr/bin/python3}" stamp list hash
  [ -x "$python" ] || ipf_die "$python is no Python; set IPF_PYTHON"
  if [ -x "$ipf_python" ] && ! "$ipf_python" -c 'import pip' 2>/dev/null; then
    ipf_say ".venv does not work any more; making it anew"
    rm -rf "$ipf_venv"
  fi
  if [ ! -x "$ipf_python" ]; then
    ipf_must "make .venv from $python" "$python" -m venv "$ipf_venv"
  fi
  list="$(ipf_entries "$@")"
  hash="$({ "$ipf_python" --version; printf '%s\n' "$list"; } | sha256sum | cut -d' ' -f1)"
  stamp="$ipf_venv/requirements-$hash"
  [ ! -e "$stamp" ] || return 0
  local arguments=() file
  for file in "$@"; do
    arguments+=(-r "$file")
  done
  ipf_must "pip install $(echo $list)" \
    "$ipf_python" -m pip install --quiet --disable-pip-version-check "${arguments[@]}" </dev/null
  touch "$stamp"
}

# ipf_install_package [<pip's arguments...>]: builds the package and installs it into .venv, always
# after the requirements: the peer ipyparallel brings scripts of the same names, and ours have to win.
# The build directory is kept, see build-dir in pyproject.toml, so that only what changed is compiled.
ipf_install_package() {
  CMAKE_BUILD_PARALLEL_LEVEL="$ipf_jobs" "$ipf_python" -m pip install --quiet \
    --disable-pip-version-check --no-build-isolation --no-deps "$@" . </dev/null
}

# ipf_locked <command...>: one at a time in this tree; another run is waited for.
ipf_locked() {
  local status=0
  mkdir -p build
  exec 9>build/.lock
  if ! flock --nonblock 9; then
    ipf_say "waiting for another run that builds in this directory"
    flock 9
  fi
  "$@" 9>&- || status=$?
  exec 9>&-
  return "$status"
}
