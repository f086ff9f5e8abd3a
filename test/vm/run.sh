#!/bin/sh
# Boots a guest, runs JOBDIR/run.sh in it as root and exits with its status (99: the guest did not get that far).
# JOBDIR appears as /job. Its content is copied into memory: keep it small.
#
# usage: run.sh WORKDIR JOBDIR [root|systemd]
# VM_MEMORY (MiB), VM_CPUS, VM_TIMEOUT (s), VM_KERNEL_ARGS (governor_cgroup1 = pure v1, root guest only),
# VM_ACCEL and VM_CPU (qemu's -accel and -cpu; the default is emulation, which runs everywhere, of an old CPU: wide vector
# instructions, which Node would use, are slow there), VM_PID_FILE (of the guest)
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/common.sh"
[ $# -ge 2 ] || fail "usage: run.sh WORKDIR JOBDIR [root|systemd]"
WORKDIR=$(work_directory "$1")
JOBDIR=$2
KIND=${3:-root}
case $KIND in
  root) memory=${VM_MEMORY:-2048} ;;
  systemd) memory=${VM_MEMORY:-3072} ;;
  *) fail "unknown guest $KIND: root or systemd" ;;
esac
PATH=$PATH:/usr/sbin:/sbin
need qemu-system-x86_64 cpio timeout mke2fs
[ -f "$JOBDIR/run.sh" ] || fail "$JOBDIR/run.sh is missing"
[ -s "$WORKDIR/vmlinuz" ] && [ -s "$WORKDIR/$KIND.cpio" ] || fail "no $KIND guest in $WORKDIR: build it first"

# Without the firmware's greeting and the terminal's control sequences.
clean() {
  sed -u -e 's/\r//g; s/\x1b\[[0-9;?]*[a-zA-Z]//g; s/\x1bc//g' -e '/^SeaBIOS (version/d; s/^Booting from ROM\.*//; /^$/d'
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
mkdir "$scratch/tree"
cp -a "$JOBDIR" "$scratch/tree/job"
(cd "$scratch/tree" && find job | cpio -o -H newc -R 0:0 --quiet) >"$scratch/job.cpio"
rm -rf "$scratch/tree"
cat "$WORKDIR/$KIND.cpio" "$scratch/job.cpio" >"$scratch/initrd"
# A disk, at /var/tmp: everything else of a guest lies in memory, and temp files in memory are another case.
truncate -s 2G "$scratch/disk"
mke2fs -q -F -t ext4 -O ^has_journal "$scratch/disk" >/dev/null

# --foreground: who interrupts this script ends the guest with it.
timeout --foreground "${VM_TIMEOUT:-600}" qemu-system-x86_64 -accel "${VM_ACCEL:-tcg,thread=multi}" -cpu "${VM_CPU:-Nehalem}" \
  ${VM_PID_FILE:+-pidfile "$VM_PID_FILE"} \
  -smp "${VM_CPUS:-2}" -m "$memory" -nographic -nodefaults -no-reboot -serial stdio -monitor none \
  -drive file="$scratch/disk,if=none,id=disk,format=raw,cache=unsafe" -device nvme,drive=disk,serial=disk \
  -kernel "$WORKDIR/vmlinuz" -initrd "$scratch/initrd" \
  -append "console=ttyS0 panic=-1 quiet loglevel=3 mitigations=off psi=1 systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 ${VM_KERNEL_ARGS:-}" \
  </dev/null | clean | tee "$scratch/log"
status=$(sed -n 's/^VM_EXIT:\([0-9]*\).*/\1/p' "$scratch/log" | tail -n 1)
[ -n "$status" ] || echo "run.sh: the guest ended without a result (killed after ${VM_TIMEOUT:-600} s, or it did not boot)" >&2
exit "${status:-99}"
