#ifndef BASE_STOP_H
#define BASE_STOP_H
/*
 * SIGINT/SIGTERM as a flag: long work asks stop_requested() between steps, saves what can be
 * resumed, and returns STATUS_CANCELLED. A second signal ends the process at once.
 */
void stop_install(void);
int stop_requested(void);
#endif
