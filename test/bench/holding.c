/* What there is to clean up: --procs=1 processes that hold --mb=10 of touched memory together, and --files=0 files of 4
 * KiB in TMPDIR, 1,000 to a directory; with --listen a TCP port of the loopback. With --polite it ends on SIGTERM, else
 * it ignores it. */
#include "../fixtures/tools/shared/fixture.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void touch(size_t bytes) {
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) exit(1);
  for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
}

static void fill(long files) {
  static const char block[4096];
  const char *folder = getenv("TMPDIR");
  char path[512];
  for (long n = 0; folder != NULL && n < files; n++) {
    if (n % 1000 == 0) {
      snprintf(path, sizeof path, "%s/d%ld", folder, n / 1000);
      mkdir(path, 0700);
    }
    snprintf(path, sizeof path, "%s/d%ld/f%ld", folder, n / 1000, n);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    if (file < 0 || write(file, block, sizeof block) != sizeof block) exit(1);
    close(file);
  }
}

static void listen_somewhere(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) exit(1);
}

int main(int argc, char **argv) {
  long procs = number(argc, argv, "procs", 1), mb = number(argc, argv, "mb", 10), files = number(argc, argv, "files", 0);
  unsigned life = life_seconds(600);
  if (!number(argc, argv, "polite", 0)) signal(SIGTERM, SIG_IGN);
  end_after(life);
  fill(files);
  if (number(argc, argv, "listen", 0)) listen_somewhere();
  int told[2];
  if (pipe(told) != 0) return 1;
  for (long n = 1; n < procs; n++) {
    pid_t child = fork();
    if (child < 0) return 1;
    if (child != 0) continue;
    end_after(life);
    touch(((size_t)mb << 20) / (size_t)procs);
    (void)!write(told[1], "x", 1);
    wait_for_the_end();
  }
  touch(((size_t)mb << 20) / (size_t)procs);
  char byte;
  for (long n = 1; n < procs; n++) (void)!read(told[0], &byte, 1);
  ready();
  wait_for_the_end();
}
