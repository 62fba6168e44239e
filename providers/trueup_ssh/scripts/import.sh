# Shell functions that list what lives on a host, for import. They change nothing.

MOST_PATHS=5000 # a pattern for more than this is a slip of the pen

# list_paths TYPE INDEX PATTERN: what matches, of the type file or directory; a directory stands for the files in it.
list_paths() {
  wanted=$1 index=$2 count=0
  before=$IFS
  IFS=
  for path in $3; do
    look "$path"
    case $wanted/$seen in
      file/file|directory/directory) say_path "$index" "$path" ;;
      file/directory)
        # A pattern that matches directories too means the files beside them.
        if [ "$path" = "$3" ]; then list_files_in "$index" "$path"; fi ;;
      */unknown) say "unread $index $(encode "$why")" ;;
      */link) say "link $index $(encode "$path")" ;;
    esac
  done
  IFS=$before
}

say_path() {
  count=$((count + 1))
  [ "$count" -le "$MOST_PATHS" ] || fail invalid "more than $MOST_PATHS paths are named" 'name fewer of them'
  say "path $1 $(encode "$2")"
}

list_files_in() {
  if ! words=$(find "$2" -mindepth 1 -maxdepth 1 -type f -exec sh -c '
      for path; do printf "path %s %s\n" "$0" "$(printf %s "$path" | base64 -w0)"; done' "$1" {} + 2>&1); then
    say "unread $1 $(encode "cannot read $2")"
    return
  fi
  [ -n "$words" ] || return 0
  [ "$(printf '%s\n' "$words" | wc -l)" -le "$MOST_PATHS" ] ||
    fail invalid "more than $MOST_PATHS files are in $2" 'name fewer of them'
  printf '%s\n' "$words"
}

# say_closed INDEX FOLDER: the folder on the way to it, all links followed, that keeps other users out, if any.
say_closed() {
  folder=$(cd -P -- "$2" 2>/dev/null && pwd -P) || {
    say "closed $1 $(encode "$2")"
    return 0
  }
  while [ -n "$folder" ]; do
    case $(stat -c %a -- "$folder" 2>/dev/null) in
      *[1357]) ;;
      *)
        say "closed $1 $(encode "$folder")"
        return 0 ;;
    esac
    folder=${folder%/*}
  done
}

# list_packages: a line for each installed package, and the names of those that somebody asked for.
list_packages() {
  command -v dpkg-query >/dev/null || fail invalid "$NO_DPKG" "$NO_DPKG_HINT"
  words=$(dpkg-query -W -f 'listed ${Package} ${db:Status-Status} ${Essential} ${Protected} ${Priority}\n' 2>&1) ||
    fail transient "cannot read the package database: $words"
  printf '%s\n' "$words"
  # Without apt nobody knows, so all count.
  command -v apt-mark >/dev/null || return 0
  words=$(apt-mark showmanual 2>&1) || fail transient "cannot ask apt which packages were asked for: $words"
  say known
  printf '%s\n' "$words" | sed 's/^/manual /'
}

# list_services: the unit files of the host with their states.
list_services() {
  has_systemd || fail invalid "$NO_SYSTEMD" "$NO_SYSTEMD_HINT"
  words=$(systemctl list-unit-files --no-legend --no-pager --full --plain \
    --type=service,socket,timer,path,mount,swap,target,slice 2>&1) ||
    fail transient "cannot ask systemd: $words"
  printf '%s\n' "$words" | sed -n 's/^\([^ ]\{1,\}\)  *\([^ ]\{1,\}\).*/unitfile \2 \1/p'
}

# describe_services NAME...: for each in this order its type, what starts it, and the file that defines it.
describe_services() {
  [ $# -gt 0 ] || return 0
  for unit; do
    say "about $unit"
    systemctl show --property=Type,RemainAfterExit,TriggeredBy,FragmentPath -- "$unit" 2>/dev/null |
      while IFS= read -r detail; do say "detail $unit $detail"; done
  done
}

# say_owners PATH...: the package that brought each file, and how important Debian calls it.
say_owners() {
  command -v dpkg-query >/dev/null || return 0
  [ $# -gt 0 ] || return 0
  # The files may be known by the name from before /lib became a link.
  for path; do
    package=$(dpkg-query -S "$path" 2>/dev/null || dpkg-query -S "${path#/usr}" 2>/dev/null) || continue
    package=${package%%: *}
    package=${package%%,*}
    say "brought $(dpkg-query -W -f '${Priority}' -- "$package" 2>/dev/null | head -n 1) $path"
  done
}
