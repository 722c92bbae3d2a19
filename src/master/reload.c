/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * Reload.  Runs in the master: reads the files, has them tried in a child
 * (trial.c), loads them, swaps (swap.c), tells.  Between these steps the loop
 * goes on.
 */
#include "config.h"

#include "reload.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "bind.h"
#include "conf_diff.h"
#include "conf_load.h"
#include "link.h"
#include "log.h"
#include "master.h"
#include "names.h"
#include "notify.h"
#include "setup.h"
#include "swap.h"
#include "trial.h"

#define OWNER_MS 100		/* for each busy address, beside the loop */

struct reload {
	struct trial *trial;
	struct sources *sources;
	struct names *names;	/* of hosts, looked up by the trial */
	struct problems *problems;
	int64_t start_ms;	/* by ev_clock_ms: the switch is one turn of the loop */
	bool again;		/* asked for while this one was under way */
	struct ev_timer next;	/* the next step, in a turn of its own */
	struct conf *conf;	/* loaded, not in force yet */
	struct swap_result result;
	struct log_sink *log;	/* the new one, opened and not in use yet; or NULL */
	bool log_changes;
	bool ok;
};

static void
tell(bool warning, const char *text, void *arg)
{
	(void)arg;
	if (warning)
		log_warnx("%s", text);
	else
		log_err("%s", text);
}

static void
clear(struct master *m)
{
	struct reload *r = m->reload;

	trial_free(r->trial);
	sources_free(r->sources);
	names_free(r->names);
	problems_free(r->problems);
	ev_timer_stop(&r->next);
	swap_result_fini(&r->result);
	log_undo(r->log);
	conf_free(r->conf);
	free(r);
	m->reload = NULL;
}

static void
over(struct master *m)
{
	bool again = m->reload->again;

	clear(m);
	/* two configurations were there at the same time */
	(void)malloc_trim(0);
	notify_send(m->notify, "READY=1");
	if (again)
		reload_request(m);
}

static void
failed(struct master *m)
{
	struct reload *r = m->reload;
	struct log_line l;

	problems_each(r->problems, tell, NULL);
	log_begin(&l, LOGL_ERR, "reload");
	log_str(&l, "result", "failed");
	log_num(&l, "problems", problems_count(r->problems));
	log_num(&l, "ms", ev_clock_ms() - r->start_ms);
	log_str(&l, "now", "the old configuration serves on");
	log_end(&l);
	over(m);
}

/* Global settings that changed; some need a new process. */
static void
apply_global(struct master *m, const char *changed)
{
	static const char *const fixed[] = { "user", "event_backend", "pid_file" };
	char list[256];
	char *save;

	if (changed[0] == '\0')
		return;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		(void)strncpy(list, changed, sizeof(list) - 1);
		list[sizeof(list) - 1] = '\0';
		for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save))
			if (strcmp(w, fixed[i]) == 0)
				log_warnx("%s: a changed %s takes effect when hatchd is restarted",
					  m->conf->file, w);
	}
}

static enum log_format
format_of(const struct conf *c)
{
	return c->log_format == CONF_LOG_JSON ? LOGF_JSON : LOGF_TEXT;
}

/* What the log is to go to, opened before anything is switched.  Without a syslogd it
 * stays where it is until there is one, as at start. */
static int
open_log(const struct master *m, const char *changed)
{
	struct reload *r = m->reload;
	const struct conf_place *at = &r->conf->log_at;

	r->log_changes = strstr(changed, "log") && !m->options->debug;
	if (!r->log_changes)
		return 0;
	r->log = log_try(r->conf->log);
	if (r->log || strcmp(r->conf->log, "syslog") == 0)
		return 0;
	problems_add(r->problems, at->file ? at->file : r->conf->file, at->line, "log: %s: %s",
		     r->conf->log, strerror(errno));
	return -1;
}

static void
use_log(const struct master *m)
{
	struct reload *r = m->reload;

	if (!r->log_changes)
		return;
	if (r->log) {
		log_use(r->log, format_of(m->conf), "hatchd");
		r->log = NULL;
		return;
	}
	log_await_syslog(format_of(m->conf), "hatchd");
	log_warnx("log %s: the log stays where it is until there is one", m->conf->log);
}

static void
succeeded(struct master *m, const struct swap_result *res, const char *global)
{
	struct reload *r = m->reload;
	struct log_line l;

	problems_each(r->problems, tell, NULL);
	log_begin(&l, LOGL_INFO, "reload");
	log_str(&l, "result", "ok");
	log_num(&l, "added", res->added);
	log_num(&l, "changed", res->changed);
	log_num(&l, "removed", res->removed);
	if (res->names[0])
		log_str(&l, "services", res->names + 1);
	if (global[0])
		log_str(&l, "global", global);
	log_num(&l, "ms", ev_clock_ms() - r->start_ms);
	log_end(&l);
	over(m);
}

static void
explain_busy(const struct reload *r, struct problems *p, int owner_ms)
{
	for (int i = 0; i < r->result.n_busy; i++)
		setup_explain(p, r->result.busy[i].service, &r->result.busy[i].target,
			      r->result.busy[i].step, EADDRINUSE, owner_ms);
}

/* In a child: who has an address may be long to find among many processes. */
static bool
find_owners(const struct master *m, void *arg, struct problems *p)
{
	(void)arg;
	explain_busy(m->reload, p, OWNER_MS);
	return true;
}

static void
on_owners(void *arg)
{
	struct master *m = arg;

	if (!m->reload->ok)
		explain_busy(m->reload, m->reload->problems, 0);
	failed(m);
}

static void tried(bool ok, void *arg);

/* Tells why, with the owners of busy addresses if there are any. */
static void
swap_failed(struct master *m)
{
	struct reload *r = m->reload;
	const struct trial_job job = {
		.what = "looking for the owner of an address", .privileged = true,
		.run = find_owners, .done = tried, .arg = m,
	};

	r->ok = false;
	ev_timer_init(m->ev, &r->next, on_owners, m);
	if (r->result.n_busy > 0 && (r->trial = trial_start(m, &job, r->problems)))
		return;
	on_owners(m);
}

static void
on_swap(void *arg)
{
	struct master *m = arg;
	struct reload *r = m->reload;
	char global[256] = "";

	(void)conf_diff_global(m->conf, r->conf, global, sizeof(global));
	if (open_log(m, global) == -1 ||
	    swap_conf(m, r->conf, r->names, r->problems, &r->result) == -1) {
		swap_failed(m);
		return;
	}
	r->conf = NULL;
	use_log(m);
	apply_global(m, global);
	master_contain(m);
	link_send_names(m);
	succeeded(m, &r->result, global);
}

/* The names of hosts in listen, so that binding waits for no name server. */
static bool
look_up_listeners(const struct conf *c, struct names *names, struct problems *p)
{
	const struct conf_listen *at;
	struct bind_target *list;
	const char *why;
	bool ok = true;
	int n;

	for (int i = 0; i < c->n_services; i++) {
		if (!c->services[i].enabled)
			continue;
		n = bind_targets(&c->services[i], names, &list, &why, &at);
		if (n == -1)
			setup_explain_targets(p, &c->services[i], at, why);
		else
			bind_targets_free(list, n);
		ok = ok && n != -1;
	}
	return ok;
}

static bool
try_load(const struct master *m, void *arg, struct problems *p)
{
	struct names *names = m->reload->names;
	struct conf_load_env env = { .uid = m->uid, .lookup = true, .names = names };
	struct conf *c = conf_load(m->reload->sources, &env, p);

	(void)arg;
	return c && look_up_listeners(c, names, p);
}

static void
on_load(void *arg)
{
	struct master *m = arg;
	struct reload *r = m->reload;
	struct conf_load_env env = { .uid = m->uid, .lookup = true, .names = r->names };

	trial_free(r->trial);
	r->trial = NULL;
	names_close(r->names);
	if (r->ok)
		r->conf = conf_load(r->sources, &env, r->problems);
	if (!r->conf) {
		failed(m);
		return;
	}
	ev_timer_init(m->ev, &r->next, on_swap, m);
	(void)ev_timer_start(&r->next, 0);
}

static void
tried(bool ok, void *arg)
{
	struct master *m = arg;

	/* the trial can't be freed while it calls us */
	m->reload->ok = ok;
	(void)ev_timer_start(&m->reload->next, 0);
}

static int
start_trial(struct master *m)
{
	struct reload *r = m->reload;
	const struct trial_job job = {
		.what = "loading", .names = r->names, .run = try_load, .done = tried, .arg = m,
	};

	r->trial = trial_start(m, &job, r->problems);
	return r->trial ? 0 : -1;
}

void
reload_request(struct master *m)
{
	struct reload *r;

	if (m->stopping)
		return;
	if (m->reload) {
		m->reload->again = true;
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		log_warn("reload");
		return;
	}
	m->reload = r;
	r->start_ms = ev_clock_ms();
	ev_timer_init(m->ev, &r->next, on_load, m);
	notify_reloading(m->notify);
	r->problems = problems_new();
	r->names = names_new();
	if (!r->problems || !r->names) {
		log_warn("reload");
		over(m);
		return;
	}
	r->sources = options_sources(m->options, r->problems);
	if (r->sources && start_trial(m) == 0)
		return;
	if (r->sources)
		problems_add(r->problems, m->conf->file, 0, "no process for the trial: %s",
			     strerror(errno));
	failed(m);
}

bool
reload_reaped(struct master *m, pid_t pid, int status)
{
	return m->reload && trial_reaped(m->reload->trial, pid, status);
}

void
reload_fini(struct master *m)
{
	if (m->reload)
		clear(m);
}
