# Shell functions of the kinds File and Directory.

LARGE_KB=4096 # larger files are not read: no declared content is that large

# probe_paths PATH...: one line of metadata for each that exists, and the names of the large files.
probe_paths() {
  stat -c 'stat %f %u %g %s %Y %U:%G:%n' -- "$@" 2>/dev/null
  large="
$(find "$@" -maxdepth 0 -type f -size "+${LARGE_KB}k" 2>/dev/null)
"
  checks='' count=0
}

# probe_file INDEX PATH HASH SHOW: what is there. HASH is that of the desired content, or empty; SHOW yes: the
# content may be sent back where it differs and is at most 256 KiB.
probe_file() {
  look "$2"
  case $seen in
    file)
      case $large in
        *"
$2
"*) say "file $1 large" ;;
        *)
          if [ -n "$3" ]; then
            # All hashes are compared by one process, in check_files.
            checks="$checks$3  $2
"
            eval "index_$count=\$1 path_$count=\$2 show_$count=\$4"
            count=$((count + 1))
          else
            read_file "$1" "$2" "$4"
          fi ;;
      esac ;;
    unknown) say "file $1 unknown $(encode "$why")" ;;
    *) say "file $1 $seen" ;;
  esac
}

# check_files: ends a series of probe_file.
check_files() {
  [ "$count" = 0 ] && return
  position=0
  printf %s "$checks" | sha256sum -c 2>/dev/null | while IFS= read -r verdict; do
    eval "index=\$index_$position path=\$path_$position show=\$show_$position"
    position=$((position + 1))
    case $verdict in
      *': OK') say "file $index same" ;;
      *) read_file "$index" "$path" "$show" ;;
    esac
  done
}

# read_file INDEX PATH SHOW: its hash, and its content where that may be shown.
read_file() {
  if hash=$(sha256sum 2>&1 < "$2"); then
    content=-
    if [ "$3" = yes ] && [ -n "$(find "$2" -maxdepth 0 -type f -size -513)" ]; then
      content=$(base64 -w0 < "$2") || content=-
    fi
    say "file $1 content ${hash%% *} $content"
  else
    look "$2"
    if [ "$seen" = none ]; then say "file $1 none"; else say "file $1 unknown $(encode "cannot read $2")"; fi
  fi
}

probe_directory() {
  look "$2"
  if [ "$seen" = unknown ]; then say "directory $1 unknown $(encode "$why")"; else say "directory $1 $seen"; fi
}

# need_parent PARENT WHAT: the parent is made by no one but its own resource.
need_parent() {
  look "$1"
  case $seen in
    directory) ;;
    link) [ -d "$1" ] || fail blocked "cannot create $2: $1 is a dangling link" '' "$1" ;;
    none) fail blocked "cannot create $2: the directory $1 does not exist" \
      "declare it as a Directory, or create it" "path:$1" ;;
    unknown) fail_because "cannot look at $1" "$why" ;;
    *) fail invalid "cannot create $2: $1 is not a directory" ;;
  esac
}

# own PATH OWNER GROUP MODE: chown first, because it clears the setuid bits that the mode may set.
own() {
  if [ -n "$2$3" ]; then try "cannot give $1 its owner" chown -h -- "$2${3:+:$3}" "$1"; fi
  if [ -n "$4" ]; then try "cannot give $1 its mode" chmod -- "$4" "$1"; fi
}

# put_file PARENT PATH KEY CONTENT MODE OWNER GROUP HOW: puts the file there in one step; CONTENT is base64, HOW is
# replace, or add where nothing may be at the path.
put_file() {
  part=$(printf %.12s "$3")
  rm -f -- "${1%/}/.trueup-$part".??????
  new=$(mktemp "${1%/}/.trueup-$part.XXXXXX" 2>&1) || fail_because "cannot write to $1" "$new"
  trap 'rm -f -- "$new"' EXIT
  # Never visible to others before it is complete and has its owner and mode.
  words=$({ printf %s "$4" | base64 -d > "$new" && sync "$new"; } 2>&1) || fail_because "cannot write $2" "$words"
  own "$new" "$6" "$7" "$5"
  if [ "$8" = add ]; then add_file "$2"; else try "cannot write $2" mv -fT -- "$new" "$2"; fi
  keep_marker
  trap - EXIT
  sync "$1"
}

# add_file PATH: gives $new its name, unless that was taken since it was looked at. Only a link never replaces.
add_file() {
  if words=$(ln -T -- "$new" "$1" 2>&1); then
    rm -f -- "$new"
    return
  fi
  case $words in
    *'File exists'*) ;;
    # A file system without hard links.
    *'Operation not permitted'*|*'not supported'*|*'not implemented'*)
      words=$(mv -nT -- "$new" "$1" 2>&1)
      if [ ! -e "$new" ]; then return; fi ;;
    *) fail_because "cannot write $1" "$words" ;;
  esac
  look "$1"
  [ "$seen" = none ] || fail conflict "$1 appeared while it was being created" "$words"
  fail_because "cannot write $1" "$words"
}

# create_file PARENT PATH KEY OWNER MARKER TAKE CONTENT MODE USER GROUP
create_file() {
  look "$2"
  how=replace
  case $seen in
    none) how=add; need_parent "$1" "$2"; claim "$3" "$4" "$2" "$6" no ;;
    file) claim "$3" "$4" "$2" "$6" yes ;;
    unknown) fail_because "cannot look at $2" "$why" ;;
    *) fail conflict "$2 is a $seen, not a plain file" 'move it away; trueup never replaces it' ;;
  esac
  save_marker "$3" "$created" "$5"
  put_file "$1" "$2" "$3" "$7" "$8" "$9" "${10}" "$how"
  say 'done'
}

# update_file PARENT PATH KEY OWNER MARKER EXPECTED HASH NEWHASH CONTENT MODE USER GROUP
# HASH is that of the observed content, empty where it was not read.
update_file() {
  look "$2"
  case $seen in
    file) ;;
    none) fail conflict "$2 is gone since it was observed" ;;
    unknown) fail_because "cannot look at $2" "$why" ;;
    *) fail conflict "$2 is a $seen, not a plain file" 'move it away; trueup never replaces it' ;;
  esac
  expect "$3" "$4" "$6" "$2"
  if [ -n "$7" ]; then
    hash=$(sha256sum 2>&1 < "$2") || fail_because "cannot read $2" "$hash"
    case ${hash%% *} in
      "$7"|"$8") ;;
      *) fail conflict "$2 changed since it was observed" ;;
    esac
  fi
  user=${11} group=${12}
  # What the manifest leaves open stays as it is.
  old=$(stat -c %u:%g -- "$2") || fail transient "cannot look at $2"
  save_marker "$3" "$created" "$5"
  put_file "$1" "$2" "$3" "$9" "${10}" "${user:-${old%:*}}" "${group:-${old#*:}}" replace
  say 'done'
}

# mark_file PATH KEY OWNER MARKER EXPECTED HASH: for a file that is as it should be.
mark_file() {
  look "$1"
  case $seen in
    file) ;;
    none) fail conflict "$1 is gone since it was observed" ;;
    unknown) fail_because "cannot look at $1" "$why" ;;
    *) fail conflict "$1 is a $seen, not a plain file" 'move it away; trueup never replaces it' ;;
  esac
  expect "$2" "$3" "$5" "$1"
  if [ -n "$6" ]; then
    hash=$(sha256sum 2>&1 < "$1") || fail_because "cannot read $1" "$hash"
    [ "${hash%% *}" = "$6" ] || fail conflict "$1 changed since it was observed"
  fi
  save_marker "$2" "$created" "$4"
  say 'done'
}

# delete_file PARENT PATH KEY OWNER
delete_file() {
  if is_ours "$3" "$4" "$2"; then
    look "$2"
    case $seen in
      none) ;;
      file) try "cannot remove $2" rm -f -- "$2"; sync "$1" ;;
      unknown) fail_because "cannot look at $2" "$why" ;;
      *) fail conflict "$2 is a $seen now, not the file that trueup manages" ;;
    esac
    drop_marker "$3"
  else
    look "$2"
    [ "$seen" = none ] || fail conflict "$2 carries no marker of trueup"
  fi
  say 'done'
}

# create_directory PARENT PATH KEY OWNER MARKER TAKE MODE USER GROUP
create_directory() {
  look "$2"
  was=$seen
  case $seen in
    none) need_parent "$1" "$2"; claim "$3" "$4" "$2" "$6" no ;;
    directory) claim "$3" "$4" "$2" "$6" yes ;;
    unknown) fail_because "cannot look at $2" "$why" ;;
    *) fail conflict "$2 is a $seen, not a directory" 'move it away; trueup never replaces it' ;;
  esac
  save_marker "$3" "$created" "$5"
  if [ "$was" = none ]; then
    try "cannot create $2" mkdir -m 0700 -- "$2"
    keep_marker
    own "$2" "$8" "$9" "${7:-00755}"
    sync "$1"
  else
    own "$2" "$8" "$9" "$7"
  fi
  say 'done'
}

# update_directory PATH KEY OWNER MARKER EXPECTED MODE USER GROUP
update_directory() {
  look "$1"
  case $seen in
    directory) ;;
    none) fail conflict "$1 is gone since it was observed" ;;
    unknown) fail_because "cannot look at $1" "$why" ;;
    *) fail conflict "$1 is a $seen, not a directory" ;;
  esac
  expect "$2" "$3" "$5" "$1"
  save_marker "$2" "$created" "$4"
  own "$1" "$7" "$8" "$6"
  say 'done'
}

# delete_directory PARENT PATH KEY OWNER: only an empty directory, and only one that trueup created.
delete_directory() {
  if is_ours "$3" "$4" "$2"; then
    look "$2"
    case $seen/$created in
      none/*|directory/false) ;;
      directory/true)
        inside=$(find "$2" -mindepth 1 -maxdepth 1 -print 2>&1 | head -n 5 | sed 's|.*/||' | tr '\n' ' ')
        if [ -n "$inside" ]; then
          fail blocked "$2 is not empty: $inside" 'trueup removes only what it made; empty it first' "$inside"
        fi
        try "cannot remove $2" rmdir -- "$2"
        sync "$1" ;;
      unknown/*) fail_because "cannot look at $2" "$why" ;;
      *) fail conflict "$2 is a $seen now, not the directory that trueup manages" ;;
    esac
    drop_marker "$3"
  else
    look "$2"
    [ "$seen" = none ] || fail conflict "$2 carries no marker of trueup"
  fi
  say 'done'
}
