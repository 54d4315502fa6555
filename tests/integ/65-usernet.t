#!/bin/bash
# 65-usernet.t - virga-usernet with a guest's network stack on its socket:
# addresses, connections, isolation, hostile frames, memory, rights.
# shellcheck disable=SC2317 # functions are called by name
. "$(dirname "$0")/tap.sh"

talk() {
    timeout 120 python3 "$top_srcdir/tests/integ/usernet-talk.py" \
        "$top_builddir/virga-usernet" "$1"
}

tap_ok "the guest gets its address by DHCP" talk lease
tap_ok "a datagram socket does as well" talk datagrams
tap_ok "IPv6: the router is found" talk ipv6
tap_ok "the guest reaches a listener of this machine" talk reach
tap_ok "an isolated guest reaches nothing" talk isolated
tap_ok "without loopback the listener is out of reach" talk no-loopback
tap_ok "nor is any address of this machine, by any spelling" \
    talk own-addresses
tap_ok "hostile frames are survived" talk hostile
case $(nm "$top_builddir/virga-usernet" 2>/dev/null) in
*__asan_init* | *__tsan_init*)
    tap_skip "a flood does not grow its memory" "sanitizers keep more"
    ;;
*) tap_ok "a flood does not grow its memory" talk flood ;;
esac
tap_ok "nothing is kept for a guest that does not read" talk reader-stops
if [ "$(id -u)" = 0 ]; then
    tap_ok "as another user it has no rights and an empty root" talk rights
else
    tap_skip "as another user it has no rights and an empty root" "needs root"
fi
tap_ok "it ends when the other end closes" talk end
tap_ok "odd options and descriptors are refused" talk options
tap_done
