/* Tries: to call the kernel as a 32-bit program does: the same numbers mean other calls there, past a filter for 64 bits.
 * Stopped by: a call of another architecture kills the process, or does not exist in this kernel. */
#include "attack.h"

int main(void) {
    if (fork() == 0) {
        long result = 20;
#ifdef __x86_64__
        __asm__ volatile("int $0x80" : "+a"(result));
#else
        abort();
#endif
        fprintf(report(), "int 0x80: DONE, %ld\n", result);
        _exit(0);
    }
    int status = 0;
    wait(&status);
    int s = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    fprintf(report(), "int 0x80: %s\n", s == SIGSYS || s == SIGSEGV ? "killed" : "not killed: DONE");
    return 0;
}
