/* A process that does nothing and holds --fds=20 descriptors, --sockets=3 of them sockets. With --count=N it starts N
 * such children instead and prints their pids; with --wake-ms=M these get up every M ms and lie down again. Ends with
 * FIXTURE_LIFE_MS, and when its parent does. */
#include "../fixtures/tools/shared/fixture.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Standard input, output and error are among them. */
static void hold(long fds, long sockets) {
  for (long n = 0; n < sockets; n++) (void)!socket(AF_INET, n % 2 == 0 ? SOCK_STREAM : SOCK_DGRAM, 0);
  for (long n = 3 + sockets; n < fds; n++) (void)!open("/dev/null", O_RDONLY);
}

int main(int argc, char **argv) {
  long wake_ms = number(argc, argv, "wake-ms", 0), count = number(argc, argv, "count", 0), fds = number(argc, argv, "fds", 20), sockets = number(argc, argv, "sockets", 3);
  unsigned life = life_seconds(3600);
  end_after(life);
  if (count == 0) {
    hold(fds, sockets);
    ready();
    wait_for_the_end();
  }
  printf("ready {\"pids\":[");
  for (long n = 0; n < count; n++) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      end_after(life);
      hold(fds, sockets);
      while (wake_ms > 0) usleep((unsigned)wake_ms * 1000);
      wait_for_the_end();
    }
    printf("%s%d", n == 0 ? "" : ",", (int)child);
  }
  printf("]}\n");
  fflush(stdout);
  wait_for_the_end();
}
