/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * standalone: runs a fuzz target over files instead of searching: each file named on the command line, and each file of
 * each directory named there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (64u * 1024u * 1024u)

static size_t inputs;

static int complain(const char *path, const char *why)
{
	(void)fprintf(stderr, "%s: %s\n", path, why);
	return -1;
}

static int run_file(const char *path, size_t size)
{
	FILE *in = fopen(path, "rbe");
	uint8_t *data;
	size_t n;

	if (!in)
		return complain(path, strerror(errno));
	data = malloc(size ? size : 1); /* exactly as large, so that reading behind the end is seen */
	if (!data) {
		(void)fclose(in);
		return complain(path, "no memory");
	}
	n = fread(data, 1, size, in);
	(void)fclose(in); /* only read */
	if (n == size)
		(void)LLVMFuzzerTestOneInput(data, size); /* says nothing; it aborts if something is wrong */
	free(data);
	if (n != size)
		return complain(path, "could not be read to its end");
	inputs++;
	return 0;
}

static int run(const char *path);

static int run_directory(const char *path)
{
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort), err = 0;

	if (n < 0)
		return complain(path, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *inner = NULL;

		if (entries[i]->d_name[0] != '.') {
			if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) < 0)
				abort();
			err |= run(inner);
			free(inner);
		}
		free(entries[i]);
	}
	free(entries);
	return err;
}

static int run(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return complain(path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return run_directory(path);
	if (!S_ISREG(st.st_mode) || st.st_size > INPUT_MAX)
		return complain(path, "is no file, or too large");
	return run_file(path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
	int err = 0;

	for (int i = 1; i < argc; i++)
		err |= run(argv[i]);
	(void)printf("%zu inputs\n", inputs);
	return err || !inputs ? EXIT_FAILURE : EXIT_SUCCESS;
}
