/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../bpf/qosd_abi.h"
#include "file.h"
#include "mem.h"

/* Our bpffs mounts carry this as their source, so that a later process knows which ones may be unmounted. */
#define MOUNT_SOURCE "qosd"
/* A pin that is about to replace another begins with this, which no name of ours does. bpffs allows no dots. */
#define NEW_PREFIX '~'
#define DIR_MODE   0700
/* Of the file descriptors that this process may have, a part may be maps that stay open: there may be some for each of
 * thousands of hooks. */
#define OPEN_PART 4
#define OPEN_MIN  64

struct pin {
	char *path; /* below the directory */
	int fd;
	uint64_t used; /* when it was asked for last */
};

struct pins {
	char *mount;   /* PIN_DIR */
	char *dir;     /* PIN_DIR/v1 */
	int lock;      /* of dir; negative: it is not ours alone */
	struct pin *v; /* sorted by path */
	size_t n, room, open_max;
	size_t hand;   /* whom to look at for closing */
	uint64_t uses; /* how often one was asked for */
};

static int make_dirs(const char *path)
{
	char *copy = xstrdup(path);
	int err = 0;

	for (char *p = copy + 1; !err; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, DIR_MODE) < 0 && errno != EEXIST)
			err = -errno;
		*p = was;
		if (was == '\0')
			break;
	}
	free(copy);
	return err;
}

static bool on_bpffs(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && st.f_type == BPF_FS_MAGIC;
}

/* Whoever died between pin and rename left a map that nobody uses. What cannot be removed does no harm but to the
 * memory, and the next that replaces it does it as well. */
static void remove_unfinished(const char *path)
{
	const struct dirent *e;
	DIR *dir = opendir(path);

	while (dir && (e = readdir(dir))) {
		char below[PATH_MAX];
		struct stat st;
		int n = snprintf(below, sizeof(below), "%s/%s", path, e->d_name);

		if (e->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof(below) || lstat(below, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode))
			remove_unfinished(below);
		else if (e->d_name[0] == NEW_PREFIX)
			(void)unlink(below);
	}
	if (dir)
		(void)closedir(dir); /* only read from */
}

static size_t open_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / OPEN_PART < OPEN_MIN)
		return OPEN_MIN;
	return files.rlim_cur / OPEN_PART;
}

struct pins *pins_open(const char *pin_dir, char *why, size_t size)
{
	struct pins *p;
	char dir[PATH_MAX];
	int err, n;

	n = snprintf(dir, sizeof(dir), "%s/v%d", pin_dir, QOSD_ABI);
	if (pin_dir[0] != '/' || n < 0 || (size_t)n >= sizeof(dir)) {
		err = EINVAL;
		(void)snprintf(why, size, "the pin directory %s is no absolute path", pin_dir); /* cut to fit */
		goto fail;
	}
	err = -make_dirs(pin_dir);
	if (err) {
		(void)snprintf(why, size, "cannot make the pin directory %s: %s", pin_dir, strerror(err));
		goto fail;
	}
	if (!on_bpffs(pin_dir) &&
	    mount(MOUNT_SOURCE, pin_dir, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0) {
		err = errno;
		(void)snprintf(why, size, "cannot mount a bpffs at %s: %s", pin_dir, strerror(err));
		goto fail;
	}
	err = -make_dirs(dir);
	if (err) {
		(void)snprintf(why, size, "cannot make %s: %s", dir, strerror(err));
		goto fail;
	}
	p = xcalloc(1, sizeof(*p));
	p->mount = xstrdup(pin_dir);
	p->dir = xstrdup(dir);
	p->lock = -1;
	p->open_max = open_max();
	return p;
fail:
	errno = err;
	return NULL;
}

int pins_lock(struct pins *p)
{
	p->lock = file_lock_dir(p->dir);
	if (p->lock < 0)
		return p->lock;
	remove_unfinished(p->dir);
	return 0;
}

static void unlock(struct pins *p)
{
	if (p->lock >= 0)
		(void)close(p->lock); /* only locked */
	p->lock = -1;
}

void pins_close(struct pins *p)
{
	if (!p)
		return;
	unlock(p);
	pins_refresh(p);
	free(p->v);
	free(p->mount);
	free(p->dir);
	free(p);
}

/* ---- the fds that are open ---- */

/* Where path is, or would be. */
static size_t find(const struct pins *p, const char *path)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(p->v[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct pins *p, size_t i, const char *path)
{
	return i < p->n && !strcmp(p->v[i].path, path);
}

static void remember(struct pins *p, size_t i, const char *path, int fd)
{
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->v = xrealloc(p->v, p->room * sizeof(*p->v));
	}
	memmove(&p->v[i + 1], &p->v[i], (p->n - i) * sizeof(*p->v));
	p->v[i] = (struct pin){.path = xstrdup(path), .fd = fd, .used = ++p->uses};
	p->n++;
}

static void close_pin(struct pin *pin)
{
	free(pin->path);
	(void)close(pin->fd); /* a map's fd has nothing to lose */
}

static void drop(struct pins *p, size_t i)
{
	close_pin(&p->v[i]);
	p->n--;
	memmove(&p->v[i], &p->v[i + 1], (p->n - i) * sizeof(*p->v));
}

static void forget(struct pins *p, const char *path)
{
	size_t i = find(p, path);

	if (is_at(p, i, path))
		drop(p, i);
}

/* Closes one if there are too many: not one of those that were asked for lately, which are half of them at most. */
static void make_room(struct pins *p)
{
	if (p->n < p->open_max)
		return;
	do
		p->hand = (p->hand + 1) % p->n;
	while (p->uses - p->v[p->hand].used < p->open_max / 2);
	drop(p, p->hand);
}

void pins_refresh(struct pins *p)
{
	for (size_t i = 0; i < p->n; i++)
		close_pin(&p->v[i]);
	p->n = 0;
}

/* ---- files
 * ----------------------------------------------------------------------------------------------------------- */

static int full_path(const struct pins *p, const char *path, char out[PATH_MAX])
{
	int n = snprintf(out, PATH_MAX, "%s/%s", p->dir, path);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Programs and links can be pinned, too, and answer the same calls: only the name of the fd tells them apart. */
static bool is_map(int fd)
{
	static const char name[] = "anon_inode:bpf-map";
	char link[64], target[sizeof(name)];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd); /* fits */
	return readlink(link, target, sizeof(target)) == sizeof(name) - 1 && !memcmp(target, name, sizeof(name) - 1);
}

/* An fd of a pinned map; -ENOENT where something else is pinned. */
static int open_map(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd < 0 || is_map(fd))
		return fd;
	(void)close(fd); /* not ours */
	return -ENOENT;
}

int pins_map(struct pins *p, const char *path)
{
	size_t i = find(p, path);
	char full[PATH_MAX];
	int fd;

	if (is_at(p, i, path)) {
		p->v[i].used = ++p->uses;
		return p->v[i].fd;
	}
	fd = full_path(p, path, full);
	if (!fd)
		fd = open_map(full);
	if (fd < 0)
		return fd;
	make_room(p);
	remember(p, find(p, path), path, fd);
	return fd;
}

int pins_put(struct pins *p, const char *path, int fd)
{
	char full[PATH_MAX], *slash;
	int err = full_path(p, path, full);

	if (err)
		return err;
	slash = strrchr(full, '/');
	*slash = '\0';
	err = make_dirs(full);
	*slash = '/';
	if (!err)
		err = bpf_obj_pin(fd, full);
	if (!err)
		forget(p, path);
	return err;
}

/* Removes what became empty above a pin. */
static void remove_empty_dirs(const struct pins *p, char *full)
{
	char *slash;

	while ((slash = strrchr(full, '/')) && (size_t)(slash - full) > strlen(p->dir)) {
		*slash = '\0';
		if (rmdir(full) < 0)
			return; /* others are still in it */
	}
}

int pins_remove(struct pins *p, const char *path)
{
	char full[PATH_MAX];
	int err = full_path(p, path, full);

	if (err)
		return err;
	if (unlink(full) < 0)
		return -errno;
	forget(p, path);
	remove_empty_dirs(p, full);
	return 0;
}

int pins_replace(struct pins *p, const char *path, int fd)
{
	char full[PATH_MAX], temporary[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int name = slash ? (int)(slash + 1 - path) : 0;
	int err = full_path(p, path, full);
	int n = snprintf(temporary, sizeof(temporary), "%s/%.*s%c%s", p->dir, name, path, NEW_PREFIX, path + name);

	if (err || n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	if (unlink(temporary) < 0 && errno != ENOENT)
		return -errno;
	err = bpf_obj_pin(fd, temporary);
	if (err)
		return err;
	if (rename(temporary, full) < 0) {
		err = -errno;
		(void)unlink(temporary); /* the next replace would do it as well */
		return err;
	}
	forget(p, path);
	return 0;
}

/* ---- walks
 * ----------------------------------------------------------------------------------------------------------- */

struct walk {
	const struct pins *p;
	int (*fn)(void *ctx, const char *path, int fd);
	void *ctx;
};

static int walk_dir(const struct walk *w, const char *below);

static int walk_entry(const struct walk *w, const char *below, const char *name)
{
	char full[PATH_MAX], path[PATH_MAX];
	struct stat st;
	int fd, n, result;

	n = snprintf(path, sizeof(path), "%s%s%s", below, *below ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(path) || full_path(w->p, path, full))
		return -ENAMETOOLONG;
	if (lstat(full, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return walk_dir(w, path);
	fd = open_map(full);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	result = w->fn(w->ctx, path, fd);
	(void)close(fd); /* the map stays pinned */
	return result;
}

static int walk_dir(const struct walk *w, const char *below)
{
	char full[PATH_MAX];
	int err = full_path(w->p, below, full);
	const struct dirent *e;
	DIR *dir;

	if (err)
		return err;
	dir = opendir(full);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (!err && (e = readdir(dir)))
		if (e->d_name[0] != '.' && e->d_name[0] != NEW_PREFIX)
			err = walk_entry(w, below, e->d_name);
	(void)closedir(dir); /* only read from */
	return err;
}

int pins_each(struct pins *p, int (*fn)(void *ctx, const char *path, int fd), void *ctx)
{
	struct walk w = {.p = p, .fn = fn, .ctx = ctx};

	return walk_dir(&w, "");
}

/* ---- the end
 * ----------------------------------------------------------------------------------------------------------- */

/* Removes what is in the directory and the directory itself; goes on after a failure, which is returned. */
static int remove_tree(const char *path)
{
	const struct dirent *e;
	DIR *dir = opendir(path);
	int err = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir))) {
		char below[PATH_MAX];
		struct stat st;
		int one = 0, n;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n = snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (n < 0 || (size_t)n >= sizeof(below))
			one = -ENAMETOOLONG;
		else if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
			one = remove_tree(below);
		else if (unlink(below) < 0 && errno != ENOENT)
			one = -errno;
		if (one && !err)
			err = one;
	}
	(void)closedir(dir); /* only read from */
	if (rmdir(path) < 0 && !err && errno != ENOENT)
		err = -errno;
	return err;
}

/* "v1": a pin directory of this or of an earlier layout. */
static bool is_version(const char *name)
{
	return name[0] == 'v' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1);
}

static int remove_versions(const char *mount)
{
	const struct dirent *e;
	DIR *dir = opendir(mount);
	int err = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir))) {
		char path[PATH_MAX];
		int one, n;

		if (!is_version(e->d_name))
			continue;
		n = snprintf(path, sizeof(path), "%s/%s", mount, e->d_name);
		one = n < 0 || (size_t)n >= sizeof(path) ? -ENAMETOOLONG : remove_tree(path);
		if (one && !err)
			err = one;
	}
	(void)closedir(dir); /* only read from */
	return err;
}

/* Is a bpffs mounted just there, and by us? A field of /proc/self/mountinfo writes a blank as \040, see proc(5). */
static bool is_our_mount(const char *path)
{
	char *line = NULL, real[PATH_MAX];
	size_t room = 0;
	bool ours = false;
	FILE *f;

	if (!realpath(path, real))
		return false;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return false;
	while (getline(&line, &room, f) > 0) {
		char at[PATH_MAX], source[64];
		const char *rest = strstr(line, " - ");

		/* The last line for a place is the mount on top. */
		if (sscanf(line, "%*s %*s %*s %*s %4095s", at) == 1 && !strcmp(at, real))
			ours = rest && sscanf(rest, " - bpf %63s", source) == 1 && !strcmp(source, MOUNT_SOURCE);
	}
	free(line);
	(void)fclose(f); /* only read from */
	return ours;
}

int pins_remove_all(struct pins *p)
{
	int err;

	pins_refresh(p);
	unlock(p); /* what is open keeps a mount busy */
	err = remove_versions(p->mount);
	if (!err && is_our_mount(p->mount) && umount(p->mount) < 0)
		err = -errno;
	if (!err)
		(void)rmdir(p->mount); /* stays where something else is in it, or it is a mount of somebody's */
	return err;
}
