/* Looks bad and is not, one manner a program; says ready and lives on:
 *   --map-mb=N      maps a file of N MiB and reads all of it: page cache in its resident set
 *   --step-mb=N     touches N MiB at once, a second after it is ready
 *   --storm=N       N short-lived children, never more than eight at a time, again and again
 *   --threads=N     N threads that sleep
 *   --shared=N      N sockets, inherited by 20 children: 21 N descriptors, N sockets
 *   --sparse-mb=N   a file of that length and one block in TMPDIR, and 100 hard links to it */
#include "../fixtures/tools/shared/fixture.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char *in_temp(const char *name) {
  static char path[512];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/%s", folder == NULL ? "/tmp" : folder, name);
  return path;
}

static void map(long mb) {
  static char block[1 << 20];
  memset(block, 'x', sizeof block);
  int file = open(in_temp("mapped"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0) exit(1);
  for (long n = 0; n < mb; n++)
    if (write(file, block, sizeof block) != sizeof block) exit(1);
  size_t size = (size_t)mb << 20;
  volatile char *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) exit(1);
  char sum = 0;
  for (size_t at = 0; at < size; at += 4096) sum = (char)(sum + memory[at]);
}

static void step(long mb) {
  sleep(1);
  char *memory = mmap(NULL, (size_t)mb << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) exit(1);
  memset(memory, 1, (size_t)mb << 20);
}

static void storm(long children) {
  for (;;) {
    for (long n = 0; n < children; n++) {
      if (n >= 8) wait(NULL);
      pid_t child = fork();
      if (child < 0) exit(1);
      if (child == 0) {
        usleep(2000);
        _exit(0);
      }
    }
    while (wait(NULL) > 0);
    usleep(500000);
  }
}

static void *rest(void *nothing) {
  wait_for_the_end();
  return nothing;
}

static void share(long sockets, unsigned life) {
  for (long n = 0; n < sockets; n++)
    if (socket(AF_INET, SOCK_DGRAM, 0) < 0) exit(1);
  for (int n = 0; n < 20; n++) {
    if (fork() != 0) continue;
    end_after(life);
    wait_for_the_end();
  }
}

static void sparse(long mb) {
  char first[512];
  snprintf(first, sizeof first, "%s", in_temp("sparse"));
  int file = open(first, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || ftruncate(file, (off_t)mb << 20) != 0 || write(file, "x", 1) != 1) exit(1);
  for (int n = 0; n < 100; n++) {
    char name[32];
    snprintf(name, sizeof name, "link-%d", n);
    (void)!link(first, in_temp(name));
  }
}

int main(int argc, char **argv) {
  unsigned life = life_seconds(120);
  end_after(life);
  long mapped = number(argc, argv, "map-mb", 0), stepped = number(argc, argv, "step-mb", 0);
  long children = number(argc, argv, "storm", 0), threads = number(argc, argv, "threads", 0);
  long shared = number(argc, argv, "shared", 0), length = number(argc, argv, "sparse-mb", 0);
  pthread_t thread;
  for (long n = 0; n < threads; n++)
    if (pthread_create(&thread, NULL, rest, NULL) != 0) return 1;
  if (mapped > 0) map(mapped);
  if (shared > 0) share(shared, life);
  if (length > 0) sparse(length);
  ready();
  if (stepped > 0) step(stepped);
  if (children > 0) storm(children);
  wait_for_the_end();
}
