#!/bin/bash
# A private Slurm: munged, slurmctld and N slurmd as nodes n1..nN of this one machine; no init system.
#   slurm.sh start DIR NODES PORT   (uses the ports PORT..PORT+NODES; must run as root)
#   slurm.sh stop DIR
# Clients need SLURM_CONF=DIR/slurm.conf.
set -u
action=${1:?}
dir=${2:?}
export SLURM_CONF="$dir/slurm.conf"

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*[ZX]' "/proc/$1/status" 2>/dev/null; }
run() {
  local name="$1"
  shift
  setsid "$@" >"$dir/$name.out" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

case $action in
start)
  nodes=${3:?}
  port=${4:?}
  host=$(hostname -s)
  mkdir -p "$dir/state"
  chmod 755 "$dir"
  (umask 077; head -c 128 /dev/urandom >"$dir/munge.key")
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/own.slurmctld
SlurmdPidFile=$dir/own.slurmd.%n
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
SchedulerTimeSlice=5
ReturnToService=2
MinJobAge=60
KillWait=2
NodeName=n[1-$nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=n1 MaxTime=10 State=UP
END
  for i in $(seq "$nodes"); do mkdir -p "$dir/spool.n$i"; done
  run munged munged -F --force --socket="$dir/munge.sock" --key-file="$dir/munge.key" \
    --pid-file="$dir/own.munged" --log-file="$dir/munged.log" --seed-file="$dir/munged.seed"
  for _ in $(seq 200); do [ -S "$dir/munge.sock" ] && break; sleep 0.05; done
  run slurmctld slurmctld -D
  for i in $(seq "$nodes"); do run "slurmd.n$i" slurmd -D -N "n$i"; done
  for _ in $(seq 300); do
    up=$(timeout 5 sinfo -h -N -p main -t idle -o %N 2>/dev/null | sort -u | wc -l)
    [ "$up" = "$nodes" ] && exit 0
    sleep 0.1
  done
  tail -n 5 "$dir"/*.out "$dir"/*.log
  exit 1
  ;;
stop)
  timeout 5 scancel -u root >/dev/null 2>&1
  for _ in $(seq 50); do
    [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break
    sleep 0.1
  done
  for file in "$dir"/slurmd.n*.pid "$dir/slurmctld.pid" "$dir/munged.pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 60); do gone "$pid" && break; sleep 0.05; done
    gone "$pid" || kill -KILL "$pid"
  done
  rm -rf "$dir"
  ;;
esac
