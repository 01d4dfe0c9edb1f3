/* A disk that stalls. The dynamic linker of Linux loads this library into a node before the C
 * library (LD_PRELOAD), so that the node calls these functions in the place of the system's: they
 * wait as long as the file exists whose path is in the variable STALLED_WHILE, and then do what
 * they were called for. Writes are not held up, as they are not by a disk: they go to memory. */

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    const char *path = getenv("STALLED_WHILE");
    while (path != NULL && access(path, F_OK) == 0)
        usleep(1000);
}

int fdatasync(int file) {
    wait_for_the_disk();
    return (int)syscall(SYS_fdatasync, file);
}

int fsync(int file) {
    wait_for_the_disk();
    return (int)syscall(SYS_fsync, file);
}
