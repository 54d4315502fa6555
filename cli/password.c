/* password.c - passwords from a file or, unseen, from the terminal. */
#include <config.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "cli/cli.h"
#include "common/fs.h"
#include "common/mem.h"

#define PASSWORD_FILE_MAX 4096

void
cli_wipe(char **p)
{
    if (*p)
        explicit_bzero(*p, strlen(*p));
    freep(p);
}

/* One line, without its end. */
static int
from_file(struct cli *c, const char *path, char **ret)
{
    struct buf text _cleanup_(buf_release) = {0};
    struct err err _cleanup_(err_release) = {0};

    if (streq(path, "-"))
        path = "/dev/stdin";
    if (fs_read(path, PASSWORD_FILE_MAX, &text, &err) < 0)
        return cli_fail(c, EXIT_USAGE, "password_file", "%s", err.message);
    *ret = xstrndup(buf_str(&text), strcspn(buf_str(&text), "\r\n"));
    if (text.len)
        explicit_bzero(text.data, text.len);
    return EXIT_OK;
}

/* The terminal's settings, to be put back whatever ends us. */
static int tty = -1;
static struct termios before;

static void
put_back(int sig)
{
    tcsetattr(tty, TCSAFLUSH, &before);
    if (sig) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

static void
each_signal(void (*fn)(int))
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        signal(ends[i], fn);
}

static int
read_line(struct cli *c, char **ret)
{
    char line[1100];
    size_t n = 0;
    ssize_t r;

    /* The terminal gives a line at a time, its end included. */
    while (n < sizeof(line) - 1 &&
           (r = read(tty, line + n, sizeof(line) - 1 - n)) != 0) {
        if (r < 0 && errno != EINTR)
            return cli_fail(c, EXIT_FAILED, "terminal", "terminal: %s",
                            strerror(errno));
        n += r > 0 ? (size_t)r : 0;
        if (n && line[n - 1] == '\n')
            break;
    }
    line[n] = '\0';
    *ret = xstrndup(line, strcspn(line, "\n"));
    explicit_bzero(line, sizeof(line));
    return EXIT_OK;
}

static int
from_terminal(struct cli *c, const char *prompt, char **ret)
{
    struct termios quiet;
    int rc;

    tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0 || tcgetattr(tty, &before) < 0) {
        closep(&tty);
        return cli_fail(c, EXIT_USAGE, "no_terminal",
                        "there is no terminal to ask for a password: give it "
                        "in a file");
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    quiet.c_lflag |= ICANON | ECHONL;
    each_signal(put_back);
    (void)!fs_write_all(tty, prompt, strlen(prompt));
    if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
        rc = cli_fail(c, EXIT_FAILED, "terminal", "terminal: %s",
                      strerror(errno));
    else
        rc = read_line(c, ret);
    put_back(0);
    each_signal(SIG_DFL);
    closep(&tty);
    return rc;
}

int
cli_password(struct cli *c, const char *file, const char *prompt, char **ret)
{
    int rc = file ? from_file(c, file, ret) : from_terminal(c, prompt, ret);

    if (rc == EXIT_OK && !**ret) {
        cli_wipe(ret);
        return cli_fail(c, EXIT_USAGE, "password", "the password is empty");
    }
    return rc;
}

int
cli_password_new(struct cli *c, const char *file, char **ret)
{
    char *again = NULL;
    int rc = cli_password(c, file, "New password: ", ret);

    if (rc != EXIT_OK || file)
        return rc;
    rc = cli_password(c, NULL, "The same again: ", &again);
    if (rc == EXIT_OK && !streq(*ret, again))
        rc = cli_fail(c, EXIT_USAGE, "password", "the two are not the same");
    cli_wipe(&again);
    if (rc != EXIT_OK)
        cli_wipe(ret);
    return rc;
}
