#!/bin/bash
# build.sh DIR: builds the base image of the test hosts once: DIR/base, a Debian with systemd, sshd and an apt repository
# of its own, so that a running host needs no network. Called by fixtures.py. Needs root, mmdebstrap and dpkg-dev.
set -euo pipefail
dir=$1
base=$dir/base
[ -e "$base/.ready" ] && exit 0
mkdir -p "$dir"
rm -rf --one-file-system "$base" "$base.new"
[ -e "$dir/id" ] || ssh-keygen -q -t ed25519 -N '' -C test-hosts -f "$dir/id"
include=systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,cron,iproute2,procps,less
new=$base.new
suite=${HOSTS_SUITE:-bookworm}

# The hooks put nginx and what it needs into the hosts' own repository, while there is still a network.
mmdebstrap --quiet --mode=root --variant=minbase --include="$include" \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
  --customize-hook='APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get --yes --quiet --download-only install nginx' \
  --customize-hook='mkdir -p "$1/srv/repo" && cp "$1"/var/cache/apt/archives/*.deb "$1/srv/repo/"' \
  --skip=cleanup/apt/lists "$suite" "$new"

# make_package NAME VERSION [POSTINST]: a made-up package
work=$(mktemp -d -p "$dir")
trap 'rm -rf "$work"' EXIT
make_package() {
  local tree=$work/$1-$2
  mkdir -p "$tree/DEBIAN" "$tree/usr/share/$1"
  echo "$2" > "$tree/usr/share/$1/version"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: tests <tests@example.org>\nDescription: made up\n%s' \
    "$1" "$2" "${4:+Depends: $4
}" > "$tree/DEBIAN/control"
  if [ -n "${3:-}" ]; then
    printf '#!/bin/sh\n%s\n' "$3" > "$tree/DEBIAN/postinst"
    chmod 755 "$tree/DEBIAN/postinst"
  fi
  dpkg-deb -b --root-owner-group "$tree" "$new/srv/repo/$1_$2_all.deb" > /dev/null
}
for name in t-one t-two t-three; do make_package $name 1.0; make_package $name 1.1; done
make_package t-broken 1.0 'echo the database of t-broken is missing >&2; exit 1'
make_package t-asks 1.0 'read answer || echo no terminal; exit 0'
make_package t-needs-one 1.0 '' t-one
( cd "$new/srv/repo" && dpkg-scanpackages -m . > Packages 2> /dev/null )

# apt: only the repository on the host's own disk
rm -f "$new/etc/apt/sources.list" "$new"/etc/apt/sources.list.d/* "$new"/var/cache/apt/archives/*.deb
rm -rf "${new:?}"/var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/srv/repo ./' > "$new/etc/apt/sources.list.d/local.list"
cat > "$new/etc/apt/apt.conf.d/90hosts" <<'X'
Acquire::Languages "none";
APT::Install-Recommends "false";
APT::Periodic::Enable "0";
X
printf 'force-unsafe-io\n' > "$new/etc/dpkg/dpkg.cfg.d/90hosts"
chroot "$new" apt-get update -qq

# sshd: one host key, made for each host; every command in a log of its own, which tests count
rm -f "$new"/etc/ssh/ssh_host_*
cat > "$new/etc/ssh/sshd_config.d/90hosts.conf" <<'X'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100:30:200
LogLevel VERBOSE
X
echo 'SSHD_OPTS="-E /var/log/sshd.log"' > "$new/etc/default/ssh"

# accounts: root, admin (sudo without a password) and op (sudo with one), by key
for user in admin op; do chroot "$new" useradd -m -s /bin/bash $user; done
echo 'op:op-password' | chroot "$new" chpasswd
printf 'admin ALL=(ALL:ALL) NOPASSWD: ALL\nop ALL=(ALL:ALL) ALL\n' > "$new/etc/sudoers.d/90hosts"
chmod 440 "$new/etc/sudoers.d/90hosts"
for user in root admin op; do
  home=/home/$user
  [ $user = root ] && home=/root
  mkdir -p -m 700 "$new$home/.ssh"
  cp "$dir/id.pub" "$new$home/.ssh/authorized_keys"
  chmod 600 "$new$home/.ssh/authorized_keys"
  chroot "$new" chown -R $user: $home/.ssh
done

# units that a container does not need
for unit in console-getty.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-networkd.service systemd-networkd.socket \
  systemd-resolved.service systemd-timesyncd.service systemd-network-generator.service systemd-modules-load.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount sys-kernel-debug.mount systemd-journal-flush.service \
  getty.target systemd-pcrphase.service systemd-update-utmp.service systemd-update-utmp-runlevel.service; do
  ln -sf /dev/null "$new/etc/systemd/system/$unit"
done
mkdir -p "$new"/etc/systemd/{journald.conf.d,system/ssh.service.d}
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > "$new/etc/systemd/journald.conf.d/90hosts.conf"
# Before that, logins are refused with "System is booting up".
printf '[Unit]\nAfter=systemd-user-sessions.service\n' > "$new/etc/systemd/system/ssh.service.d/90hosts.conf"
ln -sf /lib/systemd/system/multi-user.target "$new/etc/systemd/system/default.target"
: > "$new/etc/machine-id"
rm -f "$new/etc/resolv.conf" "$new/etc/hostname"
: > "$new/etc/resolv.conf"
touch "$new/.ready"
mv "$new" "$base"
