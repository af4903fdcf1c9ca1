# U-Boot, after the firmware of the Pi: which slot, and its kernel. Made into boot.scr; `dev` comes from uboot-env.txt.
#
# Sector 0x400 of the card holds one record, which U-Boot and fw_setenv both read and write in one sector:
#   seston_good   the slot that has proven itself, A or B
#   seston_trial  a slot that has been written and not proven itself, or nothing
#   seston_left   how often it may still be tried
# An ordinary start writes nothing.
setenv seston_good
setenv seston_trial
setenv seston_left
if mmc read ${work_addr} 0x400 1; then
  env import -c ${work_addr} 0x200 seston_good seston_trial seston_left
fi
if test "${seston_good}" != B; then setenv seston_good A; fi
setenv slot ${seston_good}
setenv trial
if test -n "${seston_trial}"; then
  if itest 0${seston_left} -gt 0; then
    setexpr seston_left ${seston_left} - 1
    setenv slot ${seston_trial}
    setenv trial seston.trial
  else
    echo "seston: slot ${seston_trial} has failed: back to ${seston_good}"
    setenv seston_trial
  fi
  # On the card before it is tried: power that goes now counts as a try.
  env export -c -s 0x200 ${work_addr} seston_good seston_trial seston_left
  mmc write ${work_addr} 0x400 1
fi

# What the unit adds: its console, and more for the kernel.
setenv console ttyS1,115200
setenv more
if load mmc ${dev}:1 ${work_addr} unit/boot.txt; then
  env import -t ${work_addr} ${filesize} console more
fi
if test "${console}" = none; then setenv serial; else setenv serial console=${console}; fi

# There is no Bluetooth here, whose node keeps the other serial port from being a device.
fdt addr ${fdt_addr}
fdt rm /soc/serial@7e201000/bluetooth

# The slot; when it cannot even be read, the other.
setenv other A
if test "${slot}" = A; then setenv other B; fi
for try in ${slot} ${other}; do
  setenv part 2
  if test "${try}" = B; then setenv part 3; fi
  echo "seston: slot ${try} ${trial}"
  if load mmc ${dev}:${part} ${kernel_addr_r} /boot/vmlinuz.gz; then
    setenv kernel_comp_size ${filesize}
    if load mmc ${dev}:${part} ${ramdisk_addr_r} /boot/initrd.img; then
      setenv bootargs console=tty0 ${serial} root=PARTUUID=5e570a01-0${part} rootfstype=ext4 ro rootwait panic=10 net.ifnames=0 quiet seston.slot=${try} ${trial} ${more}
      booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
    fi
  fi
  setenv trial
done
