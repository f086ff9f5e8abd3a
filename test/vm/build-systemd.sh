#!/bin/sh
# Builds the systemd guest: Debian 12 with systemd, a lingering user "u" (uid 1000) and the Node of this machine. Its
# vmtest.service runs /job/run.sh as root once the user's bus is up.
#
# usage: build-systemd.sh [WORKDIR]     as root; build.sh makes the kernel. WORKDIR/systemd.cpio
# needs (Debian): debootstrap, and what build.sh needs. The package mirror is the one that apt uses here.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"
WORKDIR=$(work_directory "${1:-}")
CODENAME=bookworm
PACKAGES=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,util-linux,iproute2,procps,libstdc++6
PATH=$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || fail "debootstrap needs root"
need debootstrap cpio apt-get node

mirror() {
  # shellcheck disable=SC2016 # apt expands these, not the shell
  apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk -v codename="$CODENAME" '$2 == codename && $3 == "main" {print $1; exit}'
}

bootstrap() {
  [ -f systemd-base/.complete ] && [ "$(cat systemd-base/.complete)" = "$PACKAGES" ] && return
  from=$(mirror)
  [ -n "$from" ] || fail "apt has no mirror of Debian $CODENAME here: add one and run apt-get update"
  rm -rf systemd-base
  debootstrap --variant=minbase --include="$PACKAGES" "$CODENAME" systemd-base "$from" >debootstrap.log 2>&1 ||
    fail "debootstrap: $(tail -n 1 debootstrap.log) (see $WORKDIR/debootstrap.log)"
  for directory in usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/zoneinfo var/cache/apt var/lib/apt; do
    rm -rf "systemd-base/$directory"
  done
  printf '%s' "$PACKAGES" >systemd-base/.complete
}

# No udev runs in the guest: a unit that waits for a device would hold the boot for 90 s.
mask() {
  for unit in serial-getty@ttyS0.service getty.target systemd-timesyncd.service apt-daily.timer \
    apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer fstrim.timer; do
    ln -sf /dev/null "systemd-root/etc/systemd/system/$unit"
  done
}

configure() {
  root=systemd-root
  cp "$(readlink -f "$(command -v node)")" $root/usr/bin/node
  strip $root/usr/bin/node 2>/dev/null || true
  # The socket-table modules that build.sh chose, and a program to load them: the image has no kmod.
  mkdir -p $root/usr/local/lib/guest-modules
  cp modules/* $root/usr/local/lib/guest-modules/
  cp "$(command -v busybox)" $root/usr/local/lib/guest-modules/busybox
  chroot $root id u >/dev/null 2>&1 || chroot $root useradd -m -u 1000 -s /bin/sh u
  mkdir -p $root/var/lib/systemd/linger $root/etc/systemd/system/multi-user.target.wants
  touch $root/var/lib/systemd/linger/u
  echo guest >$root/etc/hostname
  printf '127.0.0.1 localhost guest\n::1 localhost\n' >$root/etc/hosts
  mask
  install -m 755 "$HERE/guest/vmtest" $root/usr/local/bin/vmtest
  install -m 644 "$HERE/guest/vmtest.service" $root/etc/systemd/system/vmtest.service
  ln -sf ../vmtest.service $root/etc/systemd/system/multi-user.target.wants/vmtest.service
  ln -sf /lib/systemd/systemd $root/init
}

"$HERE/build.sh" "$WORKDIR"
cd "$WORKDIR"
lock systemd.lock
key=$(image_key "$HERE/build-systemd.sh" "$HERE/guest/vmtest" "$HERE/guest/vmtest.service" vmlinuz)
if [ -s systemd.cpio ] && [ "$(cat systemd.key 2>/dev/null)" = "$key" ]; then exit 0; fi
bootstrap
rm -rf systemd-root systemd.key
cp -a systemd-base systemd-root
configure
(cd systemd-root && find . | cpio -o -H newc --quiet) >systemd.cpio.new
mv systemd.cpio.new systemd.cpio
rm -rf systemd-root
printf '%s' "$key" >systemd.key
echo "systemd guest: $(du -h systemd.cpio | cut -f1) in $WORKDIR"
