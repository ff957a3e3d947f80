#ifndef BASE_FAULT_H
#define BASE_FAULT_H
/* fault: what the seam's calls (mem.c, io.c) ask before they do their work. Setting faults: seam.h. */
#include "seam.h"

/* True when this call must fail. */
int fault_hit(enum fault_kind kind);
/* The same for an allocation, whose bytes are counted. */
int fault_mem_hit(size_t bytes);
/* What a failing call of this kind returns. */
status fault_status(enum fault_kind kind);

#endif
