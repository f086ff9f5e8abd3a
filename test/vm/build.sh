#!/bin/sh
# Builds the small guest: Debian's cloud kernel and an initramfs with busybox, the Node of this machine and the few
# util-linux and iproute2 programs that busybox lacks or does by halves. Root only, pure cgroup v2, no network but loopback.
#
# usage: build.sh [WORKDIR]        WORKDIR/vmlinuz, WORKDIR/root.cpio
# needs (Debian): qemu-system-x86 busybox-static cpio; the kernel package is downloaded and unpacked, nothing is installed
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"
WORKDIR=$(work_directory "${1:-}")
need busybox cpio apt-get dpkg-deb flock node

kernel_package() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends:/ {print $2; exit}'
}

add_kernel() {
  [ -s vmlinuz ] && [ -d kernel/lib/modules ] && return
  package=$(kernel_package)
  if [ -z "$package" ] && [ "$(id -u)" = 0 ]; then
    apt-get update -qq >update.log 2>&1 || fail "apt-get update: $(tail -n 1 update.log)"
    package=$(kernel_package)
  fi
  [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64: run apt-get update"
  rm -rf kernel && mkdir kernel
  download || fail "apt-get download $package: $(tail -n 1 kernel/download.log)"
  dpkg-deb -x kernel/"$package"_*.deb kernel
  rm kernel/"$package"_*.deb
  cp kernel/boot/vmlinuz-* vmlinuz.new
  mv vmlinuz.new vmlinuz
}

# An old list names a package that its mirror has replaced since.
download() {
  (cd kernel && apt-get download "$package" >download.log 2>&1) && return
  [ "$(id -u)" = 0 ] && apt-get update -qq >update.log 2>&1 || return
  package=$(kernel_package)
  (cd kernel && apt-get download "$package" >download.log 2>&1)
}

# A program and every library it is linked with, at the paths they have here.
add_program() {
  program=$(readlink -f "$(command -v "$1")") || fail "$1 is not installed here"
  mkdir -p root/usr/bin
  cp -L "$program" "root/usr/bin/$1"
  ldd "$program" 2>/dev/null | awk '/=> \// {print $3} /^[[:space:]]*\/lib/ {print $1}' | while read -r library; do
    mkdir -p "root$(dirname "$library")"
    cp -Lu "$library" "root$library"
  done
}

add_busybox() {
  cp "$(command -v busybox)" root/bin/busybox
  for applet in $(busybox --list); do
    case $applet in
      busybox | init | linuxrc | sh | ash) ;;
      *) ln -s busybox "root/bin/$applet" ;;
    esac
  done
}

# Socket tables by netlink (what ss reads) are modules in Debian's kernel. The guests load them in this order.
add_modules() {
  rm -rf modules && mkdir modules
  number=0
  for module in inet_diag tcp_diag udp_diag unix_diag; do
    file=$(find kernel/lib/modules -name "$module.ko*" | head -n 1)
    [ -n "$file" ] || continue
    number=$((number + 1))
    cp "$file" "modules/$number-$(basename "$file")"
  done
  mkdir -p root/lib/modules
  cp modules/* root/lib/modules/
}

add_files() {
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n' >root/etc/passwd
  printf 'root:x:0:\nnogroup:x:65534:\n' >root/etc/group
  printf '127.0.0.1 localhost\n::1 localhost\n' >root/etc/hosts
  ln -s ../../bin/busybox root/usr/bin/env
  cp "$HERE/guest/init" root/init
  chmod 755 root/init
}

mkdir -p "$WORKDIR" && cd "$WORKDIR"
lock root.lock
key=$(image_key "$HERE/build.sh" "$HERE/guest/init")
if [ -s root.cpio ] && [ -s vmlinuz ] && [ "$(cat root.key 2>/dev/null)" = "$key" ]; then exit 0; fi
add_kernel
rm -rf root root.key
for directory in bin dev etc proc root run sys tmp usr/bin var/tmp; do mkdir -p "root/$directory"; done
add_busybox
# dash, because the shell of busybox prefers its own applets to what PATH says; timeout, which makes a process group; perl,
# which every Debian has, and by which `governor run` passes on variables that a shell would drop.
for program in node dash timeout unshare nsenter prlimit setpriv ss perl; do add_program "$program"; done
ln -s ../usr/bin/dash root/bin/sh
strip root/usr/bin/node 2>/dev/null || true
add_modules
add_files
(cd root && find . | cpio -o -H newc -R 0:0 --quiet) >root.cpio.new
mv root.cpio.new root.cpio
rm -rf root
printf '%s' "$key" >root.key
echo "root guest: $(du -h root.cpio | cut -f1) in $WORKDIR"
