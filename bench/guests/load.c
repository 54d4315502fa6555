/* load.c - load for bench/vmm-host.sh, in the guest and in its host; static.
 *   load blk read|write|seqread DEPTH COUNT DEVICE
 *       random 4 KiB (seqread: 256 KiB in order) direct I/O by io_uring;
 *       prints "end NAME OPERATIONS MILLISECONDS"
 *   load udp COUNT BYTES ADDRESS     floods with datagrams
 *   load rx SECONDS INTERFACE        frames that came in meanwhile, as above */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define LARGE (256 << 10)
#define MAX_DEPTH 64
#define BATCH 64

static void
die(const char *what)
{
    perror(what);
    exit(1);
}

static double
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static unsigned long
next_random(void)
{
    static unsigned long x = 88172645463325252;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static int
blk(const char *mode, unsigned depth, unsigned long count, const char *path)
{
    int write_it = strcmp(mode, "write") == 0;
    int seq = strcmp(mode, "seqread") == 0;
    size_t size = seq ? LARGE : BLOCK;
    int fd = open(path, (write_it ? O_RDWR : O_RDONLY) | O_DIRECT);
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    unsigned long done = 0, at = 0, begun = 0, blocks;
    unsigned long long bytes;
    unsigned flying = 0;
    double start;
    char *memory;

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
        die(path);
    if (depth < 1 || depth > MAX_DEPTH ||
        posix_memalign((void **)&memory, 4096, size * MAX_DEPTH))
        return 2;
    memset(memory, 0x5a, size * MAX_DEPTH);
    errno = -io_uring_queue_init(MAX_DEPTH, &ring, 0);
    if (errno)
        die("io_uring");
    blocks = bytes / size;
    printf("begin %s-%u\n", mode, depth);
    fflush(stdout);
    start = now_ms();
    for (unsigned slot = 0; done < count;) {
        while (flying < depth && begun < count) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
            unsigned long b = seq ? at++ % blocks : next_random() % blocks;
            char *to = memory + slot++ % MAX_DEPTH * size;

            if (write_it)
                io_uring_prep_write(sqe, fd, to, (unsigned)size, b * size);
            else
                io_uring_prep_read(sqe, fd, to, (unsigned)size, b * size);
            flying++;
            begun++;
        }
        io_uring_submit_and_wait(&ring, flying ? 1 : 0);
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            if (cqe->res != (int)size) {
                errno = -cqe->res;
                die("I/O");
            }
            io_uring_cqe_seen(&ring, cqe);
            flying--;
            done++;
        }
    }
    printf("end %s-%u %lu %.1f\n", mode, depth, done, now_ms() - start);
    return 0;
}

static int
udp(unsigned long count, size_t size, const char *address)
{
    static char data[65536];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct mmsghdr m[BATCH] = {0};
    struct iovec iov = {data, size};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    double start;

    if (fd < 0 || size > sizeof(data) ||
        inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die("udp");
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        die("connect");
    printf("begin tx-%zu\n", size);
    fflush(stdout);
    start = now_ms();
    for (int i = 0; i < BATCH; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    for (unsigned long n = 0; n < count; n += BATCH)
        if (sendmmsg(fd, m, BATCH, 0) < 0 && errno != ECONNREFUSED &&
            errno != ENOBUFS)
            die("sendmmsg");
    printf("end tx-%zu 0 %.1f\n", size, now_ms() - start);
    return 0;
}

static unsigned long
rx_packets(const char *interface)
{
    char path[128];
    unsigned long n;
    FILE *f;

    snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/rx_packets",
             interface);
    f = fopen(path, "r");
    if (!f || fscanf(f, "%lu", &n) != 1)
        die(path);
    fclose(f);
    return n;
}

static int
rx(double seconds, const char *interface)
{
    struct timespec ts = {.tv_sec = (time_t)seconds,
                          .tv_nsec = (long)(seconds * 1e9) % 1000000000};
    unsigned long first;
    double start;

    printf("begin rx\n");
    fflush(stdout);
    first = rx_packets(interface);
    start = now_ms();
    nanosleep(&ts, NULL);
    printf("end rx %lu %.1f\n", rx_packets(interface) - first,
           now_ms() - start);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "blk") == 0)
        return blk(argv[2], (unsigned)atoi(argv[3]),
                   (unsigned long)atol(argv[4]), argv[5]);
    if (argc == 5 && strcmp(argv[1], "udp") == 0)
        return udp((unsigned long)atol(argv[2]), (size_t)atoi(argv[3]),
                   argv[4]);
    if (argc == 4 && strcmp(argv[1], "rx") == 0)
        return rx(atof(argv[2]), argv[3]);
    fprintf(stderr, "usage: see the source\n");
    return 2;
}
