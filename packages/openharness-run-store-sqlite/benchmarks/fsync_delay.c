/* Makes each fsync and fdatasync take a millisecond longer, or FSYNC_DELAY microseconds, as on a disk that is slower:
 *
 *     cc -shared -fPIC -O2 -o /tmp/fsync_delay.so benchmarks/fsync_delay.c
 *     LD_PRELOAD=/tmp/fsync_delay.so python benchmarks/peers.py --directory /dev/shm --only saving
 *
 * On a file system in memory, where a sync takes no time, this is the same on every machine.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    const char *given = getenv("FSYNC_DELAY");
    long microseconds = given ? atol(given) : 1000;
    struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&pause, NULL);
}

int fsync(int descriptor) {
    wait_for_the_disk();
    return (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor) {
    wait_for_the_disk();
    return (int)syscall(SYS_fdatasync, descriptor);
}
