/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 the hatchd authors */

/*
 * bulletin: receives what is sent to a multicast group or a broadcast address
 * and writes each message with its sender to standard error (hatchd's log) or
 * to a file.  A wait handler for datagrams that never answers; the groups are
 * joined by hatchd (socket { multicast = … }).  `bulletin -s` sends one.
 */
#include "svc_wait.h"

#include <fcntl.h>
#include <net/if.h>

#define TEXT_MAX 1024		/* bytes of a message that are written */

static _Noreturn void
usage(void)
{
	svc_die(EX_USAGE, "usage: bulletin [-i idle] [-o file]\n"
		"       bulletin -s [-I interface] address port text …");
}

static void
print(int out, const struct svc_peer *p, char *text, size_t len)
{
	char line[TEXT_MAX + 256], from[96], when[32];
	struct tm tm;
	time_t now = time(NULL);
	int n;

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len > TEXT_MAX)
		len = TEXT_MAX;
	svc_clean(text, len);
	svc_address(&p->addr, p->len, from, sizeof(from));
	if (out == STDERR_FILENO) {
		n = snprintf(line, sizeof(line), "%s: %.*s\n", from, (int)len, text);
	} else {
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
		n = snprintf(line, sizeof(line), "%s %s: %.*s\n", when, from, (int)len, text);
	}
	if (write(out, line, (size_t)n) != n)
		svc_die(EX_IOERR, "cannot write a message: %s", strerror(errno));
}

static int
receive(const char *file)
{
	static char text[SVC_DATAGRAM_MAX];
	int fd, out = STDERR_FILENO;
	struct svc_peer peer;
	ssize_t n;

	(void)svc_start(SVC_DATAGRAM);
	if (file != NULL)
		out = open(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (out < 0)
		svc_die(EX_CANTCREAT, "%s: %s", file, strerror(errno));
	while ((fd = svc_wait()) >= 0) {
		n = svc_receive(fd, &peer, text, sizeof(text));
		if (n >= 0)
			print(out, &peer, text, (size_t)n);
	}
	return EX_OK;
}

/* What multicast and broadcast need that other sockets don't. */
static void
set_way(int fd, const struct addrinfo *a, unsigned interface)
{
	struct ip_mreqn m = { .imr_ifindex = (int)interface };
	const int on = 1;

	if (a->ai_family == AF_INET)
		(void)setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	if (interface == 0)
		return;
	if ((a->ai_family == AF_INET &&
	     (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &m, sizeof(m)) < 0 ||
	      setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &(uint32_t){ htonl(interface) }, 4) < 0)) ||
	    (a->ai_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface, sizeof(interface)) < 0))
		svc_die(EX_OSERR, "interface: %s", strerror(errno));
}

static int
send_one(unsigned interface, const char *host, const char *port, char **words)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct addrinfo *a;
	char text[TEXT_MAX];
	size_t len = 0;
	int fd, rc;

	for (; *words != NULL; words++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", *words,
					words[1] != NULL ? " " : "");
		if (len >= sizeof(text))
			svc_die(EX_DATAERR, "the text is longer than %d bytes", TEXT_MAX - 1);
	}
	rc = getaddrinfo(host, port, &hints, &a);
	if (rc != 0)
		svc_die(EX_NOHOST, "%s port %s: %s", host, port, gai_strerror(rc));
	fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		svc_die(EX_OSERR, "socket: %s", strerror(errno));
	set_way(fd, a, interface);
	if (sendto(fd, text, len, 0, a->ai_addr, a->ai_addrlen) < 0)
		svc_die(EX_IOERR, "%s port %s: %s", host, port, strerror(errno));
	freeaddrinfo(a);
	close(fd);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	const char *file = NULL;
	unsigned interface = 0;
	bool sending = false;
	int c;

	svc.name = "bulletin";
	opterr = 0;
	while ((c = getopt(argc, argv, "+I:i:o:s")) != -1) {
		if (c == 'I' && (interface = if_nametoindex(optarg)) == 0)
			svc_die(EX_USAGE, "no interface %s", optarg);
		else if (c == 'i')
			svc.idle_ms = svc_seconds(optarg);
		else if (c == 'o')
			file = optarg;
		else if (c == 's')
			sending = true;
		else if (c != 'I')
			usage();
	}
	if (sending && argc - optind >= 3 && file == NULL)
		return send_one(interface, argv[optind], argv[optind + 1], argv + optind + 2);
	if (sending || optind != argc || interface != 0)
		usage();
	return receive(file);
}
