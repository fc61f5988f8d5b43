/* Loaded into a process by LD_PRELOAD: counts its calls that change files, and disturbs it in front of one of them.
 *
 * UNDER       only paths that begin so count; without it nothing counts
 * CALLS       "names": calls that make, rename, remove or flush files; "writes": those, and writing itself
 * AT          number of the call to disturb, from 1; 0 or nothing: none
 * HOW         "kill"; an error's number, with which this call and every later one fail (removing only with EROFS); or a
 *             folder: in front of every call, what is under UNDER is copied to a new folder there, as a kill would leave it
 * LOG         file to which every counted call's name and path are added
 * NO_EXCHANGE renameat2 fails as on file systems that cannot exchange two names
 *
 * Calls that one function of the C library makes inside another cannot be seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define LONGEST 4096

static int calls = 0;

static void resolve(int at, const char *path, char *full) {
  char link[64], folder[LONGEST] = "";
  full[0] = 0;
  if (path && path[0] == '/') {
    snprintf(full, LONGEST, "%s", path);
    return;
  }
  snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
  ssize_t size = readlink(link, folder, LONGEST - 1);
  if (size < 0) return;
  folder[size] = 0;
  snprintf(full, LONGEST, path ? "%.2000s/%.2000s" : "%.2000s", folder, path);
}

static void record(const char *name, const char *path) {
  char line[2 * LONGEST];
  int log = REAL(open)(getenv("LOG"), O_WRONLY | O_APPEND | O_CREAT, 0666);
  int size = snprintf(line, sizeof line, "%s %s\n", name, path);
  if (log >= 0 && REAL(write)(log, line, size) == size) REAL(close)(log);
}

static void copy(const char *under, const char *folder) {
  char target[LONGEST];
  char *bare[] = {"PATH=/usr/bin:/bin", NULL};
  snprintf(target, sizeof target, "%s/%d", folder, calls);
  char *words[] = {"cp", "-a", (char *)under, target, NULL};
  pid_t child;
  if (posix_spawn(&child, "/bin/cp", NULL, NULL, words, bare) == 0) waitpid(child, NULL, 0);
}

/* Whether the call is to fail, with errno set. */
static int disturbed(const char *name, int writing, int at, const char *path) {
  char full[LONGEST];
  int saved = errno;
  const char *under = getenv("UNDER"), *which = getenv("CALLS"), *how = getenv("HOW"), *number = getenv("AT");
  if (!under || (writing && (!which || strcmp(which, "writes")))) return 0;
  resolve(at, path, full);
  errno = saved;
  if (strncmp(full, under, strlen(under))) return 0;
  calls += 1;
  if (getenv("LOG")) record(name, full);
  if (how && how[0] == '/') copy(under, how);
  if (!how || !number || !atoi(number) || calls < atoi(number)) return 0;
  if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
  if (!atoi(how) || (atoi(how) != EROFS && (!strcmp(name, "unlink") || !strcmp(name, "rmdir")))) return 0;
  errno = atoi(how);
  return 1;
}

#define NAMES(name, at, path) if (disturbed(name, 0, at, path)) return -1
#define WRITES(name, descriptor) if (disturbed(name, 1, descriptor, NULL)) return -1

int rename(const char *from, const char *to) { NAMES("rename", AT_FDCWD, to); return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) {
  NAMES("rename", b, to);
  return REAL(renameat)(a, from, b, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  if (getenv("NO_EXCHANGE")) { errno = EINVAL; return -1; }
  NAMES("rename", b, to);
  return REAL(renameat2)(a, from, b, to, flags);
}
int link(const char *from, const char *to) { NAMES("link", AT_FDCWD, to); return REAL(link)(from, to); }
int symlink(const char *to, const char *path) { NAMES("symlink", AT_FDCWD, path); return REAL(symlink)(to, path); }
int mkdir(const char *path, mode_t mode) { NAMES("mkdir", AT_FDCWD, path); return REAL(mkdir)(path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { NAMES("mkdir", at, path); return REAL(mkdirat)(at, path, mode); }
int unlink(const char *path) { NAMES("unlink", AT_FDCWD, path); return REAL(unlink)(path); }
int unlinkat(int at, const char *path, int flags) { NAMES("unlink", at, path); return REAL(unlinkat)(at, path, flags); }
int rmdir(const char *path) { NAMES("rmdir", AT_FDCWD, path); return REAL(rmdir)(path); }
int remove(const char *path) { NAMES("unlink", AT_FDCWD, path); return REAL(remove)(path); }
int fsync(int descriptor) { NAMES("fsync", descriptor, NULL); return REAL(fsync)(descriptor); }
int fdatasync(int descriptor) { NAMES("fsync", descriptor, NULL); return REAL(fdatasync)(descriptor); }

static int changes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

#define OPEN(name, parameters, at, path, ...)                     \
  int name parameters {                                           \
    mode_t mode = 0;                                              \
    va_list rest;                                                 \
    va_start(rest, flags);                                        \
    if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(rest, int);  \
    va_end(rest);                                                 \
    if (changes(flags)) NAMES("open", at, path);                  \
    return REAL(name)(__VA_ARGS__, mode);                         \
  }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path, path, flags)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path, path, flags)
OPEN(openat, (int at, const char *path, int flags, ...), at, path, at, path, flags)
OPEN(openat64, (int at, const char *path, int flags, ...), at, path, at, path, flags)

#define STREAM(name)                                                                           \
  FILE *name(const char *path, const char *mode) {                                             \
    if (strpbrk(mode, "wa+") && disturbed("open", 0, AT_FDCWD, path)) return NULL;             \
    return REAL(name)(path, mode);                                                             \
  }
STREAM(fopen)
STREAM(fopen64)

ssize_t write(int to, const void *from, size_t size) { WRITES("write", to); return REAL(write)(to, from, size); }
ssize_t writev(int to, const struct iovec *from, int count) { WRITES("write", to); return REAL(writev)(to, from, count); }
ssize_t pwrite(int to, const void *from, size_t size, off_t at) {
  WRITES("write", to);
  return REAL(pwrite)(to, from, size, at);
}
ssize_t pwrite64(int to, const void *from, size_t size, off64_t at) {
  WRITES("write", to);
  return REAL(pwrite64)(to, from, size, at);
}
size_t fwrite(const void *from, size_t size, size_t count, FILE *to) {
  if (disturbed("write", 1, fileno(to), NULL)) return 0;
  return REAL(fwrite)(from, size, count, to);
}
int ftruncate(int descriptor, off_t size) { WRITES("write", descriptor); return REAL(ftruncate)(descriptor, size); }
int ftruncate64(int descriptor, off64_t size) { WRITES("write", descriptor); return REAL(ftruncate64)(descriptor, size); }
int posix_fallocate(int descriptor, off_t at, off_t size) {
  if (disturbed("write", 1, descriptor, NULL)) return errno;
  return REAL(posix_fallocate)(descriptor, at, size);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
  WRITES("write", to);
  return REAL(sendfile)(to, from, at, size);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
  WRITES("write", to);
  return REAL(copy_file_range)(from, a, to, b, size, flags);
}
