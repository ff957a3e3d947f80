#ifndef BASE_BASE_H
#define BASE_BASE_H
/* The one folder every other may use: status codes, the seam, buffers, log, threads, child processes,
   paths, texts of parameters. */
#include "buf.h"
#include "check.h"
#include "child.h"
#include "cleanup.h"
#include "cpu.h"
#include "digest.h"
#include "ini_text.h"
#include "log.h"
#include "npy.h"
#include "param.h"
#include "paths.h"
#include "pool.h"
#include "progress.h"
#include "seam.h"
#include "shown.h"
#include "status.h"
#include "stop.h"
#include "version.h"

#include "banned.h"
#endif
