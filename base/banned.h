#ifndef BASE_BANNED_H
#define BASE_BANNED_H
/* Calls that cannot be used safely; included by every file through base.h. */
#ifdef __GNUC__
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets
#endif
#endif
