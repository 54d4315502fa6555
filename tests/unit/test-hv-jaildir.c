/* test-hv-jaildir.c - links and strangers' files where a VM's directory is
 * made, opened or given away. As root only. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/fs.h"
#include "common/id.h"
#include "hypervisor-backend/vmm-driver/jaildir.h"

#define UID 1000001u

struct place {
    char path[64];
    int fd;
    char id[ID_SIZE];
};

static int
place_setup(void **state)
{
    static struct place p;

    if (geteuid() != 0)
        skip();
    snprintf(p.path, sizeof(p.path), "/tmp/test-jaildir.XXXXXX");
    if (!mkdtemp(p.path))
        return -1;
    p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    id_new(p.id);
    *state = &p;
    return p.fd < 0 ? -1 : 0;
}

static int
place_teardown(void **state)
{
    struct place *p = *state;

    if (!p) /* skipped */
        return 0;
    close(p->fd);
    return fs_remove_tree(p->path, NULL);
}

static int
prepare(struct place *p, struct jail_dir *d, struct err *e)
{
    *d = (struct jail_dir){-1, -1};
    return jail_dir_prepare(p->fd, p->id, UID, UID + 1, d, e);
}

static void
make_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void
prepare__new_directory_is_roots_and_vsock_the_users(void **state)
{
    struct place *p = *state;
    struct jail_dir d;
    struct stat st;

    assert_int_equal(prepare(p, &d, NULL), 0);
    assert_int_equal(fstat(d.root_fd, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0711);
    assert_int_equal(fstat(d.vsock_fd, &st), 0);
    assert_int_equal(st.st_uid, UID);
    assert_int_equal(st.st_gid, UID + 1);
    assert_int_equal(fcntl(d.root_fd, F_GETFD), FD_CLOEXEC);
    jail_dir_release(&d);
    /* Again, as after a crash, for another slot's user even. */
    assert_int_equal(prepare(p, &d, NULL), 0);
    jail_dir_release(&d);
    assert_int_equal(jail_dir_remove(p->fd, p->id, NULL), 0);
    assert_int_equal(faccessat(p->fd, p->id, F_OK, 0), -1);
    assert_int_equal(jail_dir_remove(p->fd, p->id, NULL), 0);
}

static void
prepare__what_is_no_id_is_refused(void **state)
{
    struct place *p = *state;
    struct jail_dir d;

    assert_int_equal(jail_dir_prepare(p->fd, "../x", UID, UID, &d, NULL),
                     -EINVAL);
    assert_int_equal(jail_dir_prepare(p->fd, "", UID, UID, &d, NULL), -EINVAL);
    assert_int_equal(jail_dir_remove(p->fd, "..", NULL), -EINVAL);
}

static void
prepare__symlink_in_its_place_is_refused(void **state)
{
    struct place *p = *state;
    struct err e _cleanup_(err_release) = {0};
    struct jail_dir d;
    struct stat st;

    assert_int_equal(mkdirat(p->fd, "victim", 0700), 0);
    assert_int_equal(symlinkat("victim", p->fd, p->id), 0);
    assert_int_equal(prepare(p, &d, &e), -ELOOP);
    assert_non_null(strstr(e.message, p->id));
    assert_int_equal(jail_dir_remove(p->fd, p->id, NULL), -ELOOP);
    assert_int_equal(fstatat(p->fd, "victim", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void
prepare__symlink_for_vsock_is_refused(void **state)
{
    struct place *p = *state;
    struct err e _cleanup_(err_release) = {0};
    struct jail_dir d;
    struct stat st;
    int dir;

    assert_int_equal(mkdirat(p->fd, "victim", 0700), 0);
    assert_int_equal(mkdirat(p->fd, p->id, 0700), 0);
    dir = openat(p->fd, p->id, O_RDONLY | O_DIRECTORY);
    assert_int_equal(symlinkat("../victim", dir, "vsock"), 0);
    assert_int_equal(prepare(p, &d, &e), -ELOOP);
    assert_non_null(strstr(e.message, "vsock"));
    assert_int_equal(fstatat(p->fd, "victim", &st, 0), 0);
    assert_int_equal(st.st_uid, 0);
    close(dir);
}

static void
prepare__another_users_directory_is_refused(void **state)
{
    struct place *p = *state;
    struct jail_dir d;

    assert_int_equal(mkdirat(p->fd, p->id, 0700), 0);
    assert_int_equal(fchownat(p->fd, p->id, UID + 7, 0, 0), 0);
    assert_int_equal(prepare(p, &d, NULL), -EPERM);
    assert_int_equal(fchownat(p->fd, p->id, 0, 0, 0), 0);
    assert_int_equal(fchmodat(p->fd, p->id, 0777, 0), 0);
    assert_int_equal(prepare(p, &d, NULL), -EPERM);
}

static void
prepare__file_in_its_place_is_refused(void **state)
{
    struct place *p = *state;
    struct jail_dir d;

    make_file(p->fd, p->id);
    assert_int_equal(prepare(p, &d, NULL), -ENOTDIR);
}

static void
chown__regular_file_is_given(void **state)
{
    struct place *p = *state;
    struct stat st;
    int fd;

    make_file(p->fd, "disk");
    assert_int_equal(jail_dir_open(p->fd, "disk", O_RDWR, &fd, NULL), 0);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
    assert_int_equal(jail_dir_chown(fd, "disk", UID, UID, NULL), 0);
    assert_int_equal(jail_dir_chown(fd, "disk", UID, UID, NULL), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_uid, UID);
    /* Now another VM's: not to be taken from it. */
    assert_int_equal(jail_dir_chown(fd, "disk", UID + 1, UID, NULL), -EPERM);
    close(fd);
}

static void
chown__hard_link_is_refused(void **state)
{
    struct place *p = *state;
    struct err e _cleanup_(err_release) = {0};
    struct stat st;
    int fd;

    make_file(p->fd, "shadow");
    assert_int_equal(linkat(p->fd, "shadow", p->fd, "disk", 0), 0);
    assert_int_equal(jail_dir_open(p->fd, "disk", O_RDWR, &fd, &e), -EMLINK);
    assert_non_null(strstr(e.message, "disk"));
    fd = openat(p->fd, "disk", O_RDWR);
    assert_int_equal(jail_dir_chown(fd, "disk", UID, UID, NULL), -EMLINK);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_uid, 0);
    close(fd);
}

static void
chown__what_is_no_file_is_refused(void **state)
{
    struct place *p = *state;
    int null = open("/dev/null", O_RDWR);

    assert_int_equal(jail_dir_chown(p->fd, "folder", UID, UID, NULL), -EPERM);
    assert_int_equal(jail_dir_chown(null, "null", UID, UID, NULL), -EPERM);
    close(null);
}

static void
open__links_and_ways_out_are_refused(void **state)
{
    struct place *p = *state;
    struct err e _cleanup_(err_release) = {0};
    int fd;

    assert_int_equal(symlinkat("/etc/passwd", p->fd, "log"), 0);
    assert_int_equal(jail_dir_open(p->fd, "log", O_RDWR, &fd, &e), -ELOOP);
    assert_non_null(strstr(e.message, "log"));
    assert_int_equal(symlinkat("/etc", p->fd, "etc"), 0);
    assert_int_equal(jail_dir_open(p->fd, "etc/passwd", O_RDONLY, &fd, NULL),
                     -ELOOP);
    assert_int_equal(
        jail_dir_open(p->fd, "../../etc/passwd", O_RDONLY, &fd, NULL), -EXDEV);
    assert_int_equal(jail_dir_open(p->fd, "/etc/passwd", O_RDONLY, &fd, NULL),
                     -EXDEV);
    /* Does not wait for a writer. */
    assert_int_equal(mkfifoat(p->fd, "fifo", 0600), 0);
    assert_int_equal(jail_dir_open(p->fd, "fifo", O_RDONLY, &fd, NULL), -EPERM);
    assert_int_equal(jail_dir_open(p->fd, "new", O_RDWR | O_CREAT, &fd, NULL),
                     -EINVAL);
}

static void
remove__sockets_go_and_deeper_folders_stay(void **state)
{
    struct place *p = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct jail_dir d;

    assert_int_equal(prepare(p, &d, NULL), 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/port_1",
             d.vsock_fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    make_file(d.root_fd, "file");
    assert_int_equal(mkdirat(d.root_fd, "odd", 0700), 0);
    assert_int_equal(jail_dir_remove(p->fd, p->id, NULL), -ENOTEMPTY);
    assert_int_equal(unlinkat(d.root_fd, "odd", AT_REMOVEDIR), 0);
    assert_int_equal(jail_dir_remove(p->fd, p->id, NULL), 0);
    jail_dir_release(&d);
    close(fd);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        T(prepare__new_directory_is_roots_and_vsock_the_users),
        T(prepare__what_is_no_id_is_refused),
        T(prepare__symlink_in_its_place_is_refused),
        T(prepare__symlink_for_vsock_is_refused),
        T(prepare__another_users_directory_is_refused),
        T(prepare__file_in_its_place_is_refused),
        T(chown__regular_file_is_given),
        T(chown__hard_link_is_refused),
        T(chown__what_is_no_file_is_refused),
        T(open__links_and_ways_out_are_refused),
        T(remove__sockets_go_and_deeper_folders_stay),
    };

    return cmocka_run_group_tests_name("hv-jaildir", tests, NULL, NULL);
}
