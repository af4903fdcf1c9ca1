#!/bin/sh
# Run by mmdebstrap when the first packages are unpacked: our files come before Debian's, so that what Debian's
# packages make as they are installed (the initramfs) is made by them. Arguments: root, folder of tools/flashing.
set -eu
root=$1 here=$2
(cd "$here/rootfs" && find . -type f | LC_ALL=C sort) | while read -r file; do
  mode=0644
  case $file in ./usr/lib/seston/* | ./etc/initramfs-tools/scripts/*) mode=0755 ;; esac
  install -D -m "$mode" "$here/rootfs/$file" "$root/$file"
done
# What raspi-firmware puts on a first partition, genimage does: its hook would find none.
mkdir -p "$root/boot/firmware"
