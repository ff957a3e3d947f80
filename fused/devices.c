#include "devices.h"

#include "base/base.h"

#include <sys/vfs.h>

#include "base/banned.h"

/* Local file systems whose numbers are part of what they store, and network ones whose servers
   promise as much. Others (FUSE, 9p, exFAT, ...) make numbers up as files are looked up. */
static bool keeps_numbers(int fd)
{
    static const uint32_t magic[] = {
        0xef53,     /* ext2, ext3, ext4 */
        0x58465342, /* XFS */
        0x9123683e, /* Btrfs */
        0xf2f52010, /* F2FS */
        0xca451a4e, /* bcachefs */
        0x2fc12fc1, /* ZFS */
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x73717368, /* squashfs */
        0xe0f5e1e2, /* EROFS */
        0x00009660, /* ISO 9660 */
        0x794c7630, /* overlayfs */
        0x00006969, /* NFS */
    };
    struct statfs sf;
    if (fstatfs(fd, &sf) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(magic); i++)
        if ((uint32_t)sf.f_type == magic[i])
            return true;
    return false;
}

void devices_init(struct devices *d)
{
    *d = (struct devices){.n = 0};
    pthread_mutex_init(&d->lock, NULL);
}

bool devices_sure(struct devices *d, uint64_t device, int fd)
{
    pthread_mutex_lock(&d->lock);
    unsigned i = 0;
    while (i < d->n && d->known[i].device != device)
        i++;
    bool known = i < d->n, sure = known && d->known[i].sure;
    pthread_mutex_unlock(&d->lock);
    if (known)
        return sure;
    sure = keeps_numbers(fd);
    pthread_mutex_lock(&d->lock);
    if (d->n < DEVICES_MAX) {
        d->known[d->n].device = device;
        d->known[d->n++].sure = sure;
    }
    pthread_mutex_unlock(&d->lock);
    return sure;
}
