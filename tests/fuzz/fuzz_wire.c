/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fuzz_wire: what a client may send to the control socket, and text of any bytes on its way back.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "out.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	struct wire_request r;
	json_t *text;

	if (wire_parse_request((const char *)data, size, &r, &why) == 0) {
		static FILE *null;

		if (!null)
			null = fopen("/dev/null", "w");
		if (!json_is_object(r.args) || !r.command[0] || !null || out_print(null, r.args, OUT_TEXT) < 0)
			abort();
		wire_request_clear(&r);
	} else if (!why) {
		abort();
	}
	text = wire_text_n((const char *)data, size);
	if (!text)
		abort();
	json_decref(text);
	return 0;
}
