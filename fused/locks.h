#ifndef FUSED_LOCKS_H
#define FUSED_LOCKS_H
/*
 * Lock order: a thread that holds one of these may take only those further down.
 *
 *   virtual.c    virtual_files.lock  the texts of virtual files; they are made under it
 *   ops_dir.c    handle->lock        an open directory's stream
 *   park.c       park->lock          parked requests
 *   handle.c     fs->files.lock      the list of open files
 *   read_list.c  handle->last_lock   the image of a list that was read last
 *   inode.c      table->lock         inode table, versions.c and page_cache.c too
 *   devices.c    devices->lock       file systems that the source lies on
 *   sweep.c      sweep->lock         warm list, hints, counts
 *   notify.c     notifier->lock      queue of invalidations
 *   control.c    control->lock       connections
 *   range.c      range->lock         the next image of a range, and how many are under way
 *   pipeline.c   pipeline->lock      queues, single-flight table, bytes admitted, of all its parts
 *   bytes.c      lru->lock           encoded images in memory
 *   name_list.c  list->lock          the lists of names in the status
 *   leaves       jail->lock, jail->orders, the list of our mounts (mount_guard.c), dest->lock,
 *                libfuse's session lock, purify's service lock, cache's locks, inside their calls
 *
 * purify_submit, _promote and _cancel are called under pipeline->lock, so that a job cannot end
 * between being found and being promoted; the service never calls back under its own lock.
 *
 * No lock of ours is held during a FUSE reply, decoding, encoding or the answering of a fetch. I/O
 * is done under the locks of an open directory, of virtual files, of a destination and of the jail,
 * each of which makes only those wait that want the same; and an open file is stat'ed under
 * files.lock, which keeps it from being closed. Under park->lock the reaper asks libfuse whether a
 * request was interrupted, and has its work abandoned, which keeps it from being answered (and
 * freed) meanwhile.
 */
#endif
