#!/bin/sh
# seston @VERSION@ for @ARCH@, all of it. On the board, as root:    sh @NAME@
# Other ways to call it:                                            sh @NAME@ --help
# What follows this script is a zip: `python3 -m zipfile -l @NAME@` shows what is inside.
{ # Read to its closing brace before any of it is run: a file that was cut off here does nothing.
set -u
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022
HEAD_BYTES=@HEAD_BYTES@
FILE_BYTES=@FILE_BYTES@
ARCH=@ARCH@
PYTHONS='@PYTHONS@'
SHA256=@SHA256@

refuse() {
  echo "seston: $*" >&2
  exit 2
}

case " $* " in
*" --help "* | *" -h "* | *" --check "*) ;;
*) [ "$(id -u)" = 0 ] || refuse "only root may install; call it with sudo." ;;
esac
[ -f "$0" ] && [ "$(wc -c <"$0")" -eq "$FILE_BYTES" ] ||
  refuse "this file is not whole ($FILE_BYTES bytes were made); copy it anew, and call it by its name."
# All bytes but the line that says the sum.
there=$({ head -c "$HEAD_BYTES" "$0" | grep -v '^SHA256='; tail -c "+$((HEAD_BYTES + 1))" "$0"; } | sha256sum)
[ "${there%% *}" = "$SHA256" ] || refuse "this file is not what it was when it was made; copy it anew."
machine=$(uname -m)
[ "$machine" = "$ARCH" ] || refuse "this machine is $machine, the file is for $ARCH; take the file for $machine."
[ "$(getconf LONG_BIT 2>/dev/null || echo 64)" = 64 ] ||
  refuse "this system is a 32-bit one on a 64-bit processor; write the 64-bit system to the card, then install again."
said=
for python in python3 $(for one in $PYTHONS; do echo "python$one"; done); do
  found=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  said="$said $found"
  for one in $PYTHONS; do
    [ "$found" != "$one" ] || exec "$python" -I -B "$0" "$@"
  done
done
refuse "Python ${PYTHONS% *} or ${PYTHONS#* } is needed, here is${said:- none}; use a Debian or Raspberry Pi OS that has it."
exit 2
}
