/* Tries: to open files of the whole disk by their number, past every path: how containers were escaped.
 * Stopped by: the call is not on the filter's list, so it does not exist. */
#include "attack.h"

int main(void) {
    struct { unsigned bytes; int type; unsigned long number; } handle = {8, 1, 2};
    CALL("open_by_handle_at", SYS_open_by_handle_at, open("/", O_RDONLY), &handle, O_RDONLY);
    int id = 0;
    CALL("name_to_handle_at", SYS_name_to_handle_at, -100, "/", &handle, &id, 0);
    return 0;
}
