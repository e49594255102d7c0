/* Tries: to hold the orchestrator for ever: its output is a named pipe, which blocks whoever opens it.
 * Stopped by: an output is opened without waiting, and must be a plain file. */
#include "attack.h"

int main(void) { return mkfifo("report", 0666); }
