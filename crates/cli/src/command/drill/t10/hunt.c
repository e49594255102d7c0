/* Looks for everything that a build must not find, and writes down what it found. PLACES is where that is on this host. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "places.h"

static FILE *report;

static void write_down(const char *what, int is_found, const char *why) {
    fprintf(report, "%s: %s\n", what, is_found ? "FOUND" : why);
}

static void look(const char *what, const char *path) {
    int file = open(path, O_RDONLY);
    write_down(what, file >= 0, strerror(errno));
}

/* Whether a file of any process has this text in it. */
static int is_told(const char *file, const char *text) {
    char path[64];
    static char buffer[1 << 17];
    int is_found = 0;
    for (int process = 1; process < 200000 && !is_found; process++) {
        snprintf(path, sizeof path, "/proc/%d/%s", process, file);
        int opened = open(path, O_RDONLY);
        if (opened < 0) continue;
        ssize_t length = read(opened, buffer, sizeof buffer);
        is_found = length > 0 && memmem(buffer, (size_t)length, text, strlen(text)) != NULL;
        close(opened);
    }
    return is_found;
}

static void connect_to(const char *what, struct sockaddr *address, socklen_t length) {
    int s = socket(address->sa_family, SOCK_STREAM, 0);
    int is_there = s >= 0 && connect(s, address, length) == 0;
    write_down(what, is_there, strerror(errno));
}

int main(void) {
    report = fopen("report", "w");
    if (!report) return 1;
    look("the signing key", KEY);
    look("what another build made", OTHER);
    struct sockaddr_un signer = {.sun_family = AF_UNIX};
    snprintf(signer.sun_path, sizeof signer.sun_path, "%s", SIGNER);
    connect_to("the signer's socket", (struct sockaddr *)&signer, sizeof signer);
    struct sockaddr_in network = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    network.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect_to("the network", (struct sockaddr *)&network, sizeof network);
    write_down("the signer's process", is_told("cmdline", SIGNER), "in no process that is to be seen");
    write_down("a secret in the environment", is_told("environ", SECRET), "in no process that is to be seen");
    fclose(report);
    return 0;
}
