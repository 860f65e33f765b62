#!/usr/bin/env bash
# Make this checkout ready to run: system packages, a container engine, and .venv.
#
#   scripts/setup.sh demo            what `evo demo` needs
#   scripts/setup.sh test            what the tests and the check command need, too
#   scripts/setup.sh demo --plan     only say what is missing, change nothing
#
# It says what it installs before it does. What it touches: .venv in the checkout; as root on
# a Debian family machine, apt packages and a Docker daemon where no engine answers (the logs
# of both are in evo's cache folder). Anywhere else it prints the commands for the system part and goes
# on without: what needs those is then skipped by name. EVO_REQUIRE=all makes it a failure.
# EVO_PYTHON names the interpreter to use (3.11 or newer).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
cache=${EVO_HOME:+$EVO_HOME/cache}
cache=${cache:-${XDG_CACHE_HOME:-$HOME/.cache}/evo}
missing=() # what could not be had, one line each

unset PYTHONPATH PYTHONHOME
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a

say() { printf 'setup: %s\n' "$*"; }

die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [[ $(id -u) == 0 ]]; }

has_apt() { [[ -e /etc/debian_version ]] && have apt-get; }

# ---- what is here ---------------------------------------------------------------------

# The first interpreter that is new enough. Each one is run: a name on PATH may be a shim.
find_python() {
  local name
  for name in ${EVO_PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

docker_answers() {
  have docker && timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# Podman's own command needs no service, but evo talks to its socket.
podman_listens() {
  local path
  for path in /run/podman/podman.sock "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/podman/podman.sock"; do
    if [[ -S $path ]] && timeout 20 podman --url "unix://$path" info >/dev/null 2>&1; then return; fi
  done
  return 1
}

# An engine that evo can use for $1 (demo or test): the tests want Docker's own.
engine_answers() {
  docker_answers || { [[ $1 == demo ]] && have podman && podman_listens; }
}

# Ubuntu's chromium-browser is a pointer to a snap, which needs snapd; it does not count.
has_browser() {
  have chromium || have google-chrome || have google-chrome-stable ||
    compgen -G "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}/chromium*" >/dev/null
}

bubblewrap_works() { bwrap --ro-bind / / --unshare-all --dev /dev true >/dev/null 2>&1; }

# Names of the apt packages that are missing for $1 (demo or test), given a Python in $2.
packages_missing() {
  local profile=$1 python=$2
  if [[ -z $python ]]; then
    [[ -n ${EVO_PYTHON:-} ]] || echo python3 python3-venv
  elif ! has_venv "$python"; then
    # Debian keeps ensurepip apart, in a package for each version.
    "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
  fi
  have git || echo git
  have bwrap || echo bubblewrap
  have debootstrap || echo debootstrap
  # What debootstrap checks Debian's packages with; Ubuntu has it as a package of its own.
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || echo debian-archive-keyring
  engine_answers "$profile" || have dockerd || echo docker.io
  if [[ $profile == test ]]; then
    # What the tests drive: a real browser, and a repository that is not Python's.
    has_browser || is_ubuntu || echo chromium
    have node || echo nodejs
    # Playwright's driver is linked against it, and brings none.
    compgen -G '/usr/lib*/*/libatomic.so.1' >/dev/null || compgen -G '/usr/lib*/libatomic.so.1' \
      >/dev/null || echo libatomic1
  fi
}

is_ubuntu() { grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; }

# ---- system packages ------------------------------------------------------------------

apt_install() {
  apt-get install -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    "$@" </dev/null >>"$cache/apt.log" 2>&1
}

install_packages() {
  local packages=("$@") package start=$SECONDS
  mkdir -p "$cache"
  say "installing with apt: ${packages[*]} (its output: $cache/apt.log)"
  apt-get update </dev/null >>"$cache/apt.log" 2>&1 ||
    say "apt-get update failed; going on with the lists that are here"
  if ! apt_install "${packages[@]}"; then
    say "installing them together failed; trying one by one"
    for package in "${packages[@]}"; do
      apt_install "$package" ||
        missing+=("$package: $(grep '^E:' "$cache/apt.log" | tail -n 1)")
    done
  fi
  # From Debian 13 on, docker.io brings the daemon only.
  if have dockerd && ! have docker; then
    apt_install docker-cli || missing+=("docker-cli: apt-get install docker-cli failed")
  fi
  say "apt took $((SECONDS - start)) s"
}

system_packages() {
  local packages=("$@")
  if ((${#packages[@]} == 0)); then
    say "system packages: all here"
  elif [[ $plan == yes ]]; then
    say "missing system packages: ${packages[*]}"
  elif is_root && has_apt; then
    install_packages "${packages[@]}"
  elif has_apt; then
    say "not root, so these stay missing: ${packages[*]}"
    say "to have them: sudo apt-get install --no-install-recommends ${packages[*]}"
    missing+=("${packages[@]/%/: not installed}")
  else
    say "no apt here; install what your system calls: ${packages[*]}"
    missing+=("${packages[@]/%/: not installed}")
  fi
}

# ---- a container engine ---------------------------------------------------------------

engine() {
  local profile=$1
  if engine_answers "$profile"; then
    say "container engine: answers"
  elif [[ $plan == yes ]]; then
    say "container engine: none answers"
  elif ! have dockerd; then
    missing+=("container engine: none answers; evo uses bubblewrap instead")
  elif ! is_root; then
    say "no container engine answers; to start one: sudo systemctl start docker"
    say "and to be let in: sudo usermod -aG docker $(id -un), then log in again"
    missing+=("container engine: none answers; evo uses bubblewrap instead")
  else
    start_engine
  fi
}

start_engine() {
  local log=$cache/dockerd.log process
  if [[ -d /run/systemd/system ]]; then
    say "starting the docker service"
    systemctl start docker || true
    wait_for_engine 60 && return
  fi
  mkdir -p "$cache"
  say "starting dockerd in the background; its log is $log"
  # A daemon that was killed leaves this file, and refuses to start on it.
  if [[ -e /var/run/docker.pid ]] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
    rm -f /var/run/docker.pid
  fi
  # A session of its own: it outlives this script and its terminal.
  setsid nohup dockerd >>"$log" 2>&1 </dev/null &
  process=$!
  if ! wait_for_engine 60 "$process"; then
    missing+=("container engine: dockerd did not start: $(last_error "$log")")
  fi
}

last_error() { { grep -i 'failed' "$1" || cat "$1"; } | tail -n 1; }

# Wait up to $1 seconds until an engine answers, or until process $2 has ended.
wait_for_engine() {
  local seconds=$1 process=${2:-}
  local until=$((SECONDS + seconds))
  while ((SECONDS < until)); do
    if docker_answers; then
      say "container engine: answers"
      return
    fi
    if [[ -n $process ]] && ! kill -0 "$process" 2>/dev/null; then return 1; fi
    sleep 0.5
  done
  return 1
}

# ---- Python ---------------------------------------------------------------------------

# The digest of what an installation follows from; the same digest needs no work.
fingerprint() {
  cat "$root/pyproject.toml" <("$venv/bin/python" -VV) | sha256sum | cut -d ' ' -f 1
}

installed() {
  [[ -x $venv/bin/evo && -r $venv/.evo-setup ]] || return 1
  local digest
  digest=$(fingerprint)
  grep -qx "test $digest" "$venv/.evo-setup" || grep -qx "$1 $digest" "$venv/.evo-setup"
}

virtual_environment() {
  local python=$1
  if "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    return
  fi
  if [[ -e $venv ]]; then say "$venv does not work; making it anew"; fi
  say "making $venv with $python ($("$python" -V))"
  "$python" -m venv --clear "$venv"
}

python_packages() {
  local profile=$1 python=$2 start=$SECONDS
  local wanted=(-e '.[fix]')
  if [[ $profile == test ]]; then wanted=(-e '.[all]' --group dev); fi
  if installed "$profile"; then
    say "Python packages in .venv: all here"
    return
  fi
  if [[ $plan == yes ]]; then
    say "missing in .venv: ${wanted[*]}"
    return
  fi
  virtual_environment "$python"
  say "installing into .venv, with what they depend on: ${wanted[*]} (a minute or two)"
  # --group needs pip 25.1; Debian 12 brings 23.0.
  "$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
  "$venv/bin/python" -m pip install --quiet "${wanted[@]}"
  echo "$profile $(fingerprint)" >>"$venv/.evo-setup"
  say "$("$venv/bin/python" -m pip list --format=freeze 2>/dev/null | wc -l) distributions," \
    "$(du -sm "$venv" | cut -f 1) MB, in $((SECONDS - start)) s"
}

# Chromium where the distribution has no package of it: Playwright's own, in its cache.
browser() {
  if has_browser; then return; fi
  if [[ $plan == yes ]]; then
    say "browser: none"
  elif is_root && is_ubuntu; then
    say "installing Chromium with: playwright install --with-deps chromium"
    "$venv/bin/playwright" install --with-deps chromium ||
      missing+=("browser: playwright install chromium failed")
  else
    say "no Chromium; to have one: .venv/bin/playwright install chromium"
    missing+=("browser: none; tests that need one are skipped")
  fi
}

# ---- all of it ------------------------------------------------------------------------

# The commands that let bubblewrap work, where a setting of the kernel stands in its way.
allow_user_namespaces() {
  local switch=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
  if [[ -r $switch && $(cat "$switch") == 1 ]]; then
    say "to allow them: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
  fi
  switch=/proc/sys/kernel/unprivileged_userns_clone
  if [[ -r $switch && $(cat "$switch") == 0 ]]; then
    say "to allow them: sudo sysctl -w kernel.unprivileged_userns_clone=1"
  fi
}

report() {
  local line
  if have bwrap && ! bubblewrap_works; then
    missing+=("bubblewrap: this machine refuses it user namespaces")
    allow_user_namespaces
  fi
  if ((${#missing[@]} == 0)); then
    say "ready"
    return
  fi
  for line in "${missing[@]}"; do say "without $line"; done
  if [[ ${EVO_REQUIRE:-} == all ]]; then die "EVO_REQUIRE=all: nothing of this may be missing"; fi
  say "ready, without the above"
}

main() {
  local profile=${1:-} python packages
  plan=no
  if [[ ${2:-} == --plan ]]; then plan=yes; fi
  if [[ $profile != demo && $profile != test ]] || (($# > 2)) || [[ $# == 2 && $plan == no ]]; then
    die "usage: scripts/setup.sh demo|test [--plan]"
  fi
  cd "$root"
  python=$(find_python) || python=
  mapfile -t packages < <(packages_missing "$profile" "$python" | tr ' ' '\n')
  system_packages "${packages[@]}"
  python=$(find_python) || die "no Python 3.11 or newer was found" \
    "install one, or name it: EVO_PYTHON=/path/to/python3 scripts/${profile}.sh"
  if [[ $plan == no ]] && ! has_venv "$python"; then
    die "$python cannot make virtual environments" \
      "as root: apt-get install python3-venv (or set EVO_PYTHON to another Python)"
  fi
  engine "$profile"
  python_packages "$profile" "$python"
  if [[ $profile == test ]]; then browser; fi
  if [[ $plan == no ]]; then report; fi
}

main "$@"
