/* SPDX-License-Identifier: Apache-2.0 */
/* test_interface.c - what programs that are built now can rely on later: versions, texts, sizes, handles */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "chronq.h"

/* The numbers, the text, and the library that was linked are of one version. */
static void versions(void **state)
{
	char text[64];

	(void)state;
	snprintf(text, sizeof text, "%d.%d.%d", CHRONQ_VERSION_MAJOR, CHRONQ_VERSION_MINOR,
	         CHRONQ_VERSION_PATCH);
	assert_string_equal(CHRONQ_VERSION, text);
	assert_string_equal(cq_version(), text);
}

/* Every error that chronq.h names for a reason of its own has a text that is not the system's. */
static void texts_of_our_errors(void **state)
{
	static const int ours[] = { EAGAIN,   EBADMSG,        EBUSY,     ECANCELED,  EDQUOT,
		                    EEXIST,   EFBIG,          EINVAL,    EIO,        ELOOP,
		                    EMSGSIZE, ENODATA,        ENOTEMPTY, EOPNOTSUPP, EOVERFLOW,
		                    EPERM,    EPROTONOSUPPORT };

	(void)state;
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
		const char *text = cq_strerror(-ours[i]);

		assert_string_not_equal(text, strerrordesc_np(ours[i]));
		assert_ptr_equal(cq_strerror(ours[i]), text);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(text, cq_strerror(ours[j]));
	}
}

/* All others have the system's, and any number has one. */
static void texts_of_others(void **state)
{
	static const int others[] = { ENOENT, EACCES, EROFS, ENOMEM, EMFILE, EINTR };

	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		assert_string_equal(cq_strerror(-others[i]), strerrordesc_np(others[i]));
	assert_string_equal(cq_strerror(0), "Success");
	assert_string_equal(cq_strerror(123456), "unknown error");
	assert_string_equal(cq_strerror(INT_MAX), "unknown error");
	assert_string_equal(cq_strerror(INT_MIN), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(texts_of_our_errors),
		cmocka_unit_test(texts_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
