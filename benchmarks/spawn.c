/* The limit of what runs processes: fork and exec COMMAND so many times, so many at once.

   spawn COUNT AT_ONCE COMMAND     prints the seconds; status 1 when one of them failed */

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long left = atol(argv[1]), slots = atol(argv[2]), living = 0;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (left > 0 || living > 0) {
        if (left > 0 && living < slots) {
            pid_t pid = fork();
            if (pid < 0) return 1;
            if (pid == 0) {
                execl(argv[3], argv[3], (char *)NULL);
                _exit(127);
            }
            left--, living++;
            continue;
        }
        int status;
        if (wait(&status) < 0 || status != 0) return 1;
        living--;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n", (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
