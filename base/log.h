#ifndef BASE_LOG_H
#define BASE_LOG_H
/*
 * log: one line per event to standard error (with a "<N>" priority prefix when the journal reads
 * it, that is when JOURNAL_STREAM names our stderr). Only cli, fused and train log; libraries
 * below them return a status and an errmsg.
 * What would disturb a terminal is written as text_shown does it: an event is one line.
 * Threads: any. A line is written with one write call.
 */
#include "status.h"

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_COUNT };

/* Default LOG_INFO; RELEARN_LOG=error|warn|info|debug sets it at log_init. prog is the line's
   prefix ("relearn", "relearnfsd"); the string must live as long as the process. */
void log_init(const char *prog);
void log_set_level(enum log_level level);
void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

/* A gate for repeated messages: true at most once in period_ns. *out_dropped is how many were held
   back since the last true. Zero-initialise the struct; any thread. */
struct log_gate {
    uint64_t next_ns; /* atomic */
    unsigned dropped; /* atomic */
};
int log_gate_pass(struct log_gate *g, uint64_t period_ns, unsigned *out_dropped);

#endif
