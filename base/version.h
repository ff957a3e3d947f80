#ifndef BASE_VERSION_H
#define BASE_VERSION_H
/* What the programs, a mount's status.json and the records of training runs say they are. */
#define RELEARN_VERSION "0.1.0"
#endif
