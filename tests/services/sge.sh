#!/bin/bash
# A private Grid Engine (Debian's gridengine-*): qmaster and execd with N slots; no init system.
#   sge.sh start DIR SLOTS PORT    (uses PORT and PORT+1; as root)
#   sge.sh stop DIR
# Clients need the variables of DIR/env.
set -u
action=${1:?}
dir=${2:?}
programs=/usr/lib/gridengine
shared=/usr/share/gridengine

gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.*[ZX]' "/proc/$1/status" 2>/dev/null; }
as_admin() { runuser -u sgeadmin -- env SGE_ROOT="$SGE_ROOT" SGE_CELL=default "$@"; }
fail() { tail -n 5 "$dir"/*.log "$dir/spool/qmaster/messages" 2>/dev/null; echo "$1"; exit 1; }

case $action in
start)
  slots=${3:?}
  port=${4:?}
  mkdir -p "$dir"
  printf 'SGE_ROOT=%s\nSGE_CELL=default\nSGE_QMASTER_PORT=%s\nSGE_EXECD_PORT=%s\n' \
    "$dir/root" "$port" "$((port + 1))" >"$dir/env"
  set -a
  . "$dir/env"
  set +a
  host=$("$programs/gethostname" -name 2>/dev/null || hostname)
  common="$SGE_ROOT/default/common"
  mkdir -p "$common" "$SGE_ROOT"/{bin,lib,utilbin} "$dir"/spool/{qmaster/job_scripts,execd,db}
  ln -s "$shared/util" "$SGE_ROOT/util"
  arch=$("$shared/util/arch")
  for each in bin lib utilbin; do ln -s "$programs" "$SGE_ROOT/$each/$arch"; done
  sed -e "s#/var/spool/gridengine/spooldb#$dir/spool/db#" \
    -e "s#/var/spool/gridengine/qmaster#$dir/spool/qmaster#" \
    -e 's#^ignore_fqdn.*#ignore_fqdn true#' "$shared/default-bootstrap" >"$common/bootstrap"
  echo "$host" >"$common/act_qmaster"
  echo test >"$common/cluster_name"
  echo "$host localhost" >"$common/host_aliases" # else commands from 127.0.0.1 are denied
  sed -e "s#/var/spool/gridengine/execd#$dir/spool/execd#" \
    -e 's#^min_uid.*#min_uid 0#; s#^min_gid.*#min_gid 0#; s#^mailer.*#mailer /bin/true#' \
    -e 's#^load_report_time.*#load_report_time 00:00:05#' \
    "$shared/default-configuration" >"$dir/configuration"
  chown -R sgeadmin:sgeadmin "$dir"
  chmod 755 "$dir"
  {
    as_admin "$programs/spoolinit" berkeleydb libspoolb "$dir/spool/db" init
    as_admin "$programs/spooldefaults" configuration "$dir/configuration"
    as_admin "$programs/spooldefaults" complexes "$shared/util/resources/centry"
    as_admin "$programs/spooldefaults" usersets "$shared/util/resources/usersets"
    as_admin "$programs/spooldefaults" managers sgeadmin root
    "$programs/sge_qmaster" </dev/null
  } >"$dir/start.log" 2>&1
  for _ in $(seq 100); do
    [ -s "$dir/spool/qmaster/qmaster.pid" ] && timeout 5 qconf -sh >/dev/null 2>&1 && break
    sleep 0.1
  done
  [ -s "$dir/spool/qmaster/qmaster.pid" ] || fail "no qmaster"
  qconf -ssconf | sed -e 's/^schedule_interval.*/schedule_interval 0:0:2/' \
    -e 's/^flush_submit_sec.*/flush_submit_sec 1/; s/^flush_finish_sec.*/flush_finish_sec 1/' \
    -e 's/^job_load_adjustments.*/job_load_adjustments NONE/' >"$dir/scheduler"
  {
    for option in -ah -as; do qconf $option "$host"; done
    qconf -Msconf "$dir/scheduler"
    SGE_EXECD_PIDFILE="$dir/execd.pid" "$programs/sge_execd" </dev/null
  } >>"$dir/start.log" 2>&1
  for _ in $(seq 100); do qconf -sel 2>/dev/null | grep -q "$host" && break; sleep 0.1; done
  qconf -sq 2>/dev/null | sed -e 's/^qname.*/qname all.q/' -e "s/^hostlist.*/hostlist $host/" \
    -e "s/^slots.*/slots $slots/; s/^load_thresholds.*/load_thresholds NONE/" \
    -e 's#^shell .*#shell /bin/sh#; s/^shell_start_mode.*/shell_start_mode unix_behavior/' \
    -e 's/^pe_list.*/pe_list NONE/' >"$dir/queue"
  qconf -Aq "$dir/queue" >>"$dir/start.log" 2>&1 || fail "no queue"
  for _ in $(seq 100); do
    qstat -f 2>/dev/null | grep 'all\.q' | grep -qvE ' (au|u|a|E)$' && exit 0
    sleep 0.1
  done
  fail "the queue is not ready"
  ;;
stop)
  set -a
  . "$dir/env"
  set +a
  timeout 5 qdel -f -u '*' >/dev/null 2>&1
  for _ in $(seq 50); do [ -z "$(timeout 5 qstat 2>/dev/null)" ] && break; sleep 0.1; done
  for file in "$dir/execd.pid" "$dir/spool/qmaster/qmaster.pid"; do
    [ -s "$file" ] || continue
    pid=$(cat "$file")
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 10); do gone "$pid" && break; sleep 0.1; done
    gone "$pid" || kill -KILL "$pid" # an orderly end of qmaster takes nine seconds
  done
  rm -rf "$dir"
  ;;
esac
