/* Whether something is a mount of ours, asked often and answered without asking that mount. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/banned.h"

/* The devices of our mounts, read again when the kernel says that the list has changed. */
static struct {
    pthread_mutex_t lock;
    int poll_fd; /* guarded by lock, as all below; -1: not opened yet, or not to be had */
    bool known;
    dev_t *device;
    size_t n, room;
} own = {.lock = PTHREAD_MUTEX_INITIALIZER, .poll_fd = -1};

/* Called with own.lock held. */
static void own_line(void *arg, const struct mount_line *m)
{
    bool *failed = arg;
    if (!mount_line_is_ours(m))
        return;
    if (own.n == own.room) {
        size_t room = own.room ? 2 * own.room : 16;
        dev_t *more = mem_realloc(own.device, room * sizeof *more);
        if (!more) {
            *failed = true;
            return;
        }
        own.device = more;
        own.room = room;
    }
    own.device[own.n++] = m->device;
}

/* Called with own.lock held. */
static void own_refresh(void)
{
    bool failed = false;
    if (own.poll_fd < 0)
        own.poll_fd = open(MOUNTINFO, O_RDONLY | O_CLOEXEC);
    struct pollfd p = {.fd = own.poll_fd, .events = POLLPRI};
    bool changed = own.poll_fd < 0 || (poll(&p, 1, 0) > 0 && p.revents & (POLLPRI | POLLERR));
    if (own.known && !changed)
        return;
    own.n = 0;
    own.known = mount_each(own_line, &failed) == STATUS_OK && !failed;
}

bool mount_is_ours_device(dev_t device)
{
    bool found = false;
    pthread_mutex_lock(&own.lock);
    own_refresh();
    for (size_t i = 0; i < own.n && !found; i++)
        found = own.device[i] == device;
    pthread_mutex_unlock(&own.lock);
    return found;
}

int mount_guard(int dirfd, const char *name)
{
    struct statx sx;
    /* DONT_SYNC: the kernel answers for the root of a mount by itself. */
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (statx(dirfd, name, flags | (*name ? 0 : AT_EMPTY_PATH), STATX_TYPE, &sx) < 0)
        return 0;              /* whoever goes on meets the error */
    if (sx.stx_dev_major != 0) /* FUSE has no device of its own */
        return 0;
    return mount_is_ours_device(makedev(sx.stx_dev_major, sx.stx_dev_minor)) ? ELOOP : 0;
}
