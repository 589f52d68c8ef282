/* SPDX-License-Identifier: MIT */
/* Preloaded into comityd by the tests: system calls and allocations that fail at random, under a seed. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What can be made to fail, each with a chance of its own. */
enum kind { SOCKETS, FILES, MEMORY, KIND_COUNT };

enum call {
	ACCEPT, RECV, RECVFROM, SEND, CONNECT, CONNECTED, SOCKET, SETSOCKOPT, SHUTDOWN, WATCH, WAIT,
	OPEN, READ, WRITE, SYNC, TRUNCATE, UNLINK, RENAME, STAT,
	MALLOC, NET_MALLOC, MMAP, CALL_COUNT
};

/* The longest list of errors that a call has. */
#define MOST_ERRORS 12

/* EAGAIN and EINTR take turns with what ends a connection, so that some live long enough to be of use. */
static const struct {
	const char *name;
	enum kind kind;
	bool can_be_short;           /* half of its failures are that it does a part only */
	int errors[MOST_ERRORS];     /* ends with 0 */
} calls[CALL_COUNT] = {
	[ACCEPT] = { "accept", SOCKETS, false, { EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR, EAGAIN, EPROTO } },
	[RECV] = { "recv", SOCKETS, true, { EAGAIN, ECONNRESET, EINTR, ETIMEDOUT, EAGAIN, EHOSTUNREACH, EINTR, ENOMEM } },
	[RECVFROM] = { "recvfrom", SOCKETS, true, { EAGAIN, ECONNREFUSED, EINTR, EHOSTUNREACH, ENOMEM } },
	[SEND] = { "send", SOCKETS, true,
	           { EAGAIN, EPIPE, EINTR, ECONNRESET, EAGAIN, ETIMEDOUT, EINTR, EHOSTUNREACH, ENOBUFS, ENOMEM } },
	[CONNECT] = { "connect", SOCKETS, false,
	              { ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, ETIMEDOUT, EADDRNOTAVAIL, EACCES, EINTR } },
	[CONNECTED] = { "getsockopt", SOCKETS, false,
	                { ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET } },
	[SOCKET] = { "socket", SOCKETS, false, { EMFILE, ENFILE, ENOBUFS, ENOMEM } },
	[SETSOCKOPT] = { "setsockopt", SOCKETS, false, { ENOMEM, ENOBUFS, EINVAL } },
	[SHUTDOWN] = { "shutdown", SOCKETS, false, { ENOTCONN } },
	[WATCH] = { "epoll_ctl", SOCKETS, false, { ENOSPC, ENOMEM } },
	[WAIT] = { "epoll_wait", SOCKETS, false, { EINTR } },
	[OPEN] = { "open", FILES, false, { EMFILE, ENFILE, ENOSPC, EIO, ENOMEM, EACCES } },
	[READ] = { "read", FILES, false, { EIO } },
	[WRITE] = { "write", FILES, true, { ENOSPC, EIO, EDQUOT, EFBIG, EINTR } },
	[SYNC] = { "fsync", FILES, false, { EIO, ENOSPC, EDQUOT } },
	[TRUNCATE] = { "ftruncate", FILES, false, { EIO, ENOSPC } },
	[UNLINK] = { "unlink", FILES, false, { EIO, EROFS } },
	[RENAME] = { "rename", FILES, false, { EIO, ENOSPC, EROFS } },
	[STAT] = { "fstat", FILES, false, { EIO } },
	[MALLOC] = { "malloc", MEMORY, false, { ENOMEM } },
	[NET_MALLOC] = { "malloc_net", MEMORY, false, { ENOMEM } },
	[MMAP] = { "mmap", MEMORY, false, { ENOMEM } },
};

/* The file that the test and this library share. The test writes the first two, the library the rest. */
struct control {
	uint64_t seed;
	uint32_t chances[3];         /* of enum kind, in 65536 */
	uint32_t only;               /* if it is not 0, a bit for each enum call that may fail */
	struct row {
		char name[16];
		_Atomic uint64_t done, failed;
	} rows[CALL_COUNT];
};

/* NULL: nothing fails. */
static struct control *control;

/* Libraries whose allocations may fail; the server's own end it (base/mem.h). GnuTLS 3.7 leaks when they do. */
static const struct {
	const char *name;
	enum call call;
} libraries[] = { { "libsqlite3.so", MALLOC }, { "libjansson.so", MALLOC }, { "libcares.so", NET_MALLOC } };
#define LIBRARY_COUNT (sizeof(libraries) / sizeof(libraries[0]))
static struct { uintptr_t begin, end; } places[LIBRARY_COUNT];

/* ---- what it stands in front of ---- */

static struct {
	int (*accept4)(int, struct sockaddr *, socklen_t *, int);
	ssize_t (*recv)(int, void *, size_t, int);
	ssize_t (*recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
	ssize_t (*send)(int, const void *, size_t, int);
	int (*connect)(int, const struct sockaddr *, socklen_t);
	int (*getsockopt)(int, int, int, void *, socklen_t *);
	int (*socket)(int, int, int);
	int (*setsockopt)(int, int, int, const void *, socklen_t);
	int (*shutdown)(int, int);
	int (*epoll_ctl)(int, int, int, struct epoll_event *);
	int (*epoll_pwait)(int, struct epoll_event *, int, int, const sigset_t *);
	int (*open)(const char *, int, ...);
	ssize_t (*read)(int, void *, size_t);
	ssize_t (*pread)(int, void *, size_t, off_t);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*pwrite)(int, const void *, size_t, off_t);
	int (*fsync)(int);
	int (*fdatasync)(int);
	int (*ftruncate)(int, off_t);
	int (*unlink)(const char *);
	int (*rename)(const char *, const char *);
	int (*fstat)(int, struct stat *);
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	int (*epoll_wait)(int, struct epoll_event *, int, int);
	ssize_t (*writev)(int, const struct iovec *, int);
	bool is_ready;
} real;

#define FIND(NAME) (real.NAME = (__typeof__(real.NAME))dlsym(RTLD_NEXT, #NAME))

/* The first call of any comes before the constructor, while there is one thread. */
static void find_all(void)
{
	if (real.is_ready)
		return;
	FIND(malloc), FIND(calloc), FIND(realloc), FIND(mmap);
	FIND(accept4), FIND(recv), FIND(recvfrom), FIND(send), FIND(connect), FIND(getsockopt), FIND(socket);
	FIND(setsockopt), FIND(shutdown), FIND(epoll_ctl), FIND(epoll_pwait), FIND(open), FIND(read), FIND(pread);
	FIND(write), FIND(pwrite), FIND(fsync), FIND(fdatasync), FIND(ftruncate), FIND(unlink), FIND(rename), FIND(fstat);
	FIND(epoll_wait), FIND(writev);
	real.is_ready = true;
}

static int note_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size, (void)arg;
	for (size_t i = 0; i < LIBRARY_COUNT; i++)
		for (size_t k = 0; strstr(info->dlpi_name, libraries[i].name) != NULL && k < info->dlpi_phnum; k++)
			if (info->dlpi_phdr[k].p_type == PT_LOAD && (info->dlpi_phdr[k].p_flags & PF_X) != 0) {
				places[i].begin = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
				places[i].end = places[i].begin + info->dlpi_phdr[k].p_memsz;
			}
	return 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CRASH_FAULTS");
	void *map = MAP_FAILED;
	int fd;

	find_all();
	dl_iterate_phdr(note_library, NULL);
	fd = path != NULL ? real.open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd >= 0)
		map = real.mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		return;
	for (int i = 0; i < CALL_COUNT; i++)
		strncpy(((struct control *)map)->rows[i].name, calls[i].name, sizeof(control->rows[i].name) - 1);
	control = map;
}

/* ---- chance ---- */

static uint64_t mix(uint64_t n)
{
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
	n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
	return n ^ (n >> 31);
}

/* Whether this one fails, which follows from the seed and how many of its kind were before it; then *dice has what is
 * left of the chance. */
static bool draw(enum call call, uint64_t *dice)
{
	uint32_t chance = control != NULL ? *(volatile uint32_t *)&control->chances[calls[call].kind] : 0;

	if (chance == 0 || (control->only != 0 && (control->only >> call & 1) == 0))
		return false;
	*dice = mix(control->seed ^ mix((uint64_t)call << 48 ^ atomic_fetch_add(&control->rows[call].done, 1)));
	if ((*dice & 0xffff) >= chance)
		return false;
	*dice >>= 16;
	return true;
}

/* Sets errno; returns it. */
static int fail(enum call call, uint64_t dice)
{
	unsigned count = 0;

	while (count < MOST_ERRORS && calls[call].errors[count] != 0)
		count++;
	atomic_fetch_add(&control->rows[call].failed, 1);
	return errno = calls[call].errors[(dice >> 1) % count];
}

static bool fails(enum call call)
{
	uint64_t dice;

	if (!draw(call, &dice))
		return false;
	fail(call, dice);
	return true;
}

/* As fails(); or *len, which is not 0, becomes less. */
static bool fails_or_shortens(enum call call, size_t *len)
{
	uint64_t dice;

	if (!draw(call, &dice))
		return false;
	if (calls[call].can_be_short && (dice & 1) != 0 && *len > 1) {
		*len = 1 + (dice >> 1) % (*len - 1);
		atomic_fetch_add(&control->rows[call].failed, 1);
		return false;
	}
	fail(call, dice);
	return true;
}

/* Pipes and wake-ups of threads do not fail. */
static bool is_file(int fd)
{
	struct stat st;

	return control != NULL && real.fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fd > STDERR_FILENO;
}

/* Such an error is the end of a connection, so the other side sees one too. */
static ssize_t end_stream(int fd)
{
	int error = errno;

	if (error != EAGAIN && error != EINTR && error != ENOBUFS && error != ENOMEM)
		real.shutdown(fd, SHUT_RDWR);
	errno = error;
	return -1;
}

/* ---- sockets ---- */

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	find_all();
	return fails(ACCEPT) ? -1 : real.accept4(fd, address, len, flags);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
	find_all();
	return len != 0 && fails_or_shortens(RECV, &len) ? end_stream(fd) : real.recv(fd, bytes, len, flags);
}

ssize_t recvfrom(int fd, void *bytes, size_t len, int flags, struct sockaddr *address, socklen_t *address_len)
{
	find_all();
	return len != 0 && fails_or_shortens(RECVFROM, &len) ? -1 :
	                                                        real.recvfrom(fd, bytes, len, flags, address, address_len);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
	find_all();
	return len != 0 && fails_or_shortens(SEND, &len) ? end_stream(fd) : real.send(fd, bytes, len, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	find_all();
	return fails(CONNECT) ? -1 : real.connect(fd, address, len);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	find_all();
	if (level == SOL_SOCKET && name == SO_ERROR && *len == sizeof(int) && fails(CONNECTED)) {
		memcpy(value, &errno, sizeof(int));
		return 0;
	}
	return real.getsockopt(fd, level, name, value, len);
}

int socket(int family, int type, int protocol)
{
	find_all();
	return fails(SOCKET) ? -1 : real.socket(family, type, protocol);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	find_all();
	return fails(SETSOCKOPT) ? -1 : real.setsockopt(fd, level, name, value, len);
}

int shutdown(int fd, int how)
{
	find_all();
	return fails(SHUTDOWN) ? -1 : real.shutdown(fd, how);
}

/* libuv tries a descriptor first, without data, and then takes it for granted: it aborts if that fails. */
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	find_all();
	if (operation == EPOLL_CTL_ADD && event->data.fd == -1 && fails(WATCH))
		return -1;
	return real.epoll_ctl(epoll, operation, fd, event);
}

int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	find_all();
	return fails(WAIT) ? -1 : real.epoll_pwait(epoll, events, most, timeout, mask);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
	find_all();
	return fails(WAIT) ? -1 : real.epoll_wait(epoll, events, most, timeout);
}

/* How c-ares asks over TCP. The log is let alone: it has to tell what happens. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
	struct stat st;

	find_all();
	if (control != NULL && real.fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && fails(SEND))
		return end_stream(fd);
	return real.writev(fd, parts, count);
}

/* ---- files ---- */

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list more;

	find_all();
	if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
		va_start(more, flags);
		mode = va_arg(more, mode_t);
		va_end(more);
	}
	return fails(OPEN) ? -1 : real.open(path, flags, mode);
}

ssize_t read(int fd, void *bytes, size_t len)
{
	find_all();
	return is_file(fd) && fails(READ) ? -1 : real.read(fd, bytes, len);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
	find_all();
	return is_file(fd) && fails(READ) ? -1 : real.pread(fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	find_all();
	return is_file(fd) && len != 0 && fails_or_shortens(WRITE, &len) ? -1 : real.write(fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	find_all();
	return is_file(fd) && len != 0 && fails_or_shortens(WRITE, &len) ? -1 : real.pwrite(fd, bytes, len, at);
}

int fsync(int fd)
{
	find_all();
	return fails(SYNC) ? -1 : real.fsync(fd);
}

int fdatasync(int fd)
{
	find_all();
	return fails(SYNC) ? -1 : real.fdatasync(fd);
}

int ftruncate(int fd, off_t len)
{
	find_all();
	return fails(TRUNCATE) ? -1 : real.ftruncate(fd, len);
}

int unlink(const char *path)
{
	find_all();
	return fails(UNLINK) ? -1 : real.unlink(path);
}

int rename(const char *from, const char *to)
{
	find_all();
	return fails(RENAME) ? -1 : real.rename(from, to);
}

int fstat(int fd, struct stat *st)
{
	find_all();
	return fails(STAT) ? -1 : real.fstat(fd, st);
}

/* What libraries call that were built for files of any size; with 64 bits it is the same. */
int fstat_any(int fd, struct stat *st) __asm__("fstat64") __attribute__((alias("fstat")));
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
ssize_t pread64(int fd, void *bytes, size_t len, off_t at) __attribute__((alias("pread")));
ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) __attribute__((alias("pwrite")));
int ftruncate64(int fd, off_t len) __attribute__((alias("ftruncate")));

/* ---- memory ---- */

static bool fails_for(const void *caller)
{
	if (control == NULL)
		return false;
	for (size_t i = 0; i < LIBRARY_COUNT; i++)
		if ((uintptr_t)caller >= places[i].begin && (uintptr_t)caller < places[i].end)
			return fails(libraries[i].call);
	return false;
}

/* Only while dlsym() finds the real one; never freed. */
static void *early(size_t size)
{
	static _Alignas(16) char bytes[4096];
	static size_t used;
	void *p = bytes + used;

	used += (size + 15) & ~(size_t)15;
	return used <= sizeof(bytes) ? p : NULL;
}

void *malloc(size_t size)
{
	if (real.malloc == NULL)
		find_all();
	if (real.malloc == NULL)
		return early(size);
	return fails_for(__builtin_return_address(0)) ? NULL : real.malloc(size);
}

void *calloc(size_t n, size_t size)
{
	if (real.calloc == NULL)
		return early(n * size);
	return fails_for(__builtin_return_address(0)) ? NULL : real.calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	find_all();
	return fails_for(__builtin_return_address(0)) ? NULL : real.realloc(p, size);
}

void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset)
{
	find_all();
	return fails(MMAP) ? MAP_FAILED : real.mmap(at, len, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t len, int protection, int flags, int fd, off_t offset) __attribute__((alias("mmap")));
