/* Tries: to hold a builder for ever: it sleeps, and ignores every signal that can be ignored.
 * Stopped by: the limit on time, which the message names; it is killed, and not asked to end. */
#include "attack.h"

int main(void) {
    for (int s = 1; s < 64; s++) signal(s, SIG_IGN);
    for (;;) sleep(1000);
}
