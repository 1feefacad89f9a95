/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qosd: options, then the daemon.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "daemon.h"
#include "log.h"
#include "wire.h"

static const char usage[] = "usage: qosd [options]\n"
			    "  -c, --config FILE     the policy (" WIRE_CONFIG ")\n"
			    "      --run-dir DIR     control socket and lock (" WIRE_RUN_DIR ")\n"
			    "      --state-dir DIR   what outlives a reboot (" DAEMON_STATE_DIR ")\n"
			    "      --pin-dir DIR     where the BPF maps are pinned (" DAEMON_PIN_DIR ")\n"
			    "  -t, --test            test the policy and exit\n"
			    "  -v, --verbose         say more\n"
			    "  -V, --version\n"
			    "  -h, --help\n";

enum {
	OPT_RUN_DIR = 256,
	OPT_STATE_DIR,
	OPT_PIN_DIR,
};

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"run-dir", required_argument, NULL, OPT_RUN_DIR},
	{"state-dir", required_argument, NULL, OPT_STATE_DIR},
	{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
	{"test", no_argument, NULL, 't'},
	{"verbose", no_argument, NULL, 'v'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

int main(int argc, char **argv)
{
	struct daemon_options o = {
		.paths = {.config = WIRE_CONFIG, .state_dir = DAEMON_STATE_DIR, .pin_dir = DAEMON_PIN_DIR},
		.run_dir = WIRE_RUN_DIR,
	};
	bool test = false, verbose = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:tvVh", options, NULL)) != -1) {
		switch (c) {
		case 'c': o.paths.config = optarg; break;
		case OPT_RUN_DIR: o.run_dir = optarg; break;
		case OPT_STATE_DIR: o.paths.state_dir = optarg; break;
		case OPT_PIN_DIR: o.paths.pin_dir = optarg; break;
		case 't': test = true; break;
		case 'v': verbose = true; break;
		case 'V': puts("qosd " PACKAGE_VERSION); return EXIT_DONE;
		case 'h': fputs(usage, stdout); return EXIT_DONE;
		default: fputs(usage, stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "qosd: unexpected argument \"%s\"\n%s", argv[optind], usage);
		return EXIT_USAGE;
	}
	log_init("qosd", verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	return test ? daemon_test(o.paths.config) : daemon_run(&o);
}
