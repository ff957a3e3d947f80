#ifndef BASE_SHOWN_H
#define BASE_SHOWN_H
/*
 * shown: text that came from outside (names of files above all), made fit for a terminal or a log.
 * Control characters, also those that Unicode has beyond ASCII and those that turn the direction of
 * writing, and bytes that are not UTF-8 become \xNN: a file name cannot move the cursor, end the
 * line, or look like another. Other text stays as it is, so that doing it twice changes nothing.
 */
#include <stdint.h>

#include <stddef.h>

/* Writes at most size bytes with the final 0, cut at a whole character; returns out. */
const char *text_shown(const char *text, char *out, size_t size);
/* A new string for mem_free; NULL without memory. */
char *text_shown_new(const char *text);
/* "1.5 MiB" and the like; returns out. */
const char *text_bytes(uint64_t n, char out[32]);

/* For a printf argument: lives as long as the enclosing block. Cut where no path is as long. */
enum { TEXT_SHOWN_MAX = 4 * 4096 };
#define TEXT_SHOWN(text) text_shown(text, (char[TEXT_SHOWN_MAX]){0}, TEXT_SHOWN_MAX)

/* The length of the UTF-8 character at s, which is not empty: 0 when it is none. */
size_t text_utf8_len(const char *s);

#endif
