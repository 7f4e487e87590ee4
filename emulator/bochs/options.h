/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPTIONS_H
#define OPTIONS_H

/**
 * tdx_other_option() - take an option of the bochsrc's line "tdx:"
 * @key:     its name; README.md lists them
 * @value:   its value
 * @running: the machine runs already
 *
 * Return: NULL; "" if there is no such option; else what is wrong.
 */
const char *tdx_other_option(const char *key, const char *value, bool running);

#endif
