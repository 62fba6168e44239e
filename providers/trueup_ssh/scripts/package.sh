# Shell functions of the kind Package: dpkg and apt-get, which never prompt here.

NO_DPKG='there is no dpkg on this host' NO_DPKG_HINT='the kind Package manages hosts of the Debian family'

# probe_packages NAME...: one line for each that dpkg knows of.
probe_packages() {
  if ! command -v dpkg-query >/dev/null; then
    fail_kind package invalid "$NO_DPKG" "$NO_DPKG_HINT"
    return
  fi
  words=$(dpkg-query -W -f 'package ${Package} ${Version} ${db:Status-Status} ${db:Status-Want}\n' -- "$@" 2>&1)
  # 1: some are not known at all. Anything above: the database could not be read.
  if [ $? -gt 1 ]; then
    fail_kind package transient "cannot read the package database: $words"
    return
  fi
  printf '%s\n' "$words" | grep '^package ' || :
}

# find_package NAME: sets $version and $status (installed, half-configured, ...; none).
find_package() {
  version='' status=none
  command -v dpkg-query >/dev/null || fail invalid "$NO_DPKG" "$NO_DPKG_HINT"
  found=$(dpkg-query -W -f '${Version} ${db:Status-Status}\n' -- "$1" 2>&1)
  case $? in
    0) version=${found%% *} status=${found#* } ;;
    1) ;;
    *) fail transient "cannot read the package database: $found" ;;
  esac
  case $status in
    not-installed|config-files) status=none ;;
  esac
}

# run_apt SECONDS COMMAND...: output and errors in $words. No terminal, no question, no changed configuration file
# replaced, and nothing else removed.
run_apt() {
  seconds=$1
  shift
  words=$(DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical APT_LISTCHANGES_FRONTEND=none \
    UCF_FORCE_CONFFOLD=1 NEEDRESTART_SUSPEND=1 timeout -k 10 "$seconds" "$@" 2>&1)
}

# fail_apt WHAT: the error that the output of apt or dpkg amounts to. The last lines say why.
fail_apt() {
  tail=$(printf '%s\n' "$words" | grep -v '^\(Reading\|Building\|Selecting\|(Reading\)' | tail -n 15 | tail -c 2000)
  case $words in
    *'(13: Permission denied)'*|*'are you root'*|*'requires superuser'*)
      fail denied "$1: $tail" 'packages are changed by root: set sudo: true on the target' ;;
    *'Could not get lock'*|*'Unable to acquire the dpkg frontend lock'*|*'is locked by another process'*|*'database is locked'*)
      fail transient "$1: another program holds the lock of the package database: $tail" ;;
    *'No space left'*) fail transient "$1: $tail" ;;
    *'Failed to fetch'*|*'Temporary failure resolving'*|*'Could not connect'*|*'Unable to connect'*)
      fail transient "$1: $tail" 'is the package mirror reachable from the host?' ;;
    *'--allow-change-held-packages'*) fail invalid "$1: the package is on hold: $tail" 'apt-mark unhold it first' ;;
    *'Packages need to be removed'*)
      fail invalid "$1: other packages would have to be removed: $tail" 'trueup removes nothing to install something' ;;
    *) fail invalid "$1: $tail" ;;
  esac
}

APT='-y -q -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold'

# is_offered NAME VERSION: is there such a package, in that version unless empty, in the lists of apt?
# To apt a name that it does not know is a pattern: only the exact name counts.
is_offered() {
  apt-cache show --no-all-versions "$1${2:+=$2}" 2>/dev/null | grep -qxF "Package: $1"
}

# refresh_lists NAME VERSION LOCK: apt-get update where the lists are older than a day or do not have the package.
refresh_lists() {
  stamp=${OWNERS%/*}/apt-updated
  fresh=$(find /var/lib/apt/lists /var/lib/apt/lists/partial "$stamp" -maxdepth 0 -mmin -1440 2>/dev/null)
  if [ -n "$fresh" ] && is_offered "$1" "$2"; then return; fi
  run_apt 300 apt-get update -q -o APT::Update::Error-Mode=any -o "DPkg::Lock::Timeout=$3"
  updated=$?
  [ "$updated" != 0 ] || { mkdir -p "${stamp%/*}" && : > "$stamp"; } 2>/dev/null || :
  if is_offered "$1" "$2"; then return; fi
  [ "$updated" = 0 ] || fail_apt "cannot look for $1${2:+ $2}"
  fail invalid "there is no package $1${2:+ in version $2} for this host" 'look at its sources.list'
}

# install_package NAME VERSION LOCK: what is there already in any version, or in this one, is left alone.
install_package() {
  find_package "$1"
  if [ "$status" = installed ]; then
    if [ -z "$2" ] || [ "$2" = "$version" ]; then return; fi
  fi
  case $status in
    unpacked|half-configured|triggers-awaited|triggers-pending)
      # Its installation stopped half way: finish it before anything else.
      run_apt 600 dpkg --force-confdef --force-confold --configure "$1"
      find_package "$1"
      if [ "$status" = installed ]; then
        if [ -z "$2" ] || [ "$2" = "$version" ]; then return; fi
      elif [ -z "$2" ] || [ "$2" = "$version" ]; then fail_apt "cannot configure $1"
      fi ;;
  esac
  refresh_lists "$1" "$2" "$3"
  # shellcheck disable=SC2086 # a fixed list of options
  run_apt 600 apt-get install $APT -o "DPkg::Lock::Timeout=$3" --no-remove \
    ${2:+--allow-downgrades} -- "$1${2:+=$2}" || fail_install "$1" "$2"
  keep_marker
  find_package "$1"
  [ "$status" = installed ] || fail invalid "apt-get did not install $1: it is $status"
}

# fail_install NAME VERSION: what stopped half way is there, and ours.
fail_install() {
  case $(dpkg-query -W -f '${db:Status-Status}' -- "$1" 2>/dev/null) in
    ''|not-installed|config-files) ;;
    *) keep_marker ;;
  esac
  fail_apt "cannot install $1${2:+ $2}"
}

# create_package NAME KEY OWNER MARKER TAKE VERSION LOCK
create_package() {
  find_package "$1"
  exists=yes
  [ "$status" != none ] || exists=no
  claim "$2" "$3" "package $1" "$5" "$exists"
  if [ "$exists" = no ]; then refresh_lists "$1" "$6" "$7"; fi
  save_marker "$2" "$created" "$4"
  install_package "$1" "$6" "$7"
  say 'done'
}

# update_package NAME KEY OWNER MARKER EXPECTED VERSION LOCK
update_package() {
  find_package "$1"
  [ "$status" != none ] || fail conflict "package $1 is gone since it was observed"
  expect "$2" "$3" "$5" "package $1"
  save_marker "$2" "$created" "$4"
  install_package "$1" "$6" "$7"
  say 'done'
}

# delete_package NAME KEY OWNER VERB LOCK: VERB is remove or purge. Only what trueup installed, and nothing with it.
delete_package() {
  if ! is_ours "$2" "$3" "package $1"; then
    find_package "$1"
    [ "$status" = none ] || fail conflict "package $1 carries no marker of trueup"
    say 'done'
    return
  fi
  find_package "$1"
  if [ "$created" = true ] && { [ "$status" != none ] || [ "$4" = purge ]; }; then remove_package "$1" "$4" "$5"; fi
  drop_marker "$2"
  say 'done'
}

# remove_package NAME VERB LOCK
remove_package() {
  known=$(dpkg-query -W -f '${Essential} ${Protected}\n' -- "$1" 2>/dev/null) || return
  case $known in
    *yes*) fail invalid "$1 is an essential package: it is never removed" 'set lifecycle.onDelete: orphan' ;;
  esac
  run_apt 120 apt-get -s -q "$2" -- "$1" || fail_apt "cannot remove $1"
  others=$(printf '%s\n' "$words" | sed -n 's/^\(Remv\|Purg\) \([^ ]*\).*/\2/p' | grep -vxF "$1" | tr '\n' ' ')
  if [ -n "$others" ]; then
    fail blocked "$1 is needed by packages that would go with it: $others" 'remove those first' "$others"
  fi
  # shellcheck disable=SC2086 # a fixed list of options
  run_apt 600 apt-get "$2" $APT -o "DPkg::Lock::Timeout=$3" -- "$1" || fail_apt "cannot remove $1"
}
