#ifndef FUSED_BENEATH_H
#define FUSED_BENEATH_H
/*
 * Opening things under the source root and nowhere else: no symbolic link is followed, no ".." is
 * taken, no magic link is believed (openat2 with RESOLVE_BENEATH; where the kernel lacks it,
 * component by component with O_NOFOLLOW). Return 0 or an errno value: what they give goes straight
 * into FUSE replies.
 */

/* path: relative, "." for the root itself. O_CLOEXEC and O_NOFOLLOW are added. */
int beneath_open(int root_fd, const char *path, int flags, int *out_fd);
/* The same, but EXDEV where the path leads into another mount. (Without openat2 that is not
   noticed.) */
int beneath_open_same_mount(int root_fd, const char *path, int flags, int *out_fd);
/* For reading a regular file's or directory's data: without touching its access time where we may,
   without waiting if a FIFO took its place. */
int beneath_open_data(int root_fd, const char *path, int extra_flags, int *out_fd);
/* For reading, with symbolic links followed as long as they stay under base_fd (where there is no
   openat2: not followed). */
int beneath_open_following(int base_fd, const char *path, int flags, int *out_fd);
/* Whether path, a symbolic link, leads to something below root_fd without leaving it, or the file
   system it is on, anywhere: an O_PATH descriptor of that. ENOSYS where there is no openat2. */
int beneath_reaches(int root_fd, const char *path, int *out_fd);
/* For reading a regular file through the link `name` of dir_fd, wherever it leads: as
   beneath_open_data otherwise. */
int beneath_open_linked(int dir_fd, const char *name, int *out_fd);
/* Only for tests: as if the kernel had no openat2. */
void beneath_force_fallback(int on);

#endif
