/* main.c - virga-usernet: command line; see usernet.h. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "hypervisor-backend/usernet/usernet.h"

enum { STATUS_ENDED = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

static void
usage(FILE *to)
{
    fputs("usage: virga-usernet --fd N [option ...]\n"
          "A network for one VM out of sockets of this process: address by "
          "DHCP, router\nand this machine at 10.0.2.2, DNS at 10.0.2.3.\n\n"
          "  --fd N           unix socket (SOCK_SEQPACKET or SOCK_DGRAM) to "
          "the VM's\n"
          "                   NIC of the kind packets\n"
          "  --isolated       nothing beyond this network can be reached\n"
          "  --no-loopback    nothing of this machine can be reached (by "
          "10.0.2.2 or any\n"
          "                   other address), nor link-local and group "
          "addresses; names\n"
          "                   can still be looked up\n"
          "  --mtu N          576 to 9000 (default 1500)\n"
          "  --uid N --gid N  as whom to run, in an empty root (needs root)\n"
          "  --help, --version\n\n"
          "Ends with status 0 when the other end of the socket is closed.\n",
          to);
}

/* False: not a number from min to max. */
static bool
number(const char *option, const char *s, unsigned long min, unsigned long max,
       unsigned long *ret)
{
    char *end;

    errno = 0;
    *ret = strtoul(s, &end, 10);
    if (!errno && end != s && !*end && *s >= '0' && *s <= '9' && *ret >= min &&
        *ret <= max)
        return true;
    fprintf(stderr, "virga-usernet: %s: a number from %lu to %lu, please\n",
            option, min, max);
    return false;
}

/* 1: go; else how to end. */
static int
parse(int argc, char **argv, struct usernet_options *o,
      struct usernet_rights *rights)
{
    enum { FD, ISOLATED, NO_LOOPBACK, MTU, UID, GID, HELP, SHOW_VERSION };
    static const struct option longs[] = {
        {"fd", required_argument, NULL, FD},
        {"isolated", no_argument, NULL, ISOLATED},
        {"no-loopback", no_argument, NULL, NO_LOOPBACK},
        {"mtu", required_argument, NULL, MTU},
        {"uid", required_argument, NULL, UID},
        {"gid", required_argument, NULL, GID},
        {"help", no_argument, NULL, HELP},
        {"version", no_argument, NULL, SHOW_VERSION},
        {0},
    };
    bool uid = false, gid = false, ok = true;
    unsigned long n;
    int c;

    while (ok && (c = getopt_long(argc, argv, "", longs, NULL)) != -1)
        switch (c) {
        case FD:
            ok = number("--fd", optarg, 3, 1 << 20, &n);
            o->fd = (int)n;
            break;
        case ISOLATED:
            o->isolated = true;
            break;
        case NO_LOOPBACK:
            o->no_loopback = true;
            break;
        case MTU:
            ok = number("--mtu", optarg, USERNET_MTU_MIN, USERNET_MTU_MAX, &n);
            o->mtu = (unsigned)n;
            break;
        case UID:
            ok = uid = number("--uid", optarg, 1, (uid_t)-2, &n);
            rights->uid = (uid_t)n;
            break;
        case GID:
            ok = gid = number("--gid", optarg, 1, (gid_t)-2, &n);
            rights->gid = (gid_t)n;
            break;
        case HELP:
            usage(stdout);
            return STATUS_ENDED;
        case SHOW_VERSION:
            puts("virga-usernet " PACKAGE_VERSION);
            return STATUS_ENDED;
        default:
            return -STATUS_USAGE; /* getopt has said why */
        }
    if (!ok)
        return -STATUS_USAGE;
    if (o->fd < 0 || uid != gid || optind != argc) {
        usage(stderr);
        return -STATUS_USAGE;
    }
    rights->change = uid;
    return 1;
}

int
main(int argc, char **argv)
{
    struct usernet_options o = {.fd = -1, .mtu = 1500, .statm = -1};
    struct usernet_rights rights = {0};
    struct err err _cleanup_(err_release) = {0};
    int r;

    log_setup("virga-usernet", LOG_LEVEL_INFO);
    r = parse(argc, argv, &o, &rights);
    if (r <= 0)
        return -r;
    o.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (o.statm < 0)
        r = err_errno(&err, -errno, "/proc/self/statm");
    else
        r = usernet_drop_rights(&rights, &o.fd, &o.statm, &err);
    if (r >= 0)
        r = usernet_seccomp(&err);
    if (r >= 0)
        r = usernet_run(&o, &err);
    if (r < 0)
        log_error("user network failed", "reason=\"%s\"", err.message);
    return r < 0 ? STATUS_FAILED : STATUS_ENDED;
}
