# Functions that every script of the provider begins with. Read by trueup_ssh.script; POSIX sh and coreutils only.
# A script is these functions, then main(), called on the last line: a script cut off on its way does nothing.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077
undo='' # the marker that this script wrote for an object that is not there yet

say() { printf '%s\n' "$*"; }
encode() { printf %s "$1" | base64 -w0; }
finish() { say end; exit 0; }

# fail CODE MESSAGE [HINT] [BY]: ends the script with an error of the SDK.
fail() {
  withdraw_marker
  printf 'error %s %s %s %s\n' "$1" "$(encode "$2")" "$(encode "${3:-}")" "$(encode "${4:-}")"
  finish
}

# fail_kind FUNCTIONS CODE MESSAGE [HINT]: the nodes of one kind cannot be observed; the others can.
fail_kind() {
  printf 'trouble %s %s %s %s \n' "$1" "$2" "$(encode "$3")" "$(encode "${4:-}")"
}

# fail_because WHAT WORDS: the error that a tool's own words amount to.
fail_because() {
  case $2 in
    *'Permission denied'*|*'Operation not permitted'*)
      fail denied "$1: $2" 'log in as a user who may do this, or set sudo: true on the target' ;;
    *'No space left'*|*'Disk quota exceeded'*|*'Input/output error'*) fail transient "$1: $2" ;;
    *'invalid user'*) fail blocked "$1: $2" 'create the user first' 'its owner' ;;
    *'invalid group'*) fail blocked "$1: $2" 'create the group first' 'its group' ;;
    *) fail invalid "$1: $2" ;;
  esac
}

# try WHAT COMMAND...: runs the command; ends the script where it fails.
try() {
  what=$1
  shift
  words=$("$@" 2>&1) || fail_because "$what" "$words"
}

# look PATH: sets $seen to file, directory, link, special, none or unknown (then $why). Follows no final link.
look() {
  why=
  if [ -L "$1" ]; then seen='link'
  elif [ -f "$1" ]; then seen='file'
  elif [ -d "$1" ]; then seen=directory
  elif [ -e "$1" ]; then seen=special
  else
    # Only the tool's own words tell "not there" from "not allowed to look".
    if why=$(stat -- "$1" 2>&1 >/dev/null); then seen=unknown why="$1 changes while it is looked at"
    else
      case $why in
        *': No such file or directory'|*': Not a directory') seen=none ;;
        *) seen=unknown ;;
      esac
    fi
  fi
}

# begin NONCE OWNERS: checks the directory of the ownership markers. The nonce tells our output from a login script's.
begin() {
  # A login script may have ended in the middle of a line.
  printf '\nbegin %s\n' "$1"
  OWNERS=$2
  if [ -z "$OWNERS" ]; then
    if [ "$(id -u)" = 0 ]; then OWNERS=/var/lib/trueup/owners
    else OWNERS=${XDG_STATE_HOME:-$HOME/.local/state}/trueup/hosts/local/owners
    fi
  fi
  look "$OWNERS"
  case $seen in
    none) ;;
    directory)
      if [ ! -O "$OWNERS" ]; then
        fail denied "$OWNERS belongs to another user" 'the ownership markers belong to the user who writes them'
      fi
      if [ ! -r "$OWNERS" ] || [ ! -x "$OWNERS" ]; then fail denied "$OWNERS cannot be read"; fi
      # The shell reads a line to its end, however long it is. In blocks of 512 bytes.
      large=$(find "$OWNERS" -maxdepth 1 -name '*.json' -size +128 2>/dev/null | head -n 1)
      if [ -n "$large" ]; then
        fail invalid "$large is larger than 64 KiB, so it is no ownership marker" 'look at it, and remove it'
      fi ;;
    unknown) fail_because "cannot read $OWNERS" "$why" ;;
    *) fail invalid "$OWNERS is not a directory" ;;
  esac
}

# show_marker INDEX KEY: prints the marker of one node, if there is one.
show_marker() {
  look "$OWNERS/$2.json"
  case $seen in
    none) return ;;
    file) ;;
    *)
      say "marker $1 (not a plain file)"
      return ;;
  esac
  # A damaged one is an error of its own node only, when it is read.
  marker=
  IFS= read -r marker 2>/dev/null < "$OWNERS/$2.json"
  say "marker $1 $marker"
}

# show_markers: prints every marker of the host.
show_markers() {
  [ -d "$OWNERS" ] || return 0
  # It would be no line, as if it were not there.
  [ -z "$(find "$OWNERS" -maxdepth 1 -type f -name '*.json' -size 0)" ] ||
    fail invalid "an ownership marker in $OWNERS is empty"
  find "$OWNERS" -maxdepth 1 -type f -name '*.json' -exec sed 's/^/marker - /' {} + ||
    fail transient "cannot read the ownership markers in $OWNERS"
  printf '\n' # one that was cut off does not end its line
}

# load_marker KEY OWNER: sets $mark to none, mine or other, and $created to what the marker says.
load_marker() {
  mark=none created=
  look "$OWNERS/$1.json"
  [ "$seen" = none ] && return
  IFS= read -r marker < "$OWNERS/$1.json" || fail invalid "the ownership marker $OWNERS/$1.json is damaged"
  case $marker in
    '{"created":true,'*) created=true ;;
    '{"created":false,'*) created=false ;;
    *) fail invalid "the ownership marker $OWNERS/$1.json is damaged" ;;
  esac
  case $marker in
    *"$2"*) mark=mine ;;
    *) mark=other ;;
  esac
}

# save_marker KEY CREATED REST: writes the marker in one piece; REST is its JSON after the flag.
save_marker() {
  [ "$marker" = "{\"created\":$2,$3" ] && [ "$mark" = mine ] && return
  try "cannot create $OWNERS" mkdir -p "$OWNERS"
  new=$OWNERS/.$1.$$
  { printf '{"created":%s,%s\n' "$2" "$3" > "$new" && sync "$new" && mv -fT "$new" "$OWNERS/$1.json"; } 2>/dev/null ||
    { rm -f "$new"; fail transient "cannot write an ownership marker to $OWNERS" 'is the disk full?'; }
  sync "$OWNERS"
  if [ "$mark" = none ]; then undo=$OWNERS/$1.json saved="{\"created\":$2,$3"; fi
}

# keep_marker: the object is there now, so whatever fails from here on, its marker stays.
keep_marker() { undo=''; }

# withdraw_marker: a marker without its object would make ours what someone else puts there later.
withdraw_marker() {
  [ -n "$undo" ] || return 0
  written=
  IFS= read -r written < "$undo"
  if [ "$written" = "$saved" ] && rm -f -- "$undo"; then sync "$OWNERS"; fi
  undo=''
} 2>/dev/null

# drop_marker KEY
drop_marker() {
  try "cannot remove an ownership marker" rm -f "$OWNERS/$1.json"
  [ ! -d "$OWNERS" ] || sync "$OWNERS"
}

# claim KEY OWNER WHAT TAKE EXISTS: may the owner have the object? Sets $created; ends the script with a conflict if not.
# TAKE is none (only what is not there), unmarked (also what no one has marked), or any.
claim() {
  marker=
  load_marker "$1" "$2"
  case $mark/$4 in
    mine/*)
      # Stale: withdrawn again if the object does not come to be.
      if [ "$5" = no ]; then mark=none; fi
      return ;;
    other/any) ;;
    other/*)
      # With nothing there, what another resource of the same stack left behind is taken over.
      case $5$marker in
        no*"\"installation\":${2#*\"installation\":}"*) mark=none created=true; return ;;
      esac
      fail conflict "$3 is managed by another owner" "$marker" ;;
    none/none) if [ "$5" = yes ]; then
      fail conflict "$3 exists and is not managed by trueup" 'set lifecycle.adopt: true to take it over'; fi ;;
  esac
  if [ "$5" = yes ]; then created=false; else created=true; fi
}

# expect KEY OWNER EXPECTED WHAT: is the marker still the one that was observed? EXPECTED is its owner, or empty.
expect() {
  marker=
  load_marker "$1" "$2"
  [ "$mark" = mine ] && return
  if [ -z "$3" ]; then
    [ "$mark" = none ] || fail conflict "$4 was taken by another owner since it was observed" "$marker"
  else
    load_marker "$1" "$3"
    [ "$mark" = mine ] || fail conflict "the owner of $4 changed since it was observed" "${marker:-it has no marker now}"
    mark=other
  fi
  created=false
}

# is_ours KEY OWNER WHAT: for a delete. False: neither the marker nor, by $gone, the object is there.
is_ours() {
  marker=
  load_marker "$1" "$2"
  case $mark in
    mine) return 0 ;;
    other) fail conflict "$3 is managed by another owner" "$marker" ;;
    none) return 1 ;;
  esac
}

# release_marker KEY OWNER
release_marker() {
  load_marker "$1" "$2"
  if [ "$mark" = mine ]; then drop_marker "$1"; fi
  say 'done'
}
