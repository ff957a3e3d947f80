#ifndef FUSED_LOCKS_H
#define FUSED_LOCKS_H
/*
 * Lock order: a thread that holds one of these may take only those further down.
 *
 *   park.c       park->lock        parked requests
 *   handle.c     fs->files.lock    the list of open files
 *   read_list.c  handle->last_lock the image of a list that was read last
 *   inode.c      table->lock       inode table: keys, names, counts, what a node is served as
 *   devices.c    devices->lock     file systems that the source lies on
 *   sweep.c      sweep->lock       warm list, hints, counts
 *   notify.c     notifier->lock    queue of invalidations
 *   control.c    control->lock     connections
 *   range.c      range->lock       the next image of a range, and how many are under way
 *   pipeline.c   pipeline->lock    queues, single-flight table, bytes admitted
 *   bytes.c      lru->lock         encoded images in memory
 *   name_list.c  list->lock        the lists of names in the status
 *   leaves       libfuse's session lock, purify's service lock, cache's locks, inside their calls
 *
 * purify_submit, _promote and _cancel are called under pipeline->lock, so that a job cannot end
 * between being found and being promoted; the service never calls back under its own lock.
 *
 * No lock of ours is held during a FUSE reply, I/O, decoding, encoding or a callback. The one
 * exception: the reaper asks libfuse whether a request was interrupted under park->lock, which
 * keeps it from being answered (and freed) meanwhile.
 */
#endif
