#!/usr/bin/env bash
# A second MongoDB-protocol server of the tests: FerretDB, pinned in go.mod. Needs Go 1.22 or newer.
#   server.sh build DIR          fetches the modules and compiles, once (about a minute)
#   server.sh run DIR [PORT]     prints its URI; ends when standard input does
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="${2:?a directory for the program}"
case "${1:-}" in
build)
  stamp="$directory/built-$(cat "$here"/go.{mod,sum} "$here/main.go" | sha256sum | cut -c1-16)"
  [ ! -e "$stamp" ] || exit 0
  rm -rf "$directory"
  mkdir -p "$directory"
  cd "$here"
  go build -trimpath -ldflags '-s -w' -tags ferretdb_no_postgresql -o "$directory/server" .
  touch "$stamp"
  ;;
run)
  data="$directory/data"
  mkdir -p "$data/$$"
  for old in "$data"/*; do  # those of servers that were killed
    [ -d "/proc/${old##*/}" ] || rm -rf "$old"
  done
  exec "$directory/server" "$data/$$" "${3:-0}" 2>"$data/$$/log"
  ;;
*)
  echo "usage: server.sh build|run DIR [PORT]" >&2
  exit 2
  ;;
esac
