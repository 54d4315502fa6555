#!/bin/bash
# 11-count-tests.t - what ./check adds up: every case once, nothing unclear
# as a pass; and which tiers it says ran.
. "$(dirname "$0")/tap.sh"

count() {
    "$top_srcdir/tools/count-tests" "$@" 2>&1
}

# trs NAME LINE…: a result file with these results; its log comes from stdin.
trs() {
    local name=$1 line

    shift
    mkdir -p "$T/r"
    for line in "$@"; do
        echo ":test-result: $line"
    done >"$T/r/$name.trs"
    echo ":recheck: no" >>"$T/r/$name.trs"
    cat >"$T/r/$name.log"
}

# case_is DESCRIPTION WANT: the folder's total, then it is emptied.
case_is() {
    tap_is "$1" "$(count "$T/r" | tail -n 1)" "total $2"
    rm -rf "$T/r"
}

trs tap "PASS 1 - a" "PASS 2 - b" "SKIP 3 - c # SKIP why" "FAIL 4 - d" </dev/null
case_is "TAP: each case counts" "2 1 1"

trs tap "PASS 1 - a" "ERROR - missing test plan" </dev/null
case_is "TAP: an error of the test itself is a failure" "1 1 0"

trs tap "XPASS 1 - a # TODO" "XFAIL 2 - b # TODO" </dev/null
case_is "TAP: a known failure is no pass" "0 1 1"

trs plain PASS <<<"[ RUN ] looks like nothing"
case_is "plain test: one case" "1 0 0"

trs plain SKIP </dev/null
case_is "plain test: a skip is no pass" "0 0 1"

trs unit PASS <<'LOG'
[==========] Running 2 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
[       OK ] two
[==========] 2 test(s) run.
[  PASSED  ] 2 test(s).
LOG
case_is "cmocka: each case counts" "2 0 0"

trs unit FAIL <<'LOG'
[==========] tests: Running 3 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
[  ERROR   ] --- 1 != 2
[   LINE   ] --- x.c:1: error: Failure!
[  FAILED  ] two
[ RUN      ] three
[  SKIPPED ] three
[==========] tests: 3 test(s) run.
[  PASSED  ] 1 test(s).
[  FAILED  ] tests: 1 test(s), listed below:
[  FAILED  ] two

 1 FAILED TEST(S)
LOG
case_is "cmocka: a failure counts once although it is listed twice" "1 1 1"

trs unit PASS <<'LOG'
[==========] a: Running 1 test(s).
[ RUN      ] one
[       OK ] one
[==========] a: 1 test(s) run.
[  PASSED  ] 1 test(s).
[==========] b: Running 1 test(s).
[ RUN      ] one
[       OK ] one
[==========] b: 1 test(s) run.
[  PASSED  ] 1 test(s).
LOG
case_is "cmocka: several groups in one program" "2 0 0"

trs unit FAIL <<'LOG'
[==========] Running 3 test(s).
[ RUN      ] one
[       OK ] one
[ RUN      ] two
LOG
case_is "cmocka: dying half-way is a failure" "1 1 0"

trs unit FAIL <<'LOG'
[==========] Running 1 test(s).
[ RUN      ] one
[       OK ] one
[==========] 1 test(s) run.
[  PASSED  ] 1 test(s).
==123==ERROR: LeakSanitizer: detected memory leaks
LOG
case_is "cmocka: dying after the last case is a failure" "1 1 0"

trs empty </dev/null
case_is "a test without results is a failure" "0 1 0"

trs one PASS </dev/null
trs two FAIL <<<"it says why"
tap_is "failed logs are named" "$(count "$T/r" | grep '^log')" \
    "log $T/r/two.log"
case_is "several tests are added up" "1 1 0"

mkdir "$T/r"
case_is "no test: nothing passed" "0 0 0"
tap_is "no folder given: usage error" "$(count >/dev/null; echo $?)" 2

# ---- tiers ----

tiers_are() { # DESCRIPTION WANT
    tap_is "tiers: $1" "$("$top_srcdir/tools/test-tiers" "$T/r" 2>&1)" \
        "tiers: $2"
    rm -rf "$T/r"
}

mkdir "$T/r"
tiers_are "no test, none ran" "1 no, 2 no, 3 no"

trs test-vmm-bus PASS <<<"[       OK ] access__a"
trs test-vmm-vm PASS <<'LOG'
/dev/kvm: No such file or directory
[  SKIPPED ] end__a
LOG
trs 70-vmm-boot SKIP <<<"SKIP: tests/integ/70-vmm-boot.t - no such program"
tiers_are "what was skipped did not run, and why" \
    "1 yes, 2 no (/dev/kvm: No such file or directory), 3 no (no such program)"

trs test-vmm-vm PASS <<'LOG'
[  SKIPPED ] end__a
[       OK ] end__b
LOG
trs test-hv-probe PASS <<<"# /dev/kvm executes 3.6 million instructions/s: \
not hardware speed (200 million is the least)"
trs 70-vmm-boot PASS PASS <<'LOG'
PASS: tests/integ/70-vmm-boot.t 1 - the test host is made
PASS: tests/integ/70-vmm-boot.t 2 - the test host runs to its end
LOG
tiers_are "one case is enough, and what it ran on" \
    "1 no, 2 yes (/dev/kvm, interpreted), 3 yes (emulated host)"

trs fuzz-vmm-blk FAIL </dev/null
trs test-vmm-hostile FAIL <<<"[  FAILED  ] disk__a"
trs test-hv-probe PASS <<<"# /dev/kvm executes 900.0 million \
instructions/s: hardware speed"
trs 77-vmm-cpu-mem FAIL <<'LOG'
FAIL: tests/integ/77-vmm-cpu-mem.t 1 - the test host is made
LOG
tiers_are "what failed ran, a host that was never made did not" \
    "1 yes, 2 yes (/dev/kvm, hardware speed), 3 no"

trs test-vmm-jail PASS <<<"[  SKIPPED ] jail__a"
tiers_are "a test whose cases were all skipped is none" "1 no, 2 no, 3 no"

tap_done
