/* What every attack shares: it writes down each thing that it tried with the name of the error that stopped it. DONE
 * means that nothing stopped it. host.h is written by the test: where on this host there is something to steal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host.h"

static inline FILE *report(void) {
    static FILE *file;
    if (!file) file = fopen("report", "w");
    if (!file) _exit(99);
    setvbuf(file, NULL, _IONBF, 0);
    return file;
}

/* -1 and errno, or it was done. */
static inline void tried(const char *what, long result) {
    int e = errno;
    fprintf(report(), "%s: %s\n", what, result < 0 ? strerrorname_np(e) : "DONE");
}

/* Something to look for was found, or not. */
static inline void looked_for(const char *what, int found) {
    fprintf(report(), "%s: %s\n", what, found ? "DONE" : "nothing");
}

/* What a system call answers, by number: the C library may have no name for it, or another way to do the same. */
#define CALL(what, ...) do { errno = 0; tried(what, syscall(__VA_ARGS__)); } while (0)

/* Whether a file can be read and holds a text. */
static inline int holds(const char *path, const char *text) {
    static char bytes[1 << 16];
    int file = open(path, O_RDONLY | O_NONBLOCK);
    ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
    if (file >= 0) close(file);
    return length > 0 && memmem(bytes, length, text, strlen(text)) != NULL;
}
