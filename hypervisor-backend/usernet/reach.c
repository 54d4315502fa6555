/* reach.c - which destinations of a guest's packets are this machine itself,
 * or known to its own links only; see usernet.h.
 *
 * libslirp opens an ordinary socket to whatever address the guest names. Of
 * `disable_host_loopback` it makes that 10.0.2.2 leads nowhere; 127.0.0.1,
 * 0.0.0.0, ::ffff:127.0.0.1 or the address of an interface still connect, and
 * what listens there takes the guest for a process of this machine. */
#include <config.h>

#include "hypervisor-backend/usernet/usernet.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

/* Addresses come and go; a new one is open to the guest for so long. */
#define RENEW_MS 5000
#define DHCP6_SERVER 547

struct usernet_reach {
    uint8_t (*own)[16]; /* IPv4 as ::ffff:a.b.c.d */
    size_t n_own;
    int64_t renewed_ms;
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static void
add(struct usernet_reach *r, const struct sockaddr *sa)
{
    struct sockaddr_in a4;
    struct sockaddr_in6 a6;
    uint8_t *to;

    if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
        return;
    r->own = xrealloc(r->own, (r->n_own + 1) * sizeof(*r->own));
    to = r->own[r->n_own++];
    if (sa->sa_family == AF_INET) {
        memcpy(&a4, sa, sizeof(a4));
        memcpy(to, mapped, sizeof(mapped));
        memcpy(to + 12, &a4.sin_addr, 4);
    } else {
        memcpy(&a6, sa, sizeof(a6));
        memcpy(to, &a6.sin6_addr, 16);
    }
}

static int
renew(struct usernet_reach *r)
{
    struct ifaddrs *all;

    if (getifaddrs(&all) < 0)
        return -errno;
    r->n_own = 0;
    for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
        add(r, i->ifa_addr);
        /* A subnet's broadcast comes back to this machine as well. */
        if (i->ifa_flags & IFF_BROADCAST)
            add(r, i->ifa_broadaddr);
    }
    freeifaddrs(all);
    return 0;
}

int
usernet_reach_new(int64_t now_ms, struct usernet_reach **ret,
                  struct err *reterr)
{
    struct usernet_reach *r = xnew(struct usernet_reach);
    int e = renew(r);

    if (e < 0) {
        usernet_reach_free(r);
        return err_errno(reterr, e, "addresses of this machine");
    }
    r->renewed_ms = now_ms;
    *ret = r;
    return 0;
}

void
usernet_reach_free(struct usernet_reach *r)
{
    if (!r)
        return;
    free(r->own);
    free(r);
}

void
usernet_reach_renew(struct usernet_reach *r, int64_t now_ms)
{
    if (now_ms - r->renewed_ms < RENEW_MS)
        return;
    /* Out of descriptors, by the guest's doing: those known still hold. */
    if (renew(r) == 0)
        r->renewed_ms = now_ms;
}

static bool
is_own(const struct usernet_reach *r, const uint8_t to[16])
{
    for (size_t i = 0; i < r->n_own; i++)
        if (memcmp(r->own[i], to, 16) == 0)
            return true;
    return false;
}

/* RFC 6890: this host, loopback, link-local (where clouds keep what they
 * tell their machines), multicast and what is reserved. */
static bool
ip4_denied(const struct usernet_reach *r, const uint8_t *to)
{
    uint8_t wide[16];

    /* Ours to answer: router, names, and DHCP by broadcast. */
    if (to[0] == 10 && to[1] == 0 && to[2] == 2 && (to[3] == 2 || to[3] == 3))
        return false;
    if ((to[0] & to[1] & to[2] & to[3]) == 0xff)
        return false;
    memcpy(wide, mapped, sizeof(mapped));
    memcpy(wide + 12, to, 4);
    return to[0] == 0 || to[0] == 127 || to[0] >= 224 ||
           (to[0] == 169 && to[1] == 254) || is_own(r, wide);
}

/* RFC 4291. Into ::/96 and ::ffff:0:0/96 the kernel looks for IPv4. */
static bool
ip6_denied(const struct usernet_reach *r, const uint8_t *p)
{
    static const uint8_t zero[12], ours[15] = {0xfe, 0xc0};
    const uint8_t *to = p + 24;

    if (memcmp(to, ours, sizeof(ours)) == 0 && (to[15] == 2 || to[15] == 3))
        return false;
    if (memcmp(to, zero, 12) == 0 || memcmp(to, mapped, 12) == 0 ||
        is_own(r, to))
        return true;
    /* Neighbours are found by ICMP, which libslirp answers by itself. */
    if (p[6] == IPPROTO_ICMPV6)
        return false;
    if (to[0] == 0xff)
        return p[6] != IPPROTO_UDP || (p[42] << 8 | p[43]) != DHCP6_SERVER;
    return to[0] == 0xfe && (to[1] & 0xc0) == 0x80;
}

bool
usernet_reach_denied(const struct usernet_reach *r, const uint8_t *packet,
                     size_t n)
{
    if (n >= 20 && packet[0] >> 4 == 4)
        return ip4_denied(r, packet + 16);
    if (n >= 44 && packet[0] >> 4 == 6)
        return ip6_denied(r, packet);
    return true; /* too short to say */
}
