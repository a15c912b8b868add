# Sourced by scripts/test after setup.sh: one function suite_<name> for each C++ and lint suite, and
# run_suite, which times a suite and leaves its result in $ipf_results for scripts/lib/report.py.

# run_suite <name>: never ends the script; a failure is a result like any other.
run_suite() {
  local name="$1" status=0 start=$SECONDS
  ipf_say "suite $name"
  if declare -F "suite_${name//-/_}" >/dev/null; then
    "suite_${name//-/_}" </dev/null || status=$?
  else
    pytest_suite "$name" </dev/null || status=$?
  fi
  printf '%s\n' "$((SECONDS - start))" >"$ipf_results/$name.seconds"
  if [ "$status" -eq 0 ]; then
    echo passed >"$ipf_results/$name.status"
    ipf_say "suite $name: passed in $((SECONDS - start)) s"
  else
    echo failed >"$ipf_results/$name.status"
    ipf_say "suite $name: FAILED after $((SECONDS - start)) s"
  fi
}

# Files of the tree with these endings: tracked ones and new ones that git does not ignore.
tree_files() { git ls-files --cached --others --exclude-standard -- "$@" | existing | sort -u; }
existing() { while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done; }

suite_format() {
  tree_files '*.cpp' '*.hpp' | xargs -r -P "$ipf_jobs" -n 16 \
    "$ipf_venv/bin/clang-format" --dry-run -Werror --style=file
}

suite_ruff() { "$ipf_venv/bin/ruff" check --quiet . ; }

suite_ruff_format() { "$ipf_venv/bin/ruff" format --check --quiet . ; }

# Strict types of the package.
suite_pyright() { "$ipf_venv/bin/pyright"; }

# configure_and_build <preset> [<build arguments...>]
configure_and_build() {
  local preset="$1" log="$ipf_results/$1.configure.log"
  shift
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log"
    return 1
  fi
  ipf_locked nice -n 5 cmake --build --preset "$preset" --parallel "$ipf_jobs" "$@"
}

# ctest_suite <name> <preset>: every GoogleTest case is one test.
ctest_suite() {
  local name="$1" preset="$2"
  ipf_step "build $preset" configure_and_build "$preset" -- --quiet || return 1
  ctest --preset "$preset" --parallel "$ipf_jobs" --quiet --output-on-failure \
    --output-junit "$ipf_results/$name.xml"
}

suite_unit() { ctest_suite unit dev; }
suite_asan() { ctest_suite asan asan; }
suite_tsan() { ctest_suite tsan tsan; }

# The tests of MongoDB once more, on the second server; its build takes more than a minute.
suite_ferretdb() {
  local built="$PWD/build/ferretdb-test-server"
  command -v go >/dev/null || { echo "no Go, so no FerretDB: see https://go.dev/dl"; return 1; }
  ipf_step "build FerretDB" ipf_locked tests/services/ferretdb/server.sh build "$built" || return 1
  ipf_step "build dev" configure_and_build dev -- --quiet || return 1
  IPF_FERRETDB="$built" build/dev/tests/unit/store_test --gtest_filter='*Mongo*' --gtest_brief=1 \
    --gtest_output="xml:$ipf_results/ferretdb.xml"
}

# Ninja checks again only what changed, unless the rules themselves changed.
suite_clang_tidy() {
  local preset=tidy rules stamp
  [ "$mode" != full ] || preset=tidy-full
  rules="$(sha256sum .clang-tidy "$ipf_lib/requirements-test.txt" | sha256sum | cut -d' ' -f1)"
  stamp="build/$preset/rules-$rules"
  if [ ! -e "$stamp" ]; then
    rm -rf "build/$preset"
    mkdir -p "build/$preset"
    touch "$stamp"
  fi
  configure_and_build "$preset" -- --quiet -k 0
}

# pytest_suite <name>: tests/<name> against the package that is installed in .venv. IPython's
# directory is a fresh one, so that no cluster or profile of the user is seen or touched.
pytest_suite() {
  local name="$1" status=0 home distribution=loadfile
  [ "$name" != wire ] || distribution=loadgroup  # its conftest groups tests by the cluster they share
  home="$(mktemp -d "${TMPDIR:-/tmp}/ipf-test.XXXXXX")"
  IPYTHONDIR="$home/ipython" PATH="$ipf_venv/bin:$PATH" VIRTUAL_ENV="$ipf_venv" \
    timeout --kill-after=30 "${IPF_SUITE_TIMEOUT:-1200}" \
    "$ipf_python" -m pytest --quiet -p no:cacheprovider -n "$ipf_jobs" --dist "$distribution" \
    --junitxml "$ipf_results/$name.xml" "tests/$name" || status=$?
  rm -rf "$home"
  return "$status"
}

# The directories below tests/ that hold Python tests, so that a new one cannot be forgotten.
pytest_suites() {
  local directory
  for directory in tests/*/; do
    if compgen -G "${directory}test_*.py" >/dev/null; then
      basename "$directory"
    fi
  done
}
