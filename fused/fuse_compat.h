#ifndef FUSED_FUSE_COMPAT_H
#define FUSED_FUSE_COMPAT_H
/* libfuse 3.14 (Debian 12) and 3.17 (Debian 13): the API of 3.14, and what only the newer one
   has. */
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

/* Asks for a capability when the kernel has it. */
static inline void fuse_want(struct fuse_conn_info *conn, unsigned cap)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
    fuse_set_feature_flag(conn, cap);
#else
    conn->want |= conn->capable & cap;
#endif
}
#endif
