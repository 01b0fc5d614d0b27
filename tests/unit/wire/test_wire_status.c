/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_status.c - the file of metrics: always whole, readable by others, and never more than one file */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "wire/status.h"

#define S 1000000000ULL

struct fixture {
	char dir[PATH_SIZE], path[PATH_SIZE];
	struct status *status;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	support_temp_dir(f->dir);
	support_path(f->path, f->dir, "chronq.prom");
	assert_int_equal(status_open(f->path, "/q", "S", &f->status), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	status_close(f->status);
	support_remove(f->dir);
	free(f);
	return 0;
}

static char *contents(const char *path)
{
	static char text[16384];
	FILE *file = fopen(path, "r");
	size_t size;

	assert_non_null(file);
	size = fread(text, 1, sizeof text - 1, file);
	text[size] = '\0';
	assert_int_equal(fclose(file), 0);
	return text;
}

/* How many entries the folder has, hidden ones included. */
static unsigned entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static struct status_ship example_ship(void)
{
	return (struct status_ship){
		.shipped_records = 12,
		.acked_records = 11,
		.acked_bytes = UINT64_MAX - 1,
		.lag_records = 1,
		.lag_bytes = 7,
		.lag_ns = 1500000000,
		.resyncs = 2,
		.connected = true,
		.last_ack_ns = 1700000000000000001,
	};
}

static struct status_fetch example_fetch(void)
{
	return (struct status_fetch){
		.records = 12,
		.bytes = 100,
		.gap_records = 3,
		.lag_messages = 4,
		.lag_ns = 5 * S,
		.resyncs = 1,
		.last_record_ns = 1700000000 * S,
		.last_error = "no leader",
	};
}

static void whole_text(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();

	v.lag_bytes = STATUS_UNKNOWN;
	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	assert_string_equal(
		contents(f->path),
		"# HELP chronq_ship_shipped_records_total Records published, also those published again.\n"
		"# TYPE chronq_ship_shipped_records_total counter\n"
		"chronq_ship_shipped_records_total{queue=\"/q\",stream=\"S\"} 12\n"
		"# HELP chronq_ship_acked_records_total Records that the stream has acknowledged.\n"
		"# TYPE chronq_ship_acked_records_total counter\n"
		"chronq_ship_acked_records_total{queue=\"/q\",stream=\"S\"} 11\n"
		"# HELP chronq_ship_acked_bytes_total Bytes of acknowledged messages, without their headers.\n"
		"# TYPE chronq_ship_acked_bytes_total counter\n"
		"chronq_ship_acked_bytes_total{queue=\"/q\",stream=\"S\"} 18446744073709551614\n"
		"# HELP chronq_ship_lag_records Records that may be shipped and are not acknowledged.\n"
		"# TYPE chronq_ship_lag_records gauge\n"
		"chronq_ship_lag_records{queue=\"/q\",stream=\"S\"} 1\n"
		"# HELP chronq_ship_lag_seconds Age of the oldest record that may be shipped and is not acknowledged.\n"
		"# TYPE chronq_ship_lag_seconds gauge\n"
		"chronq_ship_lag_seconds{queue=\"/q\",stream=\"S\"} 1.500000000\n"
		"# HELP chronq_ship_resyncs_total How often the stream was asked where to continue, the start included.\n"
		"# TYPE chronq_ship_resyncs_total counter\n"
		"chronq_ship_resyncs_total{queue=\"/q\",stream=\"S\"} 2\n"
		"# HELP chronq_ship_connected Whether there is a connection to a server.\n"
		"# TYPE chronq_ship_connected gauge\n"
		"chronq_ship_connected{queue=\"/q\",stream=\"S\"} 1\n"
		"# HELP chronq_ship_last_ack_timestamp_seconds When the stream acknowledged a record last.\n"
		"# TYPE chronq_ship_last_ack_timestamp_seconds gauge\n"
		"chronq_ship_last_ack_timestamp_seconds{queue=\"/q\",stream=\"S\"} 1700000000.000000001\n");
	v.last_error = "";
	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	assert_null(strstr(contents(f->path), "last_error"));
}

static void escaped(void **state)
{
	struct fixture *f = *state;
	struct status_fetch v = example_fetch();

	status_close(f->status);
	assert_int_equal(status_open(f->path, "/a\"b\\c\nd\xff", "/\xc3\xa9", &f->status), 0);
	v.last_error = "it said \"no\"\n";
	assert_int_equal(status_write_fetch(f->status, &v, S), 1);
	assert_non_null(strstr(
		contents(f->path),
		"\nchronq_fetch_records_total{queue=\"/a\\\"b\\\\c\\nd?\",stream=\"/\xc3\xa9\"} 12\n"));
	assert_non_null(strstr(contents(f->path), ",text=\"it said \\\"no\\\"\\n\"} 1\n"));
}

/* promtool finds nothing to say about the names, types and texts. */
static void as_prometheus_expects(void **state)
{
	struct fixture *f = *state;
	struct status_ship ship = example_ship();
	struct status_fetch fetch = example_fetch();
	char command[2 * PATH_SIZE];

	if (system("command -v promtool >/dev/null 2>&1") != 0) {
		print_message("no promtool here (package prometheus)\n");
		skip();
	}
	(void)snprintf(command, sizeof command, "promtool check metrics <'%s' >&2", f->path);
	ship.last_error = "wrong last sequence: 17";
	assert_int_equal(status_write_ship(f->status, &ship, S), 1);
	assert_int_equal(system(command), 0);
	assert_int_equal(status_write_fetch(f->status, &fetch, S), 1);
	assert_int_equal(system(command), 0);
}

static void readable_by_all(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();
	const mode_t mask = umask(077);
	struct stat st;

	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	(void)umask(mask);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(entries(f->dir), 1);
}

/* Who has opened the file sees one whole set, not the next one's beginning. */
static void replaced_as_a_whole(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();
	char before[16384], text[16384];
	FILE *file;
	size_t n;

	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	(void)snprintf(before, sizeof before, "%s", contents(f->path));
	file = fopen(f->path, "r");
	assert_non_null(file);
	v.acked_records = 12345;
	assert_int_equal(status_write_ship(f->status, &v, 2 * S), 1);
	n = fread(text, 1, sizeof text - 1, file);
	text[n] = '\0';
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, before);
	assert_non_null(strstr(contents(f->path), "} 12345\n"));
}

/* The metrics of before stay, no temp file is left, the error is said once, and the next success ends it. */
static void failing_writes(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();
	struct rlimit before, small = { 0 };
	void (*handler)(int);

	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	handler = signal(SIGXFSZ, SIG_IGN);
	small = before;
	small.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	v.acked_records = 12345;
	assert_int_equal(status_write_ship(f->status, &v, 2 * S), -EFBIG);
	assert_int_equal(status_write_ship(f->status, &v, 3 * S), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, handler);
	assert_int_equal(entries(f->dir), 1);
	assert_null(strstr(contents(f->path), "} 12345\n"));
	assert_int_equal(status_write_ship(f->status, &v, 4 * S), 1);
	assert_non_null(strstr(contents(f->path), "} 12345\n"));
}

static void obstacles(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();
	char temp[PATH_SIZE];

	/* a directory has its name */
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), -EISDIR);
	assert_int_equal(status_write_ship(f->status, &v, S), 0);
	assert_int_equal(entries(f->dir), 1);
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	/* the same trouble later is said again */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), -EISDIR);
	assert_int_equal(rmdir(f->path), 0);
	/* a link in place of the temp file is not followed */
	support_path(temp, f->dir, ".chronq.prom.tmp");
	assert_int_equal(symlink("/dev/null", temp), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), 1);
	assert_int_equal(entries(f->dir), 1);
	/* the folder is gone; another trouble is said, too */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(temp, 0700), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), -EEXIST);
	assert_int_equal(rmdir(temp), 0);
	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), -ENOENT);
	assert_int_equal(status_write_ship(f->status, &v, S), 0);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(status_write_ship(f->status, &v, S), 1);
}

/* What a killed process left goes with the next one that begins. */
static void left_by_a_killed_one(void **state)
{
	struct fixture *f = *state;
	char temp[PATH_SIZE];
	int fd;

	support_path(temp, f->dir, ".chronq.prom.tmp");
	fd = open(temp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	status_close(f->status);
	assert_int_equal(status_open(f->path, "/q", "S", &f->status), 0);
	assert_int_equal(entries(f->dir), 0);
}

static void names(void **state)
{
	static const char *const wrong[] = { "", "/", "dir/", ".", "dir/..", "dir/." };
	struct fixture *f = *state;
	struct status_ship v = example_ship();
	struct status *status = NULL;
	char *cwd = getcwd(NULL, 0);

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		assert_int_equal(status_open(wrong[i], "/q", "S", &status), -EINVAL);
	assert_null(status);
	assert_non_null(cwd);
	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(status_open("here.prom", "/q", "S", &status), 0);
	assert_int_equal(status_write_ship(status, &v, S), 1);
	status_close(status);
	assert_int_equal(access("here.prom", R_OK), 0);
	assert_int_equal(entries("."), 1);
	assert_int_equal(chdir(cwd), 0);
	free(cwd);
}

static void once_a_second(void **state)
{
	struct fixture *f = *state;
	struct status_ship v = example_ship();

	assert_true(status_is_due(f->status, 0));
	assert_int_equal(status_write_ship(f->status, &v, 5 * S), 1);
	assert_false(status_is_due(f->status, 6 * S - 1));
	assert_true(status_is_due(f->status, 6 * S));
	/* neither does a failing disk get more */
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	assert_int_equal(status_write_ship(f->status, &v, 7 * S), -EISDIR);
	assert_false(status_is_due(f->status, 7 * S + 1));
	/* without --status */
	assert_false(status_is_due(NULL, 6 * S));
	assert_int_equal(status_write_ship(NULL, &v, S), 1);
	status_close(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_text, setup, teardown),
		cmocka_unit_test_setup_teardown(escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(as_prometheus_expects, setup, teardown),
		cmocka_unit_test_setup_teardown(readable_by_all, setup, teardown),
		cmocka_unit_test_setup_teardown(replaced_as_a_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(failing_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(obstacles, setup, teardown),
		cmocka_unit_test_setup_teardown(left_by_a_killed_one, setup, teardown),
		cmocka_unit_test_setup_teardown(names, setup, teardown),
		cmocka_unit_test_setup_teardown(once_a_second, setup, teardown),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
