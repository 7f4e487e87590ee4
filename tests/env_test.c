// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib/env.c: nothing is missing without a reason, on a host that shows all and
 * on one that shows nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kselftest_harness.h"

/* Seconds; the default is too short for an emulated machine on a busy one. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 300

#include "env.h"

/* Every null has its reason beside it, at any depth. */
static void expect_reasons(struct __test_metadata *_metadata, const json_t *json,
			   const char *where)
{
	const char *key, *why;
	json_t *value;
	char path[256];
	size_t i;

	json_array_foreach((json_t *)json, i, value)
		expect_reasons(_metadata, value, where);
	json_object_foreach((json_t *)json, key, value) {
		snprintf(path, sizeof(path), "%.120s.%.80s", where, key);
		expect_reasons(_metadata, value, path);
		if (!json_is_null(value))
			continue;
		snprintf(path, sizeof(path), "%.200s_why", key);
		why = json_string_value(json_object_get(json, path));
		EXPECT_TRUE(why && *why)
			TH_LOG("%s.%s is null without a reason", where, key);
	}
}

/* No reason stands beside something that is there. */
static void expect_no_stale_reason(struct __test_metadata *_metadata, const json_t *json)
{
	const char *key;
	json_t *value;
	char name[128];

	json_object_foreach((json_t *)json, key, value) {
		expect_no_stale_reason(_metadata, value);
		snprintf(name, sizeof(name), "%.120s", key);
		if (strlen(name) < 4 || strcmp(name + strlen(name) - 4, "_why"))
			continue;
		name[strlen(name) - 4] = 0;
		EXPECT_TRUE(json_is_null(json_object_get(json, name)))
			TH_LOG("%s has a reason and a value", name);
	}
}

static void expect_parts(struct __test_metadata *_metadata, const json_t *env)
{
	static const char * const parts[] = {
		"kernel", "settings", "cpu", "memory", "cgroup", "kvm", "modules", "tdx",
		"features", "limits",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		EXPECT_TRUE(json_is_object(json_object_get(env, parts[i])))
			TH_LOG("no %s", parts[i]);
	EXPECT_TRUE(json_is_string(json_object_get(env, "platform")));
	expect_reasons(_metadata, env, "env");
	expect_no_stale_reason(_metadata, env);
}

static json_t *get(const json_t *json, const char *part, const char *key)
{
	return json_object_get(json_object_get(json, part), key);
}

TEST(tells_about_this_host)
{
	json_t *env = env_capture(1), *brief = env_capture(0);
	struct utsname u;

	ASSERT_NE(NULL, env);
	ASSERT_NE(NULL, brief);
	expect_parts(_metadata, env);
	expect_parts(_metadata, brief);

	uname(&u);
	EXPECT_STREQ(u.release, json_string_value(get(env, "kernel", "release")));
	EXPECT_EQ(sysconf(_SC_NPROCESSORS_ONLN), json_integer_value(get(env, "cpu", "online")));
	EXPECT_EQ(sysconf(_SC_PHYS_PAGES) * 4, json_integer_value(get(env, "memory", "total_kb")));
	EXPECT_EQ(access("/dev/kvm", R_OK | W_OK),
		  json_integer_value(get(env, "kvm", "api")) == 12 ? 0 : -1);
	/* All of the configuration only if asked for; its checksum always. */
	EXPECT_EQ(NULL, get(brief, "kernel", "config"));
	if (json_is_string(get(env, "kernel", "config_crc32"))) {
		EXPECT_LT(500, json_object_size(get(env, "kernel", "config")));
		EXPECT_STREQ(json_string_value(get(env, "kernel", "config_crc32")),
			     json_string_value(get(brief, "kernel", "config_crc32")));
	}
	json_decref(env);
	json_decref(brief);
}

/* From here on the cases live in mount namespaces of their own. */

static bool own_mounts(void)
{
	return !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static void write_file(struct __test_metadata *_metadata, const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ASSERT_NE(NULL, f);
	ASSERT_LE(0, fputs(text, f));
	ASSERT_EQ(0, fclose(f));
}

TEST(survives_a_host_that_shows_nothing)
{
	json_t *env;

	if (!own_mounts())
		SKIP(return, "no mount namespace: %s", strerror(errno));
	ASSERT_EQ(0, mount("none", "/sys", "tmpfs", 0, NULL));
	ASSERT_EQ(0, mount("none", "/dev", "tmpfs", 0, NULL));
	if (!access("/boot", F_OK))
		ASSERT_EQ(0, mount("none", "/boot", "tmpfs", 0, NULL));
	ASSERT_EQ(0, mount("none", "/proc", "tmpfs", 0, NULL));
	env = env_capture(1);
	ASSERT_NE(NULL, env);
	expect_parts(_metadata, env);
	EXPECT_TRUE(json_is_null(get(env, "kvm", "api")));
	EXPECT_TRUE(json_is_null(get(env, "kernel", "config_crc32")));
	EXPECT_TRUE(json_is_null(get(env, "cpu", "model_name")));
	EXPECT_TRUE(json_is_null(get(env, "memory", "total_kb")));
	EXPECT_TRUE(json_is_null(json_object_get(env, "probe")));
	EXPECT_STREQ("host", env_platform());
	json_decref(env);
}

TEST(survives_what_is_no_text)
{
	json_t *env;

	if (!own_mounts())
		SKIP(return, "no mount namespace: %s", strerror(errno));
	ASSERT_EQ(0, mount("none", "/mnt", "tmpfs", 0, NULL));
	write_file(_metadata, "/mnt/junk", "CONFIG_A=\"\xff\xfe\"\nCONFIG_B=y\nMemTotal: \xff kB\n\n:\n");
	ASSERT_EQ(0, mount("/mnt/junk", "/proc/cmdline", NULL, MS_BIND, NULL));
	ASSERT_EQ(0, mount("/mnt/junk", "/proc/cpuinfo", NULL, MS_BIND, NULL));
	ASSERT_EQ(0, mount("/mnt/junk", "/proc/meminfo", NULL, MS_BIND, NULL));
	ASSERT_EQ(0, mount("/mnt/junk", "/proc/sys/kernel/tainted", NULL, MS_BIND, NULL));
	if (!access("/proc/config.gz", F_OK))
		ASSERT_EQ(0, mount("/mnt/junk", "/proc/config.gz", NULL, MS_BIND, NULL));
	env = env_capture(1);
	ASSERT_NE(NULL, env);
	expect_parts(_metadata, env);
	EXPECT_TRUE(json_is_null(get(env, "kernel", "taint")));
	if (!access("/proc/config.gz", F_OK)) {
		EXPECT_STREQ("y", json_string_value(json_object_get(get(env, "kernel", "config"),
								    "CONFIG_B")));
	}
	json_decref(env);
}

TEST(tells_the_emulator)
{
	static const struct { const char *cmdline, *platform; } cases[] = {
		{ "quiet tdx_sept.platform=emulated nopcid\n", "emulated" },
		{ "tdx_sept.platform=emulated", "emulated" },
		{ "quiet tdx_sept.platform=emulated_not\n", "host" },
		{ "not_tdx_sept.platform=emulated\n", "host" },
		{ "quiet\n", "host" },
	};
	size_t i;

	if (strcmp(env_platform(), "host"))
		SKIP(return, "this host has TDX of its own");
	if (!own_mounts())
		SKIP(return, "no mount namespace: %s", strerror(errno));
	ASSERT_EQ(0, mount("none", "/mnt", "tmpfs", 0, NULL));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		write_file(_metadata, "/mnt/cmdline", cases[i].cmdline);
		ASSERT_EQ(0, mount("/mnt/cmdline", "/proc/cmdline", NULL, MS_BIND, NULL));
		EXPECT_STREQ(cases[i].platform, env_platform())
			TH_LOG("command line: %s", cases[i].cmdline);
		ASSERT_EQ(0, umount("/proc/cmdline"));
	}
}

TEST(tells_a_tdx_module)
{
	json_t *env;

	if (!own_mounts())
		SKIP(return, "no mount namespace: %s", strerror(errno));
	ASSERT_EQ(0, mount("none", "/sys/devices", "tmpfs", 0, NULL));
	ASSERT_EQ(0, mkdir("/sys/devices/faux", 0755));
	ASSERT_EQ(0, mkdir("/sys/devices/faux/tdx_host", 0755));
	write_file(_metadata, "/sys/devices/faux/tdx_host/version", "1.5.24\n");
	EXPECT_STREQ("hardware", env_platform());
	env = env_capture(0);
	EXPECT_STREQ("1.5.24", json_string_value(get(env, "tdx", "module_version")));
	EXPECT_TRUE(json_is_true(get(env, "tdx", "initialized")));
	json_decref(env);
}

TEST(survives_without_rights)
{
	json_t *env, *tdx;
	const char *why;

	if (!geteuid())
		ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	env = env_capture(1);
	ASSERT_NE(NULL, env);
	expect_parts(_metadata, env);
	EXPECT_NE(0, json_integer_value(json_object_get(env, "euid")));
	EXPECT_TRUE(json_is_null(json_object_get(env, "probe")));
	/* Why there is nothing is said in full at each place. */
	tdx = json_object_get(env, "tdx");
	why = json_string_value(json_object_get(tdx, "log_why"));
	ASSERT_NE(NULL, why);
	EXPECT_NE(NULL, strstr(why, strerror(EPERM)));
	EXPECT_STREQ(why, json_string_value(json_object_get(tdx, "keyids_why")));
	json_decref(env);
}

TEST_HARNESS_MAIN
