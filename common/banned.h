/* common/banned.h - functions that Virga's code never calls.
 * Role:   force-included before every file (-include). The system headers that
 *         declare these come first; every later use is a compile error.
 * Source: the list in docs/HACKING.md ("Banned functions") with what to use
 *         instead. */
#ifndef COMMON_BANNED_H
#define COMMON_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok gmtime localtime
#pragma GCC poison atoi atol atoll system popen tmpnam mktemp

#endif
