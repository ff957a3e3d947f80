#ifndef BASE_STOP_H
#define BASE_STOP_H
/*
 * SIGINT/SIGTERM as a flag: long work asks stop_requested() between steps, saves what can be
 * resumed, and returns STATUS_CANCELLED. A second signal ends the process at once. When the process
 * is still there a second after the first, one line on stderr says what it waits for.
 */
void stop_install(void);
int stop_requested(void);
/* What is under way and ends by itself, as the line says it: "the step under way" unless said
   otherwise. A literal; NULL for the default. */
void stop_waits_for(const char *what);
#endif
