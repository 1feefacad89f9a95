/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * out: writes an answer, the JSON object that came over the wire or was made like one, for people or for programs. One
 * traversal knows all answers: what is put into one shows up in both forms. For people: a list of objects is a table, a
 * list of texts is lines, units are read off the ends of the keys (_bps, _bytes, _ms) and written out, "depth" indents
 * a row's name. Control characters never reach a terminal. The parts that are about the asking (exit, error, warning,
 * messages) are left to the caller in the form for people.
 */
#ifndef QOSD_OUT_H
#define QOSD_OUT_H

#include <jansson.h>
#include <stdio.h>

enum out_form {
	OUT_TEXT,
	OUT_JSON,
};

/* 0 or -EIO where it could not be written. */
int out_print(FILE *to, const json_t *answer, enum out_form form);

#endif
