# Shell functions of the kind Service: systemctl, which never prompts here.

NO_SYSTEMD='this host does not run systemd' NO_SYSTEMD_HINT='the kind Service manages units of systemd'

has_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null; }

show_units() { systemctl show --property=LoadState,ActiveState,SubState,UnitFileState -- "$@"; }

# probe_services NAME...: a block of properties for each, in this order, each after a line with its name.
probe_services() {
  if ! has_systemd; then
    fail_kind service invalid "$NO_SYSTEMD" "$NO_SYSTEMD_HINT"
    return
  fi
  if ! words=$(show_units "$@" 2>&1); then
    trouble=$words words='' answered=no
    # One name that systemd does not take makes it refuse all of them.
    for unit; do
      if block=$(show_units "$unit" 2>/dev/null); then answered=yes; else block='Refused=yes'; fi
      words="$words${words:+

}$block"
    done
    if [ "$answered" = no ]; then
      fail_kind service transient "cannot ask systemd: $trouble"
      return
    fi
  fi
  for unit; do say "unit $unit"; done
  printf '%s\n' "$words" | sed 's/^/property /'
  # Only systemctl itself knows whether a unit made from an init script is enabled.
  case $words in
    *UnitFileState=generated*) ;;
    *) return ;;
  esac
  for unit; do
    case $(systemctl show --property=UnitFileState --value -- "$unit") in
      generated) say "generated $unit $(systemctl is-enabled -- "$unit" 2>/dev/null)" ;;
    esac
  done
}

# find_service NAME: sets $load, $active and $enabled.
find_service() {
  has_systemd || fail invalid "$NO_SYSTEMD" "$NO_SYSTEMD_HINT"
  words=$(systemctl show --property=LoadState,ActiveState,UnitFileState,NeedDaemonReload -- "$1" 2>&1) ||
    fail transient "cannot ask systemd: $words"
  load=$(printf '%s\n' "$words" | sed -n 's/^LoadState=//p')
  active=$(printf '%s\n' "$words" | sed -n 's/^ActiveState=//p')
  enabled=$(printf '%s\n' "$words" | sed -n 's/^UnitFileState=//p')
  if [ "$enabled" = generated ]; then enabled=$(systemctl is-enabled -- "$1" 2>/dev/null); fi
  case $words in
    *NeedDaemonReload=yes*) try "cannot reload systemd's configuration" systemctl --no-ask-password daemon-reload ;;
  esac
}

# run_systemctl WHAT NAME VERB: bounded; where it fails, the last lines of the unit's journal say why.
run_systemctl() {
  words=$(timeout -k 5 90 systemctl --no-ask-password "$3" -- "$2" 2>&1)
  case $? in
    0) keep_marker; return ;;
    124|137) keep_marker; return ;; # it goes on by itself; the next observation says how it went
  esac
  case $words in
    *'Access denied'*|*'Interactive authentication required'*|*'Permission denied'*)
      fail denied "$1: $words" 'services are changed by root: set sudo: true on the target' ;;
  esac
  # A unit that systemd starts again by itself is in use, although its start failed.
  case $(systemctl show --property=ActiveState --value -- "$2" 2>/dev/null) in
    inactive|failed) ;;
    *) keep_marker ;;
  esac
  journal=$(timeout 10 systemctl status -n 10 --no-pager -l -- "$2" 2>&1 | tail -n 10 | tail -c 2000)
  fail invalid "$1: $words
$journal"
}

# set_service NAME RUNNING ENABLED: yes or no each.
set_service() {
  find_service "$1"
  if [ "$load" = masked ]; then
    [ "$2$3" = nono ] && return
    fail invalid "$1 is masked" 'systemctl unmask it first; trueup does not'
  fi
  case $3/$enabled in
    yes/enabled) ;;
    yes/static|yes/indirect|yes/transient|yes/alias|yes/'')
      fail invalid "$1 cannot be enabled: its unit is ${enabled:-without a file}" 'set spec.enabled: false' ;;
    yes/*) run_systemctl "cannot enable $1" "$1" enable ;;
    no/enabled|no/linked) run_systemctl "cannot disable $1" "$1" disable ;;
    no/enabled-runtime|no/linked-runtime)
      try "cannot disable $1" systemctl --no-ask-password disable --runtime -- "$1" ;;
  esac
  case $2/$active in
    yes/active|yes/reloading|yes/activating) ;;
    yes/*) run_systemctl "cannot start $1" "$1" start ;;
    no/inactive|no/failed) ;;
    no/*) run_systemctl "cannot stop $1" "$1" stop ;;
  esac
}

# is_in_use: does the unit of find_service run, or is it enabled? If not, there is nothing to own, and what trueup
# makes of it, it undoes again.
is_in_use() {
  case $load/$active/$enabled in
    not-found/*) false ;;
    */active/*|*/activating/*|*/reloading/*|*/enabled) true ;;
    *) false ;;
  esac
}

# create_service NAME KEY OWNER MARKER TAKE RUNNING ENABLED
create_service() {
  find_service "$1"
  if [ "$load" = not-found ]; then
    fail blocked "there is no unit $1 on this host" 'add dependsOn with the Package or File that brings it' "$1"
  fi
  exists=no
  if is_in_use; then exists=yes; fi
  claim "$2" "$3" "$1" "$5" "$exists"
  save_marker "$2" "$created" "$4"
  set_service "$1" "$6" "$7"
  say 'done'
}

# update_service NAME KEY OWNER MARKER EXPECTED RUNNING ENABLED
update_service() {
  find_service "$1"
  [ "$load" != not-found ] || fail conflict "$1 is gone since it was observed"
  expect "$2" "$3" "$5" "$1"
  save_marker "$2" "$created" "$4"
  set_service "$1" "$6" "$7"
  say 'done'
}

# refresh_service NAME KEY OWNER VERB: a running unit takes up what changed around it; no other is started.
refresh_service() {
  find_service "$1"
  [ "$load" != not-found ] || fail conflict "$1 is gone since it was observed"
  marker=
  load_marker "$2" "$3"
  [ "$mark" = mine ] || fail conflict "$1 does not carry our marker, so nothing is done to it" "$marker"
  case $active in
    active|reloading|activating) ;;
    *)
      say 'done'
      return ;;
  esac
  if [ "$4" = reload ] && [ "$(systemctl show --property=CanReload --value -- "$1")" = no ]; then
    fail invalid "$1 cannot reload what it reads" 'set spec.onTrigger: restart, or reload-or-restart'
  fi
  run_systemctl "cannot $4 $1" "$1" "$4"
  say 'done'
}

# delete_service NAME KEY OWNER: stops and disables what trueup started and enabled; else it only lets go.
delete_service() {
  if ! is_ours "$2" "$3" "$1"; then
    find_service "$1"
    if is_in_use; then fail conflict "$1 carries no marker of trueup"; fi
    say 'done'
    return
  fi
  find_service "$1"
  if [ "$load" != not-found ] && [ "$created" = true ]; then set_service "$1" no no; fi
  drop_marker "$2"
  say 'done'
}
