#ifndef BASE_STOP_H
#define BASE_STOP_H
/*
 * SIGINT/SIGTERM as a flag: long work checks stop_requested() between steps, saves what can be
 * resumed, and returns STATUS_CANCELLED. A second signal ends the process at once. If the process
 * still runs a second after the first, a line on stderr says what it waits for.
 */
void stop_install(void);
int stop_requested(void);
/* What that line names as being waited for, a string literal; NULL for the default, "the step under
   way". */
void stop_waits_for(const char *what);
#endif
