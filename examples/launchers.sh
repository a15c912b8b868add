#!/bin/sh
# Engines through a batch system that ipcluster has never heard of: two commands and a template are
# all it needs. Here the "system" is a pair of scripts that start and end jobs on this machine; put
# yours in their place, or use --engines=slurm, sge, pbs, lsf or htcondor, which need none of this.
#
# Run:  sh examples/launchers.sh
set -eu
cluster=launchers-example
work=$(mktemp -d)
cleanup() {
  ipcluster stop "$cluster" --quiet >/dev/null 2>&1 || true
  ipcluster clean --cluster-id="$cluster" --quiet || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# A job is a session of its own; its id is the number that `submit` prints.
cat >"$work/submit" <<'END'
#!/bin/sh
setsid sh "$1" </dev/null >/dev/null 2>&1 &
echo "job $! was submitted"
END
cat >"$work/remove" <<'END'
#!/bin/sh
kill -TERM "-$1"
END
chmod +x "$work/submit" "$work/remove"

# One job with all n engines. A brace of the script itself would be doubled.
cat >"$work/template" <<'END'
#!/bin/sh
exec >>{output_file} 2>&1
echo "{n} engines, colour {colour}"
for number in $(seq {n}); do
  COLOUR={colour} {program_and_args} &
done
wait
END

settings=$(printf '{"submit_command": ["%s"], "delete_command": ["%s"],
  "batch_template_file": "%s", "namespace": {"colour": "green"}}' \
  "$work/submit" "$work/remove" "$work/template")

ipcluster start -n 2 --daemonize --quiet --cluster-id="$cluster" \
  --engines=batch --engine-settings="$settings"
ipcluster list
ipcluster top --once --cluster-id="$cluster"
ipcluster doctor --cluster-id="$cluster" | tail -n 1
ipcluster stop "$cluster" --quiet
echo "stopped"
