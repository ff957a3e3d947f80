#include "examine_path.h"

#include "beneath.h"
#include "fs.h"
#include <errno.h>
#include <fcntl.h>

#include "base/banned.h"

/* A link out of the source, which nobody follows: it is shown, and what it leads to is not
   purified. */
static bool is_link_outside(struct fs *fs, struct fused_file *io)
{
    char text[PATH_MAX];
    enum link_fate fate;
    struct stat sb;
    AUTO(fd_close) int fd = -1;
    if (fs->opt.follow || beneath_open(fs->root_fd, io->name, O_PATH | O_NOFOLLOW, &fd) ||
        fstat(fd, &sb) < 0 || !S_ISLNK(sb.st_mode) || fs_link(fs, io->name, &fate, text) ||
        fate != LINK_OUTSIDE)
        return false;
    *io = fs_note_link(fs, io->name, &sb);
    return true;
}

int examine_path(struct fs *fs, int base_fd, const char *name, const char *path,
                 struct fused_file *out)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, fd;
    int err = beneath_open_following(base_fd, name, flags, &fd);
    struct stat sb;
    struct errmsg e = {""};
    if (err && fs->opt.follow)
        err = fs_open_path(fs, path, flags, &fd);
    if (err) {
        out->name = path;
        return is_link_outside(fs, out) ? 0 : err;
    }
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
        close(fd);
        return EINVAL;
    }
    *out = fused_file_of(fd, path, &sb);
    status st = fused_examine(fs->pipeline, out, &e);
    if (st) {
        close(fd);
        return fs_errno(st);
    }
    fs_note(fs, out);
    return 0;
}

void examine_path_only(struct fs *fs, int base_fd, const char *name, const char *path)
{
    struct fused_file f;
    if (examine_path(fs, base_fd, name, path, &f) == 0 && f.fd >= 0)
        close(f.fd);
}
