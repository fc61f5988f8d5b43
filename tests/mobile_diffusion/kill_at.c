/* Loaded into a process by LD_PRELOAD: kills it in front of the KILL_AT-th call that renames or removes (1 is the first)
 * once ARMED is set.
 * With NO_EXCHANGE set, renameat2 fails as on file systems that cannot exchange two names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void count(void) {
  static int calls = 0;
  const char *at = getenv("KILL_AT");
  if (!getenv("ARMED")) return;
  calls += 1;
  if (at && atoi(at) == calls) kill(getpid(), SIGKILL);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int rename(const char *from, const char *to) { count(); return REAL(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { count(); return REAL(renameat)(a, from, b, to); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  if (getenv("NO_EXCHANGE")) { errno = EINVAL; return -1; }
  count();
  return REAL(renameat2)(a, from, b, to, flags);
}
int unlink(const char *path) { count(); return REAL(unlink)(path); }
int unlinkat(int at, const char *path, int flags) { count(); return REAL(unlinkat)(at, path, flags); }
int rmdir(const char *path) { count(); return REAL(rmdir)(path); }
int remove(const char *path) { count(); return REAL(remove)(path); }
