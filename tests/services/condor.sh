#!/bin/bash
# A private HTCondor pool: Debian 13's package, unpacked and pointed at its own loader, so that it
# runs on Debian 12, where there is none. Its jobs see this machine as it is.
#   condor.sh get ROOT                       downloads and unpacks what is not there yet
#   condor.sh start DIR SLOTS PORT ROOT      (as the user whose jobs it shall run: not root)
#   condor.sh stop DIR
# Clients need the variables of DIR/env.
set -u
action=${1:?}
dir=${2:?}

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*[ZX]' "/proc/$1/status" 2>/dev/null; }
fail() { tail -n 5 "$dir/master.out" "$dir"/log/{Master,Start,Sched}Log 2>/dev/null; echo "$1"; exit 1; }

# Signatures are checked with the keys of Debian that this machine has.
download() {
  local apt_dir=$1 uri
  uri=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null)
  [ -n "$uri" ] || uri=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list 2>/dev/null)
  mkdir -p "$apt_dir"/{lists,archives}/partial && : >"$apt_dir/status" || return 1
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${uri:-http://deb.debian.org/debian} trixie main" \
    >"$apt_dir/sources.list"
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$apt_dir/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::Lists=$apt_dir/lists" -o "Dir::State::status=$apt_dir/status"
    -o "Dir::Cache::archives=$apt_dir/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o Acquire::Retries=2)
  "${apt[@]}" update && "${apt[@]}" -y --no-install-recommends --download-only install condor
}

# Programs find the loader and the libraries of Debian 13 below DIR.
unpack() {
  local lib=$dir/usr/lib/x86_64-linux-gnu file
  for file in "$dir"/apt/archives/*.deb; do dpkg -x "$file" "$dir" || return 1; done
  [ -e "$lib/ld-linux-x86-64.so.2" ] || { echo "only known for x86-64"; return 1; }
  find "$dir"/usr/{bin,sbin,libexec/condor} -type f -name '*condor*' -perm -u+x |
    while read -r file; do
      [ "$(head -c4 "$file" | tr -d '\0')" = $'\x7fELF' ] || continue
      patchelf --set-interpreter "$lib/ld-linux-x86-64.so.2" --force-rpath \
        --set-rpath "$lib:$dir/usr/lib" "$file" || exit 1
    done
}

configuration() {
  cat <<END
CONDOR_HOST = 127.0.0.1
NETWORK_INTERFACE = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:$port
USE_SHARED_PORT = True
SHARED_PORT_PORT = $port
DAEMON_LIST = MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD
RELEASE_DIR = $root/usr
BIN = $root/usr/bin
SBIN = $root/usr/sbin
LIB = $root/usr/lib/condor
LIBEXEC = $root/usr/libexec/condor
SHARE = $root/usr/share/condor
LOCAL_DIR = $dir
LOG = $dir/log
SPOOL = $dir/spool
EXECUTE = $dir/execute
LOCK = $dir/lock
RUN = $dir/lock
DAEMON_SOCKET_DIR = $dir/lock/ds
LOCAL_CONFIG_DIR =
MAIL = /bin/true
CONDOR_IDS = $(id -u).$(id -g)
UID_DOMAIN = test
FILESYSTEM_DOMAIN = test
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, CLAIMTOBE
SEC_PASSWORD_DIRECTORY = $dir/secrets
SEC_TOKEN_SYSTEM_DIRECTORY = $dir/secrets
SEC_TOKEN_DIRECTORY = $dir/secrets
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_ADMINISTRATOR = *
ALLOW_NEGOTIATOR = *
START = True
SUSPEND = False
PREEMPT = False
KILL = False
NUM_CPUS = $slots
NUM_SLOTS = $slots
NUM_SLOTS_TYPE_1 = $slots
SLOT_TYPE_1 = cpus=1
SLOT_TYPE_1_PARTITIONABLE = False
MEMORY = 4096
RunBenchmarks = False
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
UPDATE_INTERVAL = 5
JOB_START_DELAY = 0
SHUTDOWN_FAST_TIMEOUT = 5
END
}

case $action in
get)
  mkdir -p "$(dirname "$dir")" && exec 9>"$dir.lock" && flock 9 || exit 1
  [ ! -e "$dir/complete" ] || exit 0
  rm -rf "$dir" && mkdir -p "$dir/apt" && download "$dir/apt" && unpack && rm -rf "$dir/apt" &&
    touch "$dir/complete"
  ;;
start)
  slots=${3:?}
  port=${4:?}
  root=${5:?}
  [ "$(id -u)" -ne 0 ] || fail "HTCondor runs no jobs of root"
  mkdir -p "$dir"/{log,spool,execute,lock,secrets} || exit 1
  configuration >"$dir/condor_config"
  printf 'CONDOR_CONFIG=%s\nPATH=%s\n' "$dir/condor_config" "$root/usr/bin:$PATH" >"$dir/env"
  export CONDOR_CONFIG="$dir/condor_config"
  setsid "$root/usr/sbin/condor_master" -f >"$dir/master.out" 2>&1 </dev/null &
  echo $! >"$dir/master.pid"
  for _ in $(seq 200); do
    ready=$(timeout 5 "$root/usr/bin/condor_status" -af Name 2>/dev/null | wc -l)
    [ "$ready" -ge "$slots" ] && timeout 5 "$root/usr/bin/condor_q" >/dev/null 2>&1 && exit 0
    gone "$(cat "$dir/master.pid")" && fail "condor_master has ended"
    sleep 0.1
  done
  fail "the pool is not ready"
  ;;
stop)
  set -a
  . "$dir/env"
  set +a
  pid=$(cat "$dir/master.pid")
  timeout 5 condor_rm -all >/dev/null 2>&1
  kill -QUIT "$pid" 2>/dev/null
  for _ in $(seq 100); do gone "$pid" && break; sleep 0.1; done
  gone "$pid" || kill -KILL "$pid"
  rm -rf "$dir"
  ;;
esac
