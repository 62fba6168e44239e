#!/bin/bash
# lab.sh VERB ...: the network and the hosts of the tests. Called by fixtures.py, which holds the machine's lock.
#   up N            N fresh hosts h1..hN; prints a line "name address" for each
#   down            ends them all, and removes what was made for them
#   off|on HOST     pulls the plug, and starts it again with its disk
#   fresh HOST      a new disk and a new host key
#   cut|heal HOST   no packet reaches it; freeze|thaw: it accepts connections and does nothing
# Touches only processes, namespaces, mounts, links and control groups that it made itself.
# HOSTS_DIR: where build.sh put the base image. HOSTS_NET: the first three numbers of the hosts' addresses.
set -u
here=$(dirname "$(readlink -f "$0")")
dir=${HOSTS_DIR:?} net=${HOSTS_NET:-10.204.77} bridge=brtrueup run=/run/trueup-hosts
export HOSTS_RUN=$run

address_of() { echo "$net.$((10 + ${1#h}))"; }
namespace_of() { echo "trueup-$1"; }
link_of() { echo "vtrueup-$1"; }

control_group() { # the host's, in the unified hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/trueup-hosts/$1"
  else echo "/sys/fs/cgroup/unified/trueup-hosts/$1"; fi
}

is_alive() { # a zombie is dead, even if nobody has fetched its status yet
  local pid stat
  pid=$(cat "$run/$1/pid" 2>/dev/null) && { read -r stat < "/proc/$pid/stat"; } 2>/dev/null && [[ $stat != *') Z '* ]]
}

make_network() {
  mkdir -p "$run"
  mountpoint -q "$run" || mount -t tmpfs -o size=8g,mode=755 trueup-hosts "$run"
  ip route replace unreachable "$net.0/24" metric 4096 # no packet to a test address leaves by the uplink
  if ! ip link show $bridge > /dev/null 2>&1; then
    ip link add $bridge type bridge forward_delay 0
    ip addr add "$net.1/24" dev $bridge
    ip link set $bridge up
  fi
}

make_host() { # a fresh one, not started
  local name=$1 disk=$run/$1 space link mac
  space=$(namespace_of "$name") link=$(link_of "$name")
  mkdir -p "$disk"/{upper,work,root}
  mount -t overlay "overlay-$name" -o "lowerdir=$dir/base,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
  # A fixed hardware address: after a new one, stale neighbour entries cost up to 70 s.
  mac=$(printf 02:fe:00:00:01:%02x $((10 + ${name#h})))
  ip netns add "$space"
  ip link add "$link" type veth peer name eth0 address "$mac" netns "$space"
  ip link set "$link" master $bridge up
  ip -n "$space" addr add "$(address_of "$name")/24" dev eth0
  ip -n "$space" link set lo up
  ip -n "$space" link set eth0 up
  ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$disk/root/etc/ssh/ssh_host_ed25519_key"
  echo "$name" > "$disk/root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > "$disk/root/etc/hosts"
  echo "$(address_of "$name") $(cut -d' ' -f1,2 "$disk/root/etc/ssh/ssh_host_ed25519_key.pub")" > "$disk/known_host"
  cat "$run"/h*/known_host > "$run/known_hosts"
}

start_host() {
  setsid "$here/host.sh" "$1" "$(namespace_of "$1")" > "$run/$1/console.log" 2>&1 < /dev/null &
  echo $! > "$run/$1/pid"
}

stop_host() {
  local group try
  group=$(control_group "$1")
  if [ -d "$group" ]; then { echo 0 > "$group/cgroup.freeze"; echo 1 > "$group/cgroup.kill"; } 2> /dev/null; fi
  for try in $(seq 1 500); do is_alive "$1" || break; sleep 0.01; done
}

remove_host() {
  local name=$1 tree
  stop_host "$name"
  while mountpoint -q "$run/$name/root"; do umount -l "$run/$name/root" || break; done
  ip link del "$(link_of "$name")" 2> /dev/null
  ip netns del "$(namespace_of "$name")" 2> /dev/null
  for tree in /sys/fs/cgroup/{unified,memory,devices,.}/trueup-hosts/"$name"; do
    [ -d "$tree" ] && find "$tree" -depth -type d -exec rmdir {} + 2> /dev/null
  done
  # Never remove a tree through a mount that is still there.
  if mountpoint -q "$run/$name/root"; then echo "$name is still mounted" >&2; return 1; fi
  rm -rf --one-file-system "${run:?}/$name"
}

wait_for_ssh() {
  local address banner try
  address=$(address_of "$1")
  for try in $(seq 1 900); do
    if { exec 9<> "/dev/tcp/$address/22"; } 2> /dev/null; then
      banner=
      read -t 2 -r -u 9 banner
      exec 9>&-
      [[ $banner == SSH-* ]] && return 0
    fi
    sleep 0.03
  done
  echo "$1 did not come up:" >&2
  tail -n 20 "$run/$1/console.log" >&2
  return 1
}

take_down() {
  local disk name
  for disk in "$run"/h*/; do [ -d "$disk" ] && remove_host "$(basename "$disk")"; done
  ip link del $bridge 2> /dev/null
  ip route del unreachable "$net.0/24" metric 4096 2> /dev/null
  if mountpoint -q "$run"; then umount -l "$run"; fi
  rmdir "$run" /sys/fs/cgroup/{unified,memory,devices,.}/trueup-hosts 2> /dev/null
  return 0
}

case ${1:-} in
  up)
    make_network
    for number in $(seq 1 "$2"); do
      remove_host "h$number"
      make_host "h$number" && start_host "h$number" || exit 1
    done
    for number in $(seq 1 "$2"); do
      wait_for_ssh "h$number" || exit 1
      echo "h$number $(address_of "h$number")"
    done ;;
  down) take_down ;;
  off) stop_host "$2" ;;
  on) is_alive "$2" || start_host "$2"; wait_for_ssh "$2" ;;
  fresh) remove_host "$2" && make_host "$2" && start_host "$2" && wait_for_ssh "$2" ;;
  cut) ip link set "$(link_of "$2")" down ;;
  heal) ip link set "$(link_of "$2")" up ;;
  freeze) echo 1 > "$(control_group "$2")/cgroup.freeze" ;;
  thaw) echo 0 > "$(control_group "$2")/cgroup.freeze" ;;
  *) echo "unknown verb: ${1:-}" >&2; exit 2 ;;
esac
