#ifndef BASE_BANNED_H
#define BASE_BANNED_H
/* Calls that cannot be used safely: using one names what is wrong and does not compile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNED(call) call##_is_banned_here
#undef strcpy
#define strcpy(to, from) BANNED(strcpy)
#undef strcat
#define strcat(to, from) BANNED(strcat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef strtok
#define strtok(text, separators) BANNED(strtok)
#undef atoi
#define atoi(text) BANNED(atoi)

#endif
