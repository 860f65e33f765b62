# The shell that lives inside a sandbox and runs one command after another.
#
# Requests arrive on stdin as NUL-terminated fields; answers leave on stdout:
#   run  NONCE COMMAND          NONCE"B\n", the command's output, NONCE"E"STATUS"\n"
#                               or NONCE"F"STATUS"\n", when no process was left behind
#   next NONCE COMMAND          as run, after an F: nothing can be in the way, so no NONCE"B\n"
#   long NONCE SIZE             the same, the command being SIZE raw bytes after the request
#   put  NONCE SIZE COMMAND     the same, with SIZE raw bytes after the request as stdin
#   kill NONCE                  everything in the sandbox dies, then NONCE"E124\n"
# The nonce is new for every request and in no command's arguments or environment, so what a
# command prints is never taken for an answer.
#
# Only bash, cat and head are needed. `kill -9 -1` spares the caller and process 1 alone: it
# needs no fork (a fork bomb leaves none) and cannot be escaped by setsid. It must never run
# in the host's process namespace, hence the first check.
#
# Commands write to a pipe that a `cat` relays. A background process that keeps the pipe open
# is left running, but before the next command begins its relay is swapped for one that drains
# into /dev/null: its output is never mixed with another command's.
#
# Arguments: the host's process namespace, the most processes, RLIMIT_NPROC, RLIMIT_DATA (KiB);
# the last two empty where a control group limits instead.

[ "$(readlink /proc/self/ns/pid)" != "$1" ] || exit 97
most=$2
[ -z "$3" ] || ulimit -S -H -u "$3"
[ -z "$4" ] || ulimit -S -H -d "$4"
ulimit -S -H -c 0
shift 4
waiter='' relay='' nonce='' alone=0

attach() { # a new pipe and its relay
  exec {pipe}> >(exec cat)
  relay=$!
}

detach() { # what still writes to the old pipe writes into nothing from here on
  exec {drain}<"/proc/self/fd/$pipe" {pipe}>&-
  kill -9 "$relay" 2>/dev/null
  wait "$relay"
  cat <&"$drain" >/dev/null 2>&1 {drain}<&- &
  exec {drain}<&-
  relay=''
}

sweep() { # everything dies but this shell and process 1
  kill -9 -1 2>/dev/null
  wait
  [ -z "$relay" ] || exec {pipe}>&-
  waiter='' relay=''
}

settle() { # the waiter has ended; one that was killed could not report, so report for it
  wait "$waiter"
  local status=$?
  waiter=''
  isolate
  [ $status = 0 ] || printf '%sE137\n' "$nonce"
}

isolate() { # a relay that nobody else writes to; a fork bomb ends here
  local all=(/proc/[0-9]*)
  [ ${#all[@]} -lt $((most * 3 / 4)) ] || sweep
  if [ -n "$relay" ]; then
    [ ${#all[@]} -gt "$alone" ] || ! kill -0 "$relay" 2>/dev/null || return 0
    detach
  fi
  attach
}

field() { # one field into REPLY; looks after the last command once a second
  local part=''
  REPLY=''
  until IFS= read -r -d '' -t 1 part; do
    [ $? -gt 128 ] || exit 0 # end of file: evo is gone, and everything here goes with it
    REPLY+=$part
    [ -z "$waiter" ] || kill -0 "$waiter" 2>/dev/null || settle
  done
  REPLY+=$part
}

run() {
  (
    if [ ${#1} -gt 30000 ]; then # in bytes, more than one argument of execve may hold (128 KiB)
      bash <(printf '%s' "$1") </dev/null >&"$pipe" 2>&1 {pipe}>&-
    else
      bash -c "$1" </dev/null >&"$pipe" 2>&1 {pipe}>&-
    fi
    status=$?
    trap '' PIPE
    all=(/proc/[0-9]*) end=E
    [ ${#all[@]} -gt $((alone + 1)) ] || end=F
    printf '%s%s%d\n' "$nonce" "$end" "$status" >&"$pipe" || printf '%sE%d\n' "$nonce" "$status"
    exit 0
  ) 2>/dev/null &
  waiter=$!
}

put() {
  head -c "$1" | {
    bash -c "$2" 2>&1 {pipe}>&-
    status=$?
    cat >/dev/null
    exit "$status"
  }
  printf '%sE%d\n' "$nonce" "${PIPESTATUS[1]}"
}

begin() {
  [ -z "$waiter" ] || settle
  isolate
  nonce=$1
  printf '%sB\n' "$nonce"
}

attach
everything=(/proc/[0-9]*)
alone=${#everything[@]}
while field; do
  case $REPLY in
    run)
      field; new=$REPLY
      field
      begin "$new"
      run "$REPLY"
      ;;
    next)
      field; new=$REPLY
      field
      [ -z "$waiter" ] || wait "$waiter"
      nonce=$new
      run "$REPLY"
      ;;
    long) # `read` takes a pipe byte by byte
      field; new=$REPLY
      field
      REPLY=$(head -c "$REPLY")
      begin "$new"
      run "$REPLY"
      ;;
    put)
      field; new=$REPLY
      field; size=$REPLY
      field
      begin "$new"
      put "$size" "$REPLY"
      ;;
    kill)
      field; new=$REPLY
      sweep
      printf '%sE124\n' "$new"
      ;;
  esac
done
