#ifndef TRAIN_MACHINE_H
#define TRAIN_MACHINE_H
/* machine: where and when something was computed, in words that a report can cite. */

/* "AMD EPYC 9354, 2 CPUs, Linux 6.1.0 x86_64": the processor's model as the kernel says it, and how
   many CPUs this process may use. No name of the host. For mem_free; NULL without memory. */
char *train_machine(void);
/* Now, in UTC: "2025-03-01T12:00:00Z". */
enum { TRAIN_DATE_LEN = 20 };
void train_date(char out[TRAIN_DATE_LEN + 1]);

#endif
