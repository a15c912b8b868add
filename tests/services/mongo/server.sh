#!/usr/bin/env bash
# The MongoDB-protocol server of the tests (mongo-java-server, in memory).
#   server.sh build DIR          downloads the pinned jars with Maven and compiles, once
#   server.sh run DIR [PORT]     prints its URI; ends when standard input does
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
directory="${2:?a directory for the jars}"
case "${1:-}" in
build)
  stamp="$directory/built-$(cat "$here/pom.xml" "$here/TestServer.java" | sha256sum | cut -c1-16)"
  [ ! -e "$stamp" ] || exit 0
  rm -rf "$directory"
  mkdir -p "$directory"
  mvn --quiet --batch-mode -f "$here/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$directory/lib" </dev/null
  javac -cp "$directory/lib/*" -d "$directory/classes" "$here/TestServer.java"
  touch "$stamp"
  ;;
run)
  exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -cp "$directory/classes:$directory/lib/*" TestServer "${3:-0}"
  ;;
*)
  echo "usage: server.sh build|run DIR [PORT]" >&2
  exit 2
  ;;
esac
