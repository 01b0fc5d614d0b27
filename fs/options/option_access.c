/* SPDX-License-Identifier: Apache-2.0 */
/* option_access.c - the options uid=, gid=, umask= and ctl_gid=; see option_access.h */
#include "options/option_access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "chronfs.h"
#include "shared/log.h"
#include "shared/parse_number.h"

#define MODE_BITS 0777

static const char *value_of(const char *option)
{
	return strchr(option, '=') + 1;
}

/* The largest number means "none" to the kernel. */
static bool is_id(const char *text, uint32_t *ret_id)
{
	const char *rest;
	uint64_t number;

	if (!chronfs_parse_number(text, &number, &rest) || *rest || number >= UINT32_MAX)
		return false;
	*ret_id = (uint32_t)number;
	return true;
}

/* Prints why there is no such user or group.  error: what the system gave, one of several numbers if
 * it only knows no such name (getpwnam(3)). */
static int say_unknown(const char *option, const char *kind, int error)
{
	switch (error) {
	case 0:
	case ENOENT:
	case ESRCH:
	case EBADF:
	case EPERM:
		chronfs_print_error("-o %s: there is no such %s", option, kind);
		return -1;
	default:
		chronfs_print_error("-o %s: %s", option, strerrordesc_np(error));
		return -1;
	}
}

int chronfs_take_user(const char *option, uid_t *ret_uid)
{
	const struct passwd *user;

	if (is_id(value_of(option), ret_uid))
		return 0;
	errno = 0;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): there is only one thread yet
	user = getpwnam(value_of(option));
	if (!user)
		return say_unknown(option, "user", errno);
	*ret_uid = user->pw_uid;
	return 0;
}

int chronfs_take_group(const char *option, gid_t *ret_gid)
{
	const struct group *group;

	if (is_id(value_of(option), ret_gid))
		return 0;
	errno = 0;
	// NOLINTNEXTLINE(concurrency-mt-unsafe): there is only one thread yet
	group = getgrnam(value_of(option));
	if (!group)
		return say_unknown(option, "group", errno);
	*ret_gid = group->gr_gid;
	return 0;
}

int chronfs_take_umask(const char *option, mode_t *ret_umask)
{
	const char *text = value_of(option), *p;
	mode_t mask = 0;

	for (p = text; *p >= '0' && *p <= '7' && mask <= MODE_BITS; p++)
		mask = mask * 8 + (mode_t)(*p - '0');
	if (p == text || *p || mask > MODE_BITS) {
		chronfs_print_error("-o %s: an octal number from 0 to 777 expected", option);
		return -1;
	}
	*ret_umask = mask;
	return 0;
}
