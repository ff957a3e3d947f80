#ifndef NN_NUMPY_FILE_H
#define NN_NUMPY_FILE_H
/* numpy_file: what numpy.save and numpy.savez wrote, for nn_file_open_any. The array of a .npy is
   called "array", those of a .npz by their names. */
#include "file/file.h"
#include "file/zip.h"

/* Rows in order (not Fortran's), little-endian numbers, one to four dimensions; others are
   STATUS_UNSUPPORTED. */
status file_parse_npy(struct nn_file *f, struct errmsg *e) MUST_USE;
/* Of an archive in f's mapping in which numpy_in_zip. */
bool numpy_in_zip(const struct nn_zip *zip);
status file_parse_npz(struct nn_file *f, const struct nn_zip *zip, struct errmsg *e) MUST_USE;

#endif
