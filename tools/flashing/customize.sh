#!/bin/sh
# Run by mmdebstrap when Debian's packages are installed: our files, the instrument, who may log in, which units
# start, and the file system. Arguments: root, this folder, folder for what is made. SOURCE_DATE_EPOCH and
# SLOT_UUID are set.
set -eu
root=$1 here=$2 work=$3
in_root() { chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive "$@"; }

(cd "$here/rootfs" && find . -type f | LC_ALL=C sort) | while read -r file; do
  mode=0644
  case $file in ./usr/lib/seston/* | ./etc/initramfs-tools/scripts/*) mode=0755 ;; esac
  install -D -m "$mode" "$here/rootfs/$file" "$root/$file"
done

for group in gpio apex plugdev; do in_root groupadd --force --system "$group"; done
in_root sh /root/seston.run --image
rm "$root/root/seston.run"

# The deck's user has no password and no key: those are the unit's (usr/lib/seston/apply-unit).
in_root useradd --create-home --shell /bin/bash --groups adm,dialout,video,systemd-journal,sudo deck
in_root usermod -p '*' root
in_root usermod -p '*' deck
echo 'deck ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/deck"
chmod 0440 "$root/etc/sudoers.d/deck"
echo seston > "$root/etc/hostname"

# What starts; and what Debian would start that this machine does not need: nothing is built, updated, listed, asked for
# or sent to a screen aboard, and its users, devices and names are those of the image. The serial console is where the
# kernel's is (unit/boot.txt): systemd's own generator sees to it.
in_root systemctl --quiet enable seston.service seston-unit.service seston-trial.service seston-deck.path \
  systemd-networkd.service
in_root systemctl --quiet disable ssh.service ssh.socket e2scrub_reap.service systemd-networkd.socket \
  getty@tty1.service remote-fs.target || true
in_root systemctl --quiet mask sshd-unix-local.socket sshd-vsock.socket systemd-networkd-wait-online.service \
  systemd-networkd-varlink.socket systemd-networkd-persistent-storage.service systemd-network-generator.service \
  systemd-firstboot.service systemd-machine-id-commit.service systemd-sysusers.service systemd-pstore.service \
  systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrmachine.service \
  systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service ldconfig.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-random-seed.service \
  systemd-journal-flush.service systemd-remount-fs.service systemd-binfmt.service systemd-modules-load.service \
  systemd-udev-load-credentials.service systemd-tmpfiles-setup-dev-early.service kmod-static-nodes.service \
  systemd-creds.socket systemd-hostnamed.socket systemd-sysext.socket systemd-initctl.socket \
  systemd-ask-password-console.path systemd-ask-password-wall.path getty-static.service rescue.service \
  proc-sys-fs-binfmt_misc.automount tmp.mount run-lock.mount \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
  sys-kernel-config.mount modprobe@.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
  systemd-tmpfiles-clean.timer

# The kernel under the names that boot.cmd loads; packed, since U-Boot reads a card slowly.
gzip -9 --no-name < "$(echo "$root"/boot/vmlinuz-*)" > "$root/boot/vmlinuz.gz"
rm "$root"/boot/vmlinuz-*
in_root update-initramfs -c -k "$(basename "$root"/usr/lib/modules/*)"
mv "$root"/boot/initrd.img-* "$root/boot/initrd.img"
rm -rf "$root"/vmlinuz* "$root"/initrd.img* "$root"/boot/System.map-* "$root"/boot/firmware/*

# What would differ between two builds, or is of no use on a float.
in_root apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/* "$root"/var/lib/systemd/random-seed \
  "$root"/etc/ssh/ssh_host_* "$root"/etc/machine-id "$root"/var/lib/dbus/machine-id "$root"/tmp/* "$root"/etc/*- \
  "$root"/var/lib/dpkg/*-old "$root"/root/.bash_history "$root"/root/.cache
: > "$root/etc/machine-id"
mkdir -p "$root/var/lib/seston" "$root/var/log/journal" "$root/var/cache/apt/archives/partial" "$root/run/sshd"
rmdir "$root/var/log/journal"
cp "$root/usr/share/zoneinfo/UTC" "$root/etc/localtime.part" && mv "$root/etc/localtime.part" "$root/etc/localtime"

in_root dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort > "$work/packages.txt"
cp "$work/packages.txt" "$root/usr/share/seston-packages.txt"

# What the first partition of a card needs, for genimage.
mkdir -p "$work/firmware"
cp "$root"/usr/lib/raspi-firmware/bootcode.bin "$root"/usr/lib/raspi-firmware/start.elf \
  "$root"/usr/lib/raspi-firmware/fixup.dat "$root"/usr/lib/raspi-firmware/start4.elf \
  "$root"/usr/lib/raspi-firmware/fixup4.dat "$root"/usr/lib/u-boot/rpi_arm64/u-boot.bin \
  "$root"/usr/lib/linux-image-*/broadcom/bcm2711-*.dtb "$root"/usr/lib/linux-image-*/broadcom/bcm2837-*.dtb \
  "$work/firmware/"

# One file, without what mmdebstrap has mounted. Times later than the source's are of this build.
mkdir "$work/clean"
mount --bind "$root" "$work/clean"
# Folders that something is mounted on stay, and are empty in there.
for place in dev proc sys run; do find "$work/clean/$place" -mindepth 1 ! -type d -delete; done
find "$work/clean" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# As large as what is in it: nobody writes into it, and less is to be written in an update.
files=$(find "$work/clean" | wc -l)
megabytes=$(($(du -sm --apparent-size "$work/clean" | cut -f 1) + files / 256 + 32))
E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -d "$work/clean" -L seston-system -U "$SLOT_UUID" \
  -E "hash_seed=$SLOT_UUID,root_owner=0:0,lazy_itable_init=0" -O '^has_journal' -m 0 -N "$((files + 64))" -b 4096 \
  "$work/system.ext4" "${megabytes}m"
umount "$work/clean"
rmdir "$work/clean"
chmod -R a+rX "$work"
