/* A file system that shows the directory $ROOT and numbers its files in the order of look-up ($DUP 0), or gives
   all regular files one number ($DUP 1); times of change are those of content, without nanoseconds. */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool one_number;

static const char *full(char out[PATH_MAX], const char *path)
{
    snprintf(out, PATH_MAX, "%s%s", getenv("ROOT"), path);
    return out;
}

static int op_getattr(const char *path, struct stat *sb, struct fuse_file_info *fi)
{
    char at[PATH_MAX];
    (void)fi;
    if (lstat(full(at, path), sb) < 0)
        return -errno;
    sb->st_mtim.tv_nsec = 0;
    sb->st_ctim = sb->st_mtim;
    if (one_number && S_ISREG(sb->st_mode))
        sb->st_ino = 7;
    return 0;
}

static int op_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    char at[PATH_MAX];
    DIR *d = opendir(full(at, path));
    (void)off, (void)fi, (void)flags;
    if (!d)
        return -errno;
    for (const struct dirent *e; (e = readdir(d));)
        if (fill(buf, e->d_name, NULL, 0, 0))
            break;
    closedir(d);
    return 0;
}

static int op_open(const char *path, struct fuse_file_info *fi)
{
    char at[PATH_MAX];
    int fd = open(full(at, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    fi->fh = (unsigned long)fd;
    return 0;
}

static int op_read(const char *path, char *buf, size_t n, off_t off, struct fuse_file_info *fi)
{
    (void)path;
    ssize_t got = pread((int)fi->fh, buf, n, off);
    return got < 0 ? -errno : (int)got;
}

static int op_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    return close((int)fi->fh) < 0 ? -errno : 0;
}

static void *op_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
    (void)conn;
    cfg->use_ino = one_number;
    cfg->attr_timeout = cfg->entry_timeout = 0;
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct fuse_operations ops = {.getattr = op_getattr,
                                               .readdir = op_readdir,
                                               .open = op_open,
                                               .read = op_read,
                                               .release = op_release,
                                               .init = op_init};
    one_number = atoi(getenv("DUP"));
    return fuse_main(argc, argv, &ops, NULL);
}
