#!/bin/bash
# host.sh NAME NAMESPACE: runs one test host in the foreground. Started by lab.sh in a session of its own; ends when the
# container is killed or powers off, and starts it again when it asked for a reboot (status 133).
name=$1 space=$2 disk=${HOSTS_RUN:?}/$1
# A control group in the old hierarchies, where this machine has them.
if [ -d /sys/fs/cgroup/memory ]; then
  mkdir -p "/sys/fs/cgroup/memory/trueup-hosts/$name"
  echo $$ > "/sys/fs/cgroup/memory/trueup-hosts/$name/cgroup.procs"
fi
# Only harmless devices: never this machine's disks.
if [ -d /sys/fs/cgroup/devices ]; then
  group=/sys/fs/cgroup/devices/trueup-hosts/$name
  mkdir -p "$group"
  echo a > "$group/devices.deny"
  for device in 'c 1:3' 'c 1:5' 'c 1:7' 'c 1:8' 'c 1:9' 'c 5:0' 'c 5:2' 'c 136:*'; do
    echo "$device rwm" > "$group/devices.allow"
  done
  echo $$ > "$group/cgroup.procs"
fi
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
exec unshare --mount --propagation private bash -c '
name=$1 space=$2 disk=$3
# On a machine with the old or both hierarchies the container gets a pure view of the new one.
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  umount -R /sys/fs/cgroup 2> /dev/null
  mount -t cgroup2 none /sys/fs/cgroup
fi
while :; do
  mkdir -p "/sys/fs/cgroup/trueup-hosts/$name/supervisor"
  echo $$ > "/sys/fs/cgroup/trueup-hosts/$name/supervisor/cgroup.procs"
  mkdir -p "/sys/fs/cgroup/trueup-hosts/$name/run.$$"
  (
    echo $BASHPID > "/sys/fs/cgroup/trueup-hosts/$name/run.$$/cgroup.procs"
    exec systemd-nspawn --quiet --boot --directory="$disk/root" --machine="trueup-$name" --hostname="$name" \
      --register=no --keep-unit --network-namespace-path="/run/netns/$space" --resolv-conf=off --link-journal=no \
      --timezone=off --console=pipe --capability=CAP_NET_ADMIN --drop-capability=CAP_MKNOD \
      --kill-signal=SIGRTMIN+3 < /dev/null
  )
  status=$?
  [ $status = 133 ] || exit $status
done' _ "$name" "$space" "$disk"
