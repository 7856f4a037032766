/*
 * The name server of a node: what masix.acs.server does in Python, as a guest. Its arguments are the host's and the device master's
 * port, and the names of the receive rights of its service's port and of the one for privileged servers. Each task that the loader
 * starts reaches it by a port of its own, a client's. Memory and time for each request are bounded: it has room for so many names,
 * look-ups that wait for the network server, and watchers, and no more; and one client may have a part of that.
 */
#include "guest.h"
#include <masix.h>
#include "server.h"
#include "acs_server.h"
#include "netname_server.h"

/* Places for names; the last ones are for generic servers. */
#define NAMES_MAX 2048
#define RESERVED 6
#define BUCKETS 256
#define LOOK_UPS_MAX 64
#define WATCHERS_MAX 8
#define WATCHER_PLACES (WATCHERS_MAX + 1) /* the last one is for privileged servers */
/* What one client may have. */
#define NAMES_OF_ONE 256
#define LOOK_UPS_OF_ONE 16
#define WATCHERS_OF_ONE 2
#define CLIENTS_MAX 256
/* Bytes of an acs_name_t; netname's names may have one more, and no other node hears of such. */
#define NAME_MAX 79
#define VERSION "Masix network name server 1"
/* How long the other servers have to save when an essential one has died. */
#define SAVE_MS 2000

#define GNS_RESOLVE 5200
#define GNS_RESOLVE_AT 5201
#define ACS_REGISTER 5000
#define ACS_WATCH 5004
#define ACS_SAVE_AND_END 5050
#define ACS_NAME_ENTERED 5051
#define ACS_NAME_LEFT 5052
#define REPLY 100
#define NAME_SERVER_CLIENT 4850

#define INT_TYPE MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0)
#define NAME_TYPE MIG_SHORT(MACH_MSG_TYPE_STRING_C, 8, sizeof(acs_name_t), 1, 0)
#define RIGHT_TYPE(right) MIG_SHORT(right, 32, 1, 1, 0)

/*
 * Whose something is: a client's number. Those without a port of their own, who come to the service's, are client 0. What came to
 * the port for privileged servers is nobody's.
 */
typedef u32 client_number_t;
#define NOBODY (~(client_number_t) 0)

/* A client: its port, null for none. */
typedef struct {
	mach_port_t port;
	client_number_t number;
} client_t;

/*
 * A name. PORT: a send right to its service; null where it is there no more, and some watcher has still to hear of that.
 * CLIENT: whose it is.
 * REGISTRATION: the port that shows who may take it away; SIGNATURE: the right with which netname's clients do; or null. NEXT: in its bucket, or among the free places.
 * For each watcher: whether it was told that the name is there, and whether it is to hear of it, with its neighbours in that queue.
 */
typedef struct name {
	char text[sizeof(netname_name_t) + 1];
	boolean_t essential;
	mach_port_t port, registration, signature;
	client_number_t client;
	struct name *next;
	boolean_t told[WATCHER_PLACES], waits[WATCHER_PLACES];
	struct name *before[WATCHER_PLACES], *after[WATCHER_PLACES];
} name_t;

/* A question for the network server: of a name alone, or of a host's. */
typedef struct {
	mach_msg_header_t head;
	struct {
		u32 type;
		acs_name_t text;
	} names[2];
} question_t;

/* A look-up that waits for the network server: the port that the answer comes to, null for none, the question, whose it is, and where
 * the answer goes. */
typedef struct {
	mach_port_t answer;
	mach_msg_id_t id;
	client_number_t client;
	server_client_t to;
	boolean_t is_netname;
} look_up_t;

/* Who is told of names: a port, null for none; whose; busy while a message is on its way into the port's queue; what it is to hear of. */
typedef struct {
	mach_port_t port;
	client_number_t client;
	boolean_t busy;
	name_t *first, *last;
} watcher_t;

/* A message about a name: its request with a right, or without. */
typedef struct {
	mach_msg_header_t head;
	u32 name_type;
	acs_name_t name;
	u32 right_type;
	mach_port_t right;
} about_t;

typedef struct {
	mach_msg_header_t head;
	u32 code_type;
	kern_return_t code;
	u32 right_type;
	mach_port_t right;
} found_t;

/* The first so many places have been used; those of them that are free are in a list. */
static name_t names[NAMES_MAX];
static u32 names_used;
static name_t *buckets[BUCKETS], *free_names;
static look_up_t look_ups[LOOK_UPS_MAX];
static watcher_t watchers[WATCHER_PLACES];
static mach_port_t self, host, service, privilege, notices, ports;
/* The first so many places have been used. The last client's number, and whose request is served. */
static client_t clients[CLIENTS_MAX];
static u32 clients_used;
static client_number_t last_client, asks;

/* Whether an essential server has died, how many others have still to answer that they have saved, and until when they may. */
static boolean_t saving;
static int unsaved;
static time_value_t deadline;

/* Clients */

static client_t *client_of(mach_port_t port)
{
	client_t *client = clients;

	while (client < clients + clients_used && client->port != port)
		client++;
	return client < clients + clients_used ? client : 0;
}

/* A task has been started that has this port. */
static kern_return_t client_begins(mach_port_t port)
{
	client_t *client = client_of(MACH_PORT_NULL);
	mach_port_t previous = MACH_PORT_NULL;

	if (!client && clients_used < CLIENTS_MAX)
		client = &clients[clients_used++];
	if (!client)
		return KERN_RESOURCE_SHORTAGE;
	client->port = port;
	client->number = ++last_client;
	mach_port_move_member(self, port, ports);
	mach_port_request_notification(self, port, MACH_NOTIFY_NO_SENDERS, 0, port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (IS_LIVING(previous))
		syscall_mach_port_deallocate(self, previous);
	return KERN_SUCCESS;
}

/* Nobody has a client's port any more. Its names are there as long as their ports. */
static kern_return_t client_ends(client_t *client)
{
	mach_port_mod_refs(self, client->port, MACH_PORT_RIGHT_RECEIVE, -1);
	client->port = MACH_PORT_NULL;
	return KERN_SUCCESS;
}

/* Names */

static name_t **bucket_of(const char *text)
{
	u32 sum = 0;

	while (*text)
		sum = sum * 31 + (unsigned char) *text++;
	return &buckets[sum % BUCKETS];
}

/* A name that is there, or of which some watcher has still to hear. */
static name_t *known(const char *text)
{
	name_t *name = *bucket_of(text);

	while (name && strcmp(name->text, text))
		name = name->next;
	return name;
}

static name_t *find(const char *text)
{
	name_t *name = known(text);

	return name && name->port ? name : 0;
}

static name_t *new_name(const char *text)
{
	name_t **bucket = bucket_of(text), *name = free_names;

	if (name)
		free_names = name->next;
	else if (names_used < NAMES_MAX)
		name = &names[names_used++];
	else
		return 0;
	mig_strncpy(name->text, text, sizeof name->text);
	name->next = *bucket;
	return *bucket = name;
}

/* Frees a name's place where it is there no more and everybody knows. */
static void release(name_t *name)
{
	name_t **link = bucket_of(name->text);
	int w;

	if (name->port || !name->text[0])
		return;
	for (w = 0; w < WATCHER_PLACES; w++)
		if (name->told[w] || name->waits[w])
			return;
	while (*link != name)
		link = &(*link)->next;
	*link = name->next;
	name->text[0] = 0;
	name->next = free_names;
	free_names = name;
}

static boolean_t is_kept(mach_port_t port)
{
	u32 n;

	for (n = 0; n < WATCHER_PLACES; n++)
		if (watchers[n].port == port)
			return TRUE;
	for (n = 0; n < names_used; n++)
		if (names[n].port == port)
			return TRUE;
	return FALSE;
}

/* Asks to be told when a port is dead, of which nothing was kept before. */
static kern_return_t see_end_of(mach_port_t port)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t result;

	if (is_kept(port))
		return KERN_SUCCESS;
	result = mach_port_request_notification(self, port, MACH_NOTIFY_DEAD_NAME, 1, notices, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (!result && IS_LIVING(previous))
		syscall_mach_port_deallocate(self, previous);
	return result;
}

/* Watchers: each is told one thing at a time, what holds by then, and waits while its queue is full. */

static mach_msg_return_t tell(mach_port_t to, mach_msg_id_t id, const char *text, mach_port_t right)
{
	about_t message;

	memset(&message, 0, sizeof message);
	message.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0) | (right ? MACH_MSGH_BITS_COMPLEX : 0);
	message.head.msgh_size = right ? sizeof message : offsetof(about_t, right_type);
	message.head.msgh_remote_port = to;
	message.head.msgh_id = id;
	message.name_type = NAME_TYPE;
	mig_strncpy(message.name, text, sizeof message.name);
	message.right_type = RIGHT_TYPE(MACH_MSG_TYPE_COPY_SEND);
	message.right = right;
	mach_msg_return_t result = mach_msg(&message.head, MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY,
		message.head.msgh_size, 0, MACH_PORT_NULL, 0, notices);
	if (result && result != MACH_SEND_WILL_NOTIFY)
		server_destroy(&message.head);
	return result;
}

static void leave_queue(name_t *name, int w)
{
	name_t *before = name->before[w], *after = name->after[w];

	if (!name->waits[w])
		return;
	name->waits[w] = FALSE;
	*(before ? &before->after[w] : &watchers[w].first) = after;
	*(after ? &after->before[w] : &watchers[w].last) = before;
}

static void join_queue(name_t *name, int w)
{
	name_t *last = watchers[w].last;

	name->waits[w] = TRUE;
	name->before[w] = last;
	name->after[w] = 0;
	*(last ? &last->after[w] : &watchers[w].first) = name;
	watchers[w].last = name;
}

static void speak(int w)
{
	name_t *name;

	while (!watchers[w].busy && (name = watchers[w].first)) {
		leave_queue(name, w);
		name->told[w] = name->port != MACH_PORT_NULL;
		watchers[w].busy = tell(watchers[w].port, name->port ? ACS_NAME_ENTERED : ACS_NAME_LEFT, name->text, name->port) != 0;
		release(name);
	}
}

/* A name has come or gone. */
static void changed(name_t *name)
{
	int w;

	for (w = 0; w < WATCHER_PLACES && strlen(name->text) <= NAME_MAX; w++)
		if (watchers[w].port) {
			leave_queue(name, w);
			if (name->port || name->told[w])
				join_queue(name, w);
		}
	for (w = 0; w < WATCHER_PLACES; w++)
		speak(w);
	release(name);
}

/* Whether a client has as many names as one may have. */
static boolean_t has_all_names(client_number_t client)
{
	int has = 0;
	u32 n;

	for (n = 0; client != NOBODY && n < names_used; n++)
		has += names[n].port && names[n].client == client;
	return has >= NAMES_OF_ONE;
}

static boolean_t is_generic(const char *text)
{
	static const char *const generic[] = { "acs", "gns", "gps", "gfs", "gms", "udp", 0 };
	int n = 0;

	while (generic[n] && strcmp(text, generic[n]))
		n++;
	return generic[n] != 0;
}

static kern_return_t enter(const char *text, mach_port_t port, boolean_t essential, mach_port_t registration, mach_port_t signature)
{
	name_t *name = known(text);
	kern_return_t result;

	if (name && name->port)
		return KERN_NAME_EXISTS;
	if (!name && !free_names && names_used == (is_generic(text) ? NAMES_MAX : NAMES_MAX - RESERVED))
		return KERN_RESOURCE_SHORTAGE;
	if (has_all_names(asks))
		return KERN_RESOURCE_SHORTAGE;
	if ((result = see_end_of(port)))
		return result;
	if (!name)
		name = new_name(text);
	name->port = port;
	name->client = asks;
	name->essential = essential;
	name->registration = registration;
	name->signature = signature;
	changed(name);
	return KERN_SUCCESS;
}

static void forget(name_t *name)
{
	syscall_mach_port_deallocate(self, name->port);
	if (name->signature)
		syscall_mach_port_deallocate(self, name->signature);
	if (name->registration)
		mach_port_mod_refs(self, name->registration, MACH_PORT_RIGHT_RECEIVE, -1);
	name->port = name->registration = name->signature = MACH_PORT_NULL;
	changed(name);
}

static kern_return_t give(name_t *name, mach_port_t *right)
{
	*right = name->port;
	return mach_port_mod_refs(self, name->port, MACH_PORT_RIGHT_SEND, 1);
}

/* A name that is not this node's is asked of the network server, which watches as a privileged one: any node's, or that of a host.
 * The answer goes to who asked when it has come. */
static kern_return_t ask_network(const char *text, boolean_t is_netname, const char *host)
{
	const char *words[] = { host ? host : text, text };
	watcher_t *network = watchers;
	look_up_t *look_up = 0;
	question_t message;
	kern_return_t result;
	int n, has = 0;

	while (network < watchers + WATCHER_PLACES && !(network->port && network->client == NOBODY))
		network++;
	if (network == watchers + WATCHER_PLACES || strlen(words[0]) > NAME_MAX || strlen(text) > NAME_MAX)
		return is_netname ? NETNAME_NOT_CHECKED_IN : KERN_INVALID_NAME;
	for (n = 0; n < LOOK_UPS_MAX; n++)
		if (look_ups[n].answer)
			has += look_ups[n].client == asks;
		else if (!look_up)
			look_up = &look_ups[n];
	if (!look_up || has >= LOOK_UPS_OF_ONE)
		return KERN_RESOURCE_SHORTAGE;
	if ((result = mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &look_up->answer)))
		return result;
	mach_port_move_member(self, look_up->answer, ports);
	memset(&message, 0, sizeof message);
	message.head.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE);
	message.head.msgh_size = host ? sizeof message : offsetof(question_t, names[1]);
	message.head.msgh_remote_port = network->port;
	message.head.msgh_local_port = look_up->answer;
	message.head.msgh_id = look_up->id = host ? GNS_RESOLVE_AT : GNS_RESOLVE;
	for (n = 0; n < 2; n++) {
		message.names[n].type = NAME_TYPE;
		mig_strncpy(message.names[n].text, words[n], sizeof message.names[n].text);
	}
	if (mig_send(&message.head, 0, MACH_MSG_TIMEOUT_NONE)) {
		mach_port_mod_refs(self, look_up->answer, MACH_PORT_RIGHT_RECEIVE, -1);
		look_up->answer = MACH_PORT_NULL;
		return KERN_FAILURE;
	}
	look_up->client = asks;
	look_up->to = server_answer_later();
	look_up->is_netname = is_netname;
	return MIG_NO_REPLY;
}

/* The network server's answer: a code, or no code and a right, which goes to who asked. */
static kern_return_t resolved(look_up_t *look_up, const mach_msg_header_t *message)
{
	const found_t *found = (const found_t *) message;
	boolean_t complex = (message->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0;
	mach_msg_size_t size = complex ? sizeof *found : offsetof(found_t, right_type);
	kern_return_t code = MIG_TYPE_ERROR;
	found_t reply;

	if (message->msgh_id != look_up->id + REPLY)
		code = message->msgh_id == MACH_NOTIFY_SEND_ONCE ? MIG_SERVER_DIED : MIG_REPLY_MISMATCH;
	else if (message->msgh_size == size && found->code_type == INT_TYPE) {
		if (found->code)
			code = found->code;
		else if (complex && found->right_type == RIGHT_TYPE(MACH_MSG_TYPE_MOVE_SEND))
			code = KERN_SUCCESS;
	}
	mach_port_mod_refs(self, look_up->answer, MACH_PORT_RIGHT_RECEIVE, -1);
	look_up->answer = MACH_PORT_NULL;
	server_begin_answer(&look_up->to, &reply.head);
	mig_end_reply(&reply.head, code && look_up->is_netname ? NETNAME_NOT_CHECKED_IN : code);
	if (!code) {
		reply.head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
		reply.head.msgh_size = sizeof reply;
		reply.right_type = RIGHT_TYPE(MACH_MSG_TYPE_MOVE_SEND);
		reply.right = found->right;
	}
	server_answer(&reply.head);
	return code ? code : MIG_NO_REPLY;
}

/* The requests of acs.defs */

kern_return_t do_acs_register(mach_port_t acs, const char *name, boolean_t essential, mach_port_t port, mach_port_t *registration)
{
	kern_return_t result;

	if (acs != privilege && (essential || is_generic(name)))
		return KERN_NO_ACCESS;
	if (!*name || !IS_LIVING(port))
		return KERN_INVALID_VALUE;
	if ((result = mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, registration)))
		return result;
	mach_port_insert_right(self, *registration, *registration, MACH_MSG_TYPE_MAKE_SEND);
	if ((result = enter(name, port, essential != 0, *registration, MACH_PORT_NULL)))
		mach_port_destroy(self, *registration);
	return result;
}

/* For whoever has the registration of a name. */
static kern_return_t registered(const char *text, mach_port_t registration, name_t **name)
{
	*name = find(text);
	if (!*name)
		return KERN_INVALID_NAME;
	return IS_LIVING(registration) && (*name)->registration == registration ? KERN_SUCCESS : KERN_INVALID_RIGHT;
}

kern_return_t do_acs_unregister(mach_port_t acs, const char *text, mach_port_t registration)
{
	name_t *name;
	kern_return_t result = registered(text, registration, &name);

	if (result)
		return result;
	syscall_mach_port_deallocate(self, registration);
	forget(name);
	return KERN_SUCCESS;
}

kern_return_t do_acs_replace(mach_port_t acs, const char *text, mach_port_t registration, mach_port_t port)
{
	name_t *name;
	kern_return_t result = registered(text, registration, &name);

	if (!result && !IS_LIVING(port))
		result = KERN_INVALID_VALUE;
	if (result || (result = see_end_of(port)))
		return result;
	syscall_mach_port_deallocate(self, name->port);
	syscall_mach_port_deallocate(self, registration);
	name->port = port;
	changed(name);
	return KERN_SUCCESS;
}

kern_return_t do_acs_look_up_here(mach_port_t acs, const char *text, mach_port_t *right)
{
	name_t *name = find(text);

	return name ? give(name, right) : KERN_INVALID_NAME;
}

kern_return_t do_acs_look_up(mach_port_t acs, const char *text, mach_port_t *right)
{
	name_t *name = find(text);

	return name ? give(name, right) : ask_network(text, FALSE, 0);
}

kern_return_t do_acs_watch(mach_port_t acs, mach_port_t port)
{
	int w, place = -1, has = 0;
	kern_return_t result;
	u32 n;

	if (!IS_LIVING(port))
		return KERN_INVALID_VALUE;
	for (w = 0; w < WATCHER_PLACES; w++) {
		if (watchers[w].port == port)
			return KERN_RESOURCE_SHORTAGE;
		has += watchers[w].port && watchers[w].client == asks;
		if (!watchers[w].port && place < 0 && (w < WATCHERS_MAX || acs == privilege))
			place = w;
	}
	if (place < 0 || (has >= WATCHERS_OF_ONE && asks != NOBODY))
		return KERN_RESOURCE_SHORTAGE;
	if ((result = see_end_of(port)))
		return result;
	memset(&watchers[place], 0, sizeof watchers[place]);
	watchers[place].port = port;
	watchers[place].client = asks;
	for (n = 0; n < names_used; n++)
		if (names[n].port && strlen(names[n].text) <= NAME_MAX)
			join_queue(&names[n], place);
	speak(place);
	return KERN_SUCCESS;
}

kern_return_t do_acs_is_client(mach_port_t acs, mach_port_t port)
{
	if (!IS_LIVING(port) || !client_of(port))
		return KERN_INVALID_RIGHT;
	return syscall_mach_port_deallocate(self, port);
}

/* The requests of netname.defs */

/* A netname_name_t up to its first zero; the two last ones stay. */
static const char *text_of(const char *from)
{
	static char texts[2][sizeof(netname_name_t) + 1];
	static int last;

	last = !last;
	memcpy(texts[last], from, sizeof(netname_name_t));
	return texts[last];
}

/* Whether netname's clients may take a name away: with its signature, or without where it has none. */
static boolean_t is_signed(const name_t *name, mach_port_t signature)
{
	return !name->registration && name->signature == (IS_LIVING(signature) ? signature : MACH_PORT_NULL);
}

/* A name checked in anew by whoever may take it away stands for the new port. */
kern_return_t do_netname_check_in(mach_port_t acs, const char *given, mach_port_t signature, mach_port_t port)
{
	const char *text = text_of(given);
	name_t *old = find(text);

	if (!*text || !IS_LIVING(port))
		return KERN_INVALID_VALUE;
	if (is_generic(text) || (old && !is_signed(old, signature)))
		return NETNAME_NOT_YOURS;
	if (old && old->client != asks && has_all_names(asks))
		return KERN_RESOURCE_SHORTAGE;
	if (old)
		forget(old);
	return enter(text, port, FALSE, MACH_PORT_NULL, IS_LIVING(signature) ? signature : MACH_PORT_NULL);
}

/* The host's name: empty for this node, `*` for any node of the network, this one first; else the node of that name. */
kern_return_t do_netname_look_up(mach_port_t acs, const char *host, const char *given, mach_port_t *right)
{
	const char *text = text_of(given);
	name_t *name = find(text);
	boolean_t any;

	host = text_of(host);
	any = !strcmp(host, "*");
	if (name && (!*host || any))
		return give(name, right);
	return *host ? ask_network(text, TRUE, any ? 0 : host) : NETNAME_NOT_CHECKED_IN;
}

kern_return_t do_netname_check_out(mach_port_t acs, const char *given, mach_port_t signature)
{
	name_t *name = find(text_of(given));

	if (!name)
		return NETNAME_NOT_CHECKED_IN;
	if (!is_signed(name, signature))
		return NETNAME_NOT_YOURS;
	forget(name);
	if (IS_LIVING(signature))
		syscall_mach_port_deallocate(self, signature);
	return KERN_SUCCESS;
}

kern_return_t do_netname_version(mach_port_t acs, char *version)
{
	memset(version, 0, sizeof(netname_name_t));
	mig_strncpy(version, VERSION, sizeof(netname_name_t));
	return KERN_SUCCESS;
}

/* The end of servers */

static void reboot(void)
{
	saving = FALSE;
	host_reboot(host_priv, 0);
}

/* Milliseconds until the deadline. */
static int left(void)
{
	time_value_t now;

	if (host_get_time(host, &now))
		return 0;
	return (deadline.seconds - now.seconds) * 1000 + (deadline.microseconds - now.microseconds) / 1000;
}

static void ask_to_save(mach_port_t port)
{
	mach_msg_header_t message = { MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), sizeof message, port, notices,
		0, ACS_SAVE_AND_END };
	mach_msg_return_t result = mach_msg(&message, MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY, sizeof message, 0,
		MACH_PORT_NULL, 0, notices);

	if (result && result != MACH_SEND_WILL_NOTIFY)
		server_destroy(&message);
	unsaved++;
}

static void save_all(void)
{
	u32 n, earlier;

	saving = TRUE;
	unsaved = 0;
	host_get_time(host, &deadline);
	deadline.seconds += SAVE_MS / 1000;
	for (n = 0; n < names_used; n++) {
		for (earlier = 0; earlier < n && names[earlier].port != names[n].port; earlier++)
			;
		if (names[n].port && earlier == n)
			ask_to_save(names[n].port);
	}
}

/* A port is dead: so is what it was registered under, or it watches no longer. */
static void died(mach_port_t port)
{
	boolean_t essential = FALSE;
	u32 n;
	int w;

	for (w = 0; w < WATCHER_PLACES; w++)
		if (watchers[w].port == port) {
			for (n = 0; n < names_used; n++) {
				leave_queue(&names[n], w);
				names[n].told[w] = FALSE;
				release(&names[n]);
			}
			watchers[w].port = MACH_PORT_NULL;
			syscall_mach_port_deallocate(self, port);
		}
	for (n = 0; n < names_used; n++)
		if (names[n].port == port) {
			essential = essential || names[n].essential;
			forget(&names[n]);
		}
	syscall_mach_port_deallocate(self, port);
	if (essential && !saving)
		save_all();
}

static void accepted(mach_port_t port)
{
	int w;

	for (w = 0; w < WATCHER_PLACES; w++)
		if (watchers[w].port == port) {
			watchers[w].busy = FALSE;
			speak(w);
		}
}

/* What comes to other ports than the service's: answers and notifications. MIG_NO_REPLY where what it holds was made use of. */
static kern_return_t noticed(const mach_msg_header_t *message)
{
	const u32 *body = (const u32 *) (message + 1);
	boolean_t names_port = message->msgh_size == 32 && body[0] == RIGHT_TYPE(MACH_MSG_TYPE_PORT_NAME) && IS_LIVING(body[1]);
	int n;

	for (n = 0; n < LOOK_UPS_MAX; n++)
		if (look_ups[n].answer == message->msgh_local_port)
			return resolved(&look_ups[n], message);
	if (message->msgh_id == MACH_NOTIFY_DEAD_NAME && names_port)
		died(body[1]);
	else if (message->msgh_id == MACH_NOTIFY_MSG_ACCEPTED && names_port)
		accepted(body[1]);
	else if (message->msgh_id == ACS_SAVE_AND_END + REPLY && saving)
		unsaved--;
	return KERN_FAILURE;
}

/* What comes to the port for privileged servers beside the requests that those make there: the loader's ports for clients. */
static kern_return_t loader_says(const mach_msg_header_t *message)
{
	const u32 *body = (const u32 *) (message + 1);
	boolean_t brings_port = message->msgh_size == 32 && (message->msgh_bits & MACH_MSGH_BITS_COMPLEX) &&
		body[0] == RIGHT_TYPE(MACH_MSG_TYPE_PORT_RECEIVE) && IS_LIVING(body[1]);

	return message->msgh_id == NAME_SERVER_CLIENT && brings_port ? client_begins(body[1]) : MIG_BAD_ID;
}

static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	mach_port_t port = request->msgh_local_port;
	client_t *client = client_of(port);
	boolean_t is_privileged = port == privilege && (request->msgh_id == ACS_REGISTER || request->msgh_id == ACS_WATCH);

	boolean_t is_end = client && request->msgh_id == MACH_NOTIFY_NO_SENDERS &&
		MACH_MSGH_BITS_LOCAL(request->msgh_bits) == MACH_MSG_TYPE_PORT_SEND_ONCE;

	asks = client ? client->number : port == service ? 0 : NOBODY;
	if (!is_end && (client || port == service || is_privileged))
		return acs_server(request, reply) || netname_server(request, reply);
	mig_begin_reply(request, reply);
	mig_end_reply(reply, is_end ? client_ends(client) : port == privilege ? loader_says(request) : noticed(request));
	return TRUE;
}

static mach_port_t number(const char *digits)
{
	mach_port_t value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = value * 10 + *digits++ - '0';
	return value;
}

int guest_main(void)
{
	mach_msg_return_t result = MACH_MSG_SUCCESS;
	int time = 0;

	if (arg_count < 5) {
		say("acs: no port to serve: start it as the first of a node's servers\n");
		return 1;
	}
	self = mach_task_self();
	host = mach_host_self();
	service = number(arg_value[3]);
	privilege = number(arg_value[4]);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &notices);
	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &ports);
	mach_port_move_member(self, service, ports);
	mach_port_move_member(self, privilege, ports);
	mach_port_move_member(self, notices, ports);
	while (result == MACH_MSG_SUCCESS || result == MACH_RCV_TIMED_OUT) {
		result = server_once(ports, demux, saving ? time : 0);
		if (saving && (unsaved <= 0 || (time = left()) <= 0))
			reboot();
	}
	say("acs: cannot receive: %x\n", result);
	return 1;
}
