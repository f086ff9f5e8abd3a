/* The floor under a sample of all seven resources: what a C program pays for the same reads on files that are kept open.
 *
 *   memory, cpu, tasks, runtime   one pread of /proc/PID/stat: rss, utime + stime, num_threads, starttime
 *   file_handles                  one fstat of the kept directory /proc/PID/fd (st_size is the count since Linux 6.2;
 *                                 before that the directory is read)
 *   sockets                       readlink of every descriptor, only in rounds in which the count changed
 *   temp_storage                  one statfs of --temp=DIR a process, when given
 *
 * usage: sample-floor [--rounds=30] [--every-ms=1000] [--temp=DIR] PID…     "-" reads the pids from stdin
 *        sample-floor [--rounds=30] [--every-ms=1000] --files=N             one pread of each file named on stdin, a line
 *                                                                           each; N files make one target
 * Prints one line of JSON; µs are CPU time and wall time per process and sample, over the rounds. The first round, which
 * has to read everything, is not among them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

struct sample {
  long rss_pages, threads;
  unsigned long long cpu_ticks, start_ticks;
  long descriptors, sockets;
  unsigned long long temp_bytes;
};

struct target {
  int pid, stat, directory, gone;
  struct sample last;
};

static long rescans;
static int size_is_count = -1;

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* proc_pid_stat(5): the command may hold blanks and parentheses, so the fields are counted from the last ")". */
static int read_stat(struct target *target, struct sample *sample) {
  char text[1024];
  ssize_t length = pread(target->stat, text, sizeof text - 1, 0);
  if (length <= 0) return 0;
  text[length] = 0;
  char *at = strrchr(text, ')');
  if (at == NULL) return 0;
  at += 2;
  for (int field = 3; *at != 0 && field <= 24; field++) {
    if (field == 14 || field == 15) sample->cpu_ticks += strtoull(at, NULL, 10);
    else if (field == 20) sample->threads = strtol(at, NULL, 10);
    else if (field == 22) sample->start_ticks = strtoull(at, NULL, 10);
    else if (field == 24) sample->rss_pages = strtol(at, NULL, 10);
    at = strchr(at, ' ');
    if (at == NULL) break;
    at++;
  }
  return 1;
}

/* Counts the descriptors and, when asked to, the sockets among them. */
static long scan(struct target *target, long *sockets) {
  long count = 0;
  char link[64];
  int copy = openat(target->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = copy < 0 ? NULL : fdopendir(copy);
  if (sockets != NULL) *sockets = 0;
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    count++;
    if (sockets == NULL) continue;
    ssize_t length = readlinkat(target->directory, entry->d_name, link, sizeof link);
    if (length > 7 && memcmp(link, "socket:", 7) == 0) (*sockets)++;
  }
  if (directory != NULL) closedir(directory);
  return count;
}

static long count_descriptors(struct target *target) {
  struct stat status;
  if (size_is_count == 0) return scan(target, NULL);
  if (fstat(target->directory, &status) != 0) return -1;
  if (size_is_count < 0) size_is_count = status.st_size > 0;
  return size_is_count ? (long)status.st_size : scan(target, NULL);
}

static void take(struct target *target, const char *temp) {
  struct sample sample = {0};
  struct statfs storage;
  if (target->gone || !read_stat(target, &sample) || (sample.descriptors = count_descriptors(target)) < 0) {
    target->gone = 1;
    return;
  }
  sample.sockets = target->last.sockets;
  if (sample.descriptors != target->last.descriptors) {
    rescans++;
    scan(target, &sample.sockets);
  }
  if (temp != NULL && statfs(temp, &storage) == 0)
    sample.temp_bytes = (unsigned long long)(storage.f_blocks - storage.f_bfree) * (unsigned long long)storage.f_bsize;
  target->last = sample;
}

static int add(struct target **targets, int count, int pid) {
  char path[64];
  struct target target = {.pid = pid, .last = {.descriptors = -1}};
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  target.stat = open(path, O_RDONLY | O_CLOEXEC);
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  target.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (target.stat < 0 || target.directory < 0) {
    fprintf(stderr, "process %d: cannot be read\n", pid);
    exit(1);
  }
  *targets = realloc(*targets, (size_t)(count + 1) * sizeof target);
  (*targets)[count] = target;
  return count + 1;
}

/* Files named on stdin, kept open. */
static int *open_files(int *count) {
  char path[4096];
  int *files = NULL;
  for (*count = 0; fgets(path, sizeof path, stdin) != NULL; ++*count) {
    path[strcspn(path, "\n")] = 0;
    files = realloc(files, (size_t)(*count + 1) * sizeof *files);
    files[*count] = open(path, O_RDONLY | O_CLOEXEC);
    if (files[*count] < 0) {
      perror(path);
      exit(1);
    }
  }
  return files;
}

static void read_files(const int *files, int count) {
  char text[4096];
  for (int n = 0; n < count; n++)
    if (pread(files[n], text, sizeof text, 0) <= 0) {
      fprintf(stderr, "file %d cannot be read\n", n);
      exit(1);
    }
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void print_spread(const char *name, double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, ascending);
  printf("\"%s\":{\"min\":%.3f,\"median\":%.3f,\"p95\":%.3f,\"max\":%.3f}", name, values[0], values[count / 2],
         values[(count * 95) / 100 < count ? (count * 95) / 100 : count - 1], values[count - 1]);
}

int main(int argc, char **argv) {
  struct target *targets = NULL;
  const char *temp = NULL;
  int count = 0, rounds = 30, every_ms = 1000, files_each = 0, file_count = 0, pid;
  for (int n = 1; n < argc; n++) {
    if (strncmp(argv[n], "--rounds=", 9) == 0) rounds = atoi(argv[n] + 9);
    else if (strncmp(argv[n], "--every-ms=", 11) == 0) every_ms = atoi(argv[n] + 11);
    else if (strncmp(argv[n], "--temp=", 7) == 0) temp = argv[n] + 7;
    else if (strncmp(argv[n], "--files=", 8) == 0) files_each = atoi(argv[n] + 8);
    else if (strcmp(argv[n], "-") == 0)
      while (scanf("%d", &pid) == 1) count = add(&targets, count, pid);
    else count = add(&targets, count, atoi(argv[n]));
  }
  int *files = files_each > 0 ? open_files(&file_count) : NULL;
  int units = files_each > 0 ? file_count / files_each : count;
  if (units == 0 || rounds < 1) {
    fprintf(stderr, "usage: sample-floor [--rounds=30] [--every-ms=1000] [--temp=DIR] PID...\n");
    return 2;
  }
  double *cpu = calloc((size_t)rounds, sizeof *cpu), *wall = calloc((size_t)rounds, sizeof *wall);
  for (int round = -1; round < rounds; round++) {
    double cpu_before = seconds(CLOCK_PROCESS_CPUTIME_ID), before = seconds(CLOCK_MONOTONIC);
    if (files != NULL) read_files(files, file_count);
    for (int n = 0; n < count; n++) take(&targets[n], temp);
    if (round >= 0) {
      cpu[round] = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_before) * 1e6 / units;
      wall[round] = (seconds(CLOCK_MONOTONIC) - before) * 1e6 / units;
    } else rescans = 0;
    if (round + 1 < rounds && every_ms > 0)
      nanosleep(&(struct timespec){every_ms / 1000, (every_ms % 1000) * 1000000L}, NULL);
  }
  long gone = 0, descriptors = 0, sockets = 0, threads = 0, rss_pages = 0;
  for (int n = 0; n < count; n++) {
    gone += targets[n].gone;
    descriptors += targets[n].last.descriptors;
    sockets += targets[n].last.sockets;
    threads += targets[n].last.threads;
    rss_pages += targets[n].last.rss_pages;
  }
  printf("{\"processes\":%d,\"gone\":%ld,\"rounds\":%d,\"everyMs\":%d,\"fdCountFrom\":\"%s\",\"rescans\":%ld,", count, gone, rounds,
         every_ms, size_is_count ? "fstat" : "readdir", rescans);
  printf("\"totals\":{\"descriptors\":%ld,\"sockets\":%ld,\"threads\":%ld,\"rssBytes\":%ld},\"microseconds\":{", descriptors, sockets,
         threads, rss_pages * sysconf(_SC_PAGESIZE));
  print_spread("cpu", cpu, rounds);
  putchar(',');
  print_spread("wall", wall, rounds);
  printf("},\"cpuMicroseconds\":[");
  for (int round = 0; round < rounds; round++) printf("%s%.3f", round == 0 ? "" : ",", cpu[round]);
  puts("]}");
  return 0;
}
