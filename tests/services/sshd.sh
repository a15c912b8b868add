#!/bin/bash
# A private sshd on loopback with keys of its own; host1..host4 are names of it in DIR/ssh_config.
#   sshd.sh start DIR PORT      (as root; logs in as the same user)
#   sshd.sh stop DIR
# ssh -F DIR/ssh_config host1 ...
set -u
action=${1:?}
dir=${2:?}

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*[ZX]' "/proc/$1/status" 2>/dev/null; }

case $action in
start)
  port=${3:?}
  mkdir -p "$dir"
  chmod 700 "$dir"
  mkdir -p -m 755 /run/sshd
  for key in host_key id; do ssh-keygen -q -t ed25519 -N '' -f "$dir/$key"; done
  cp "$dir/id.pub" "$dir/authorized_keys"
  echo "test $(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
  cat >"$dir/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey $dir/host_key
PidFile $dir/own.pid
AuthorizedKeysFile $dir/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
END
  cat >"$dir/ssh_config" <<END
Host host*
  HostName 127.0.0.1
  Port $port
  User $(id -un)
  IdentityFile $dir/id
  IdentitiesOnly yes
  UserKnownHostsFile $dir/known_hosts
  HostKeyAlias test
  StrictHostKeyChecking yes
END
  setsid /usr/sbin/sshd -D -e -f "$dir/sshd_config" >"$dir/sshd.log" 2>&1 </dev/null &
  echo $! >"$dir/sshd.pid"
  for _ in $(seq 200); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && exit 0
    sleep 0.05
  done
  cat "$dir/sshd.log"
  exit 1
  ;;
stop)
  pid=$(cat "$dir/sshd.pid")
  for child in $(ps -o pid= --ppid "$pid"); do kill -TERM "$child"; done
  kill -TERM "$pid"
  for _ in $(seq 60); do gone "$pid" && break; sleep 0.05; done
  rm -rf "$dir"
  ;;
esac
