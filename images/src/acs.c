/*
 * The name server of a node: what masix.acs.server does in Python, as a guest. Its arguments are the host's and the device master's
 * port, and the names of the receive rights of its service's port and of the one for privileged servers; one that follows another
 * name server inherits these. Each task that the loader
 * starts reaches it by a port of its own, a client's. Memory and time for each request are bounded: it has room for so many names,
 * look-ups that wait for the network server, and watchers, and no more; and one client may have a part of that.
 */
#include "guest.h"
#include <masix.h>
#include "server.h"
#include "succession.h"
#include "acs_server.h"
#include "name_server_server.h"
#include "netname_server.h"
#include "succession_server.h"
#include "succession_user.h"

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
#define ACS_LOOK_UP 5001
#define ACS_LOOK_UP_HERE 5003
#define ACS_WATCH 5004
#define ACS_SAVE_AND_END 5050
#define ACS_NAME_ENTERED 5051
#define ACS_NAME_LEFT 5052
#define REPLY 100

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
/* Where it inherits, until it has; who follows it, until that has what it inherits; whether there is nothing more to begin or go on with. */
static mach_port_t legacy, successor;
static boolean_t has_left, has_nothing;
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

/* A client begins, or comes from the name server before. */
static kern_return_t enter_client(mach_port_t port, client_number_t number)
{
	client_t *client = client_of(MACH_PORT_NULL);

	if (!client && clients_used < CLIENTS_MAX)
		client = &clients[clients_used++];
	if (!client)
		return KERN_RESOURCE_SHORTAGE;
	client->port = port;
	client->number = number;
	return mach_port_move_member(self, port, ports);
}

/* A task has been started that has this port. */
kern_return_t do_name_server_client(mach_port_t at, mach_port_t port)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t result = KERN_INVALID_ARGUMENT;

	if (at != privilege || !IS_LIVING(port) || (result = enter_client(port, last_client + 1)))
		return result;
	last_client++;
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

/* Asks to be told when a port is dead. */
static kern_return_t ask_end_of(mach_port_t port)
{
	mach_port_t previous = MACH_PORT_NULL;
	kern_return_t result = mach_port_request_notification(self, port, MACH_NOTIFY_DEAD_NAME, 1, notices, MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
	if (!result && IS_LIVING(previous))
		syscall_mach_port_deallocate(self, previous);
	return result;
}

static kern_return_t see_end_of(mach_port_t port)
{
	return is_kept(port) ? KERN_SUCCESS : ask_end_of(port);
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

/* Names that begin with a dot: only privileged servers register and find them. */
static boolean_t is_closed(const char *text)
{
	return *text == '.';
}

/* Whether a watcher is told of a name. */
static boolean_t hears(int w, const char *text)
{
	return strlen(text) <= NAME_MAX && (watchers[w].client == NOBODY || !is_closed(text));
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

	for (w = 0; w < WATCHER_PLACES; w++)
		if (watchers[w].port && hears(w, name->text)) {
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

static boolean_t is_reserved(const char *text)
{
	return is_generic(text) || is_closed(text);
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

	if (acs != privilege && (essential || is_reserved(name)))
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

	if (acs != privilege && is_closed(text))
		return KERN_NO_ACCESS;
	return name ? give(name, right) : KERN_INVALID_NAME;
}

kern_return_t do_acs_look_up(mach_port_t acs, const char *text, mach_port_t *right)
{
	name_t *name = find(text);

	if (acs != privilege && is_closed(text))
		return KERN_NO_ACCESS;
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
		if (names[n].port && hears(place, names[n].text))
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
	if (is_reserved(text) || (old && !is_signed(old, signature)))
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
	if (is_closed(text))
		return KERN_NO_ACCESS;
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

/* Succession: masix.acs.estate says how a name server writes down what it leaves, with rights in the same order. */

#define IS_THERE 1
#define ESSENTIAL 2
#define REGISTERED 4
#define SIGNED 8
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BIG_ENDIAN_WORD(word) (word)
#else
#define BIG_ENDIAN_WORD(word) __builtin_bswap32(word)
#endif

typedef struct {
	u32 last, clients, names, watchers;
} estate_t;

/* Of a name, and of a watcher, behind which are the places of the names of which it was told, and is to hear. */
typedef struct {
	char text[sizeof(netname_name_t)];
	u32 client, flags;
} left_name_t;

typedef struct {
	u32 client, told, waiting;
} left_watcher_t;

/* What goes to the successor, or came from the name server before: rights, each kind in its order, and words. */
static mach_port_t receives[1 + CLIENTS_MAX + NAMES_MAX], sends[2 * NAMES_MAX + WATCHER_PLACES];
static u32 receives_used, sends_used;
static u32 words[4 + CLIENTS_MAX + NAMES_MAX * (sizeof(left_name_t) / 4) + WATCHER_PLACES * (3 + 2 * NAMES_MAX)], *next_word;
/* The place of each name in that. */
static u32 places[NAMES_MAX];

static void put(u32 word)
{
	*next_word++ = BIG_ENDIAN_WORD(word);
}

static void leave_name(const name_t *name)
{
	u32 flags = 0;

	if (name->port)
		flags = IS_THERE | (name->essential ? ESSENTIAL : 0) | (name->registration ? REGISTERED : 0) | (name->signature ? SIGNED : 0);
	memset(next_word, 0, sizeof(netname_name_t));
	memcpy(next_word, name->text, strlen(name->text));
	next_word = (u32 *) ((char *) next_word + offsetof(left_name_t, client));
	put(name->client);
	put(flags);
	if (flags)
		sends[sends_used++] = name->port;
	if (flags & SIGNED)
		sends[sends_used++] = name->signature;
	if (flags & REGISTERED)
		receives[receives_used++] = name->registration;
}

static void leave_watcher(int w)
{
	u32 *told, n;
	name_t *name;

	put(watchers[w].client);
	told = next_word;
	next_word += 2;
	for (n = 0; n < names_used; n++)
		if (names[n].told[w])
			put(places[n]);
	told[0] = BIG_ENDIAN_WORD(next_word - told - 2);
	for (name = watchers[w].first; name; name = name->after[w])
		put(places[name - names]);
	told[1] = BIG_ENDIAN_WORD(next_word - told - 2 - BIG_ENDIAN_WORD(told[0]));
	sends[sends_used++] = watchers[w].port;
}

static void write_legacy(void)
{
	u32 n, has_clients = 0, has_names = 0, has_watchers = 0;
	int w;

	receives_used = sends_used = 0;
	receives[receives_used++] = privilege;
	next_word = words + sizeof(estate_t) / 4;
	for (n = 0; n < clients_used; n++)
		if (clients[n].port) {
			put(clients[n].number);
			receives[receives_used++] = clients[n].port;
			has_clients++;
		}
	for (n = 0; n < names_used; n++)
		if (names[n].text[0]) {
			places[n] = has_names++;
			leave_name(&names[n]);
		}
	for (w = 0; w < WATCHER_PLACES; w++)
		if (watchers[w].port) {
			leave_watcher(w);
			has_watchers++;
		}
	*(estate_t *) words = (estate_t) { BIG_ENDIAN_WORD(last_client), BIG_ENDIAN_WORD(has_clients), BIG_ENDIAN_WORD(has_names),
		BIG_ENDIAN_WORD(has_watchers) };
}

/* Its rights leave with the message, or stay where the successor is gone. */
static void hand_over(void)
{
	int w;

	write_legacy();
	has_left = !succession_inherit(successor, service, receives, receives_used, sends, sends_used, 0, 0, (vm_offset_t) words,
		(char *) next_word - (char *) words);
	syscall_mach_port_deallocate(self, successor);
	successor = MACH_PORT_NULL;
	if (!has_left) {
		succession_stay();
		return;
	}
	service = privilege = MACH_PORT_NULL;
	clients_used = names_used = 0;
	for (w = 0; w < WATCHER_PLACES; w++)
		watchers[w].port = MACH_PORT_NULL;
}

static boolean_t owes_answers(void)
{
	int n;

	for (n = 0; n < LOOK_UPS_MAX; n++)
		if (look_ups[n].answer)
			return TRUE;
	return FALSE;
}

/* The loader, or a successor that is ready, tells who it is. */
kern_return_t do_succession_begin(mach_port_t at, mach_port_t port)
{
	if (at != succession_control || has_left || successor)
		return MIG_BAD_ID;
	successor = IS_LIVING(port) ? port : MACH_PORT_NULL;
	return KERN_SUCCESS;
}

/* Only the loader makes send-once rights to that port. */
static boolean_t hears_of_successor(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	if (MACH_MSGH_BITS_LOCAL(request->msgh_bits) != MACH_MSG_TYPE_PORT_SEND_ONCE) {
		mig_begin_reply(request, reply);
		mig_end_reply(reply, MIG_BAD_ID);
		return FALSE;
	}
	succession_server(request, reply);
	if (!successor && !has_left)
		succession_stay();
	return TRUE;
}

/* What a name server before this one left: where the records begin, and how many there are. */
typedef struct {
	const u32 *numbers;
	const left_name_t *names;
	const u32 *watchers;
	u32 last, has_clients, has_names, has_watchers;
} left_t;

/* Whether the words from `from` on are the records of so many watchers, of names that there are, and nothing else. */
static boolean_t are_watchers(const u32 *from, const u32 *end, const left_t *left)
{
	u32 n, count, told;

	for (n = 0; n < left->has_watchers; n++) {
		if (end - from < 3)
			return FALSE;
		told = BIG_ENDIAN_WORD(from[1]);
		count = BIG_ENDIAN_WORD(from[2]);
		from += 3;
		if (told > end - from || count > end - from - told)
			return FALSE;
		for (count += told; count; count--)
			if (BIG_ENDIAN_WORD(*from++) >= left->has_names)
				return FALSE;
	}
	return from == end;
}

static boolean_t has_null(const mach_port_t *rights, u32 count, boolean_t or_dead)
{
	while (count && rights[count - 1] && !(or_dead && rights[count - 1] == MACH_PORT_DEAD))
		count--;
	return count != 0;
}

/* Whether so many words, with so many rights, are what a name server leaves. */
static boolean_t read_legacy(const u32 *from, u32 count, u32 has_receives, u32 has_sends, left_t *left)
{
	const u32 *end = from + count;
	u32 n, flags;

	if (count < sizeof(estate_t) / 4)
		return FALSE;
	left->last = BIG_ENDIAN_WORD(from[0]);
	left->has_clients = BIG_ENDIAN_WORD(from[1]);
	left->has_names = BIG_ENDIAN_WORD(from[2]);
	left->has_watchers = BIG_ENDIAN_WORD(from[3]);
	left->numbers = from += sizeof(estate_t) / 4;
	if (left->has_clients > end - from)
		return FALSE;
	left->names = (const left_name_t *) (from += left->has_clients);
	if (left->has_names > (end - from) / (sizeof(left_name_t) / 4))
		return FALSE;
	left->watchers = (const u32 *) (left->names + left->has_names);
	has_receives -= 1 + left->has_clients;
	has_sends -= left->has_watchers;
	for (n = 0; n < left->has_names; n++) {
		flags = BIG_ENDIAN_WORD(left->names[n].flags);
		if (!left->names[n].text[0] || flags > (IS_THERE | ESSENTIAL | REGISTERED | SIGNED) || (flags && !(flags & IS_THERE)))
			return FALSE;
		has_sends -= ((flags & IS_THERE) != 0) + ((flags & SIGNED) != 0);
		has_receives -= (flags & REGISTERED) != 0;
	}
	return !has_receives && !has_sends && are_watchers(left->watchers, end, left);
}

static const char *text_in(const left_t *left, u32 place)
{
	static char text[sizeof(netname_name_t) + 1];

	memcpy(text, left->names[place].text, sizeof(netname_name_t));
	return text;
}

static void take_name(const left_t *left, u32 place, mach_port_t port, mach_port_t registration, mach_port_t signature)
{
	const char *text = text_in(left, place);
	name_t *name = known(text) ? 0 : new_name(text);

	if (name && IS_LIVING(port)) {
		name->port = port;
		name->client = BIG_ENDIAN_WORD(left->names[place].client);
		name->essential = (BIG_ENDIAN_WORD(left->names[place].flags) & ESSENTIAL) != 0;
		name->registration = registration;
		name->signature = signature;
		ask_end_of(port);
		return;
	}
	if (IS_LIVING(port))
		syscall_mach_port_deallocate(self, port);
	if (IS_LIVING(signature))
		syscall_mach_port_deallocate(self, signature);
	if (registration)
		mach_port_mod_refs(self, registration, MACH_PORT_RIGHT_RECEIVE, -1);
}

/* Where the next watcher's record is. */
static const u32 *take_watcher(const left_t *left, const u32 *from, int w, mach_port_t port)
{
	const left_watcher_t *watcher = (const left_watcher_t *) from;
	u32 told = BIG_ENDIAN_WORD(watcher->told), count = told + BIG_ENDIAN_WORD(watcher->waiting), n;
	name_t *name;

	from += 3;
	if (w >= WATCHER_PLACES || !IS_LIVING(port))
		return from + count;
	watchers[w].port = port;
	watchers[w].client = BIG_ENDIAN_WORD(watcher->client);
	ask_end_of(port);
	for (n = 0; n < count; n++) {
		name = known(text_in(left, BIG_ENDIAN_WORD(from[n])));
		if (name && n < told)
			name->told[w] = TRUE;
		else if (name && !name->waits[w])
			join_queue(name, w);
	}
	return from + count;
}

static void take_over(const left_t *left, const mach_port_t *receive, const mach_port_t *send)
{
	const u32 *from = left->watchers;
	boolean_t essential = FALSE;
	u32 n, flags;

	last_client = left->last;
	privilege = *receive++;
	for (n = 0; n < left->has_clients; n++, receive++)
		if (enter_client(*receive, BIG_ENDIAN_WORD(left->numbers[n])))
			mach_port_mod_refs(self, *receive, MACH_PORT_RIGHT_RECEIVE, -1);
	for (n = 0; n < left->has_names; n++) {
		mach_port_t port = MACH_PORT_NULL, signature = MACH_PORT_NULL;

		flags = BIG_ENDIAN_WORD(left->names[n].flags);
		if (flags & IS_THERE)
			port = *send++;
		if (flags & SIGNED)
			signature = *send++;
		essential = essential || (flags & ESSENTIAL && port == MACH_PORT_DEAD);
		take_name(left, n, port, flags & REGISTERED ? *receive++ : MACH_PORT_NULL, signature);
	}
	for (n = 0; n < left->has_watchers; n++)
		from = take_watcher(left, from, n, *send++);
	for (n = 0; n < names_used; n++)
		if (!names[n].port)
			changed(&names[n]);
	for (n = 0; n < WATCHER_PLACES; n++)
		if (watchers[n].port)
			speak(n);
	if (essential)
		save_all();
}

kern_return_t do_succession_inherit(mach_port_t at, mach_port_t given, mach_port_array_t receive, mach_msg_type_number_t has_receives,
	mach_port_array_t send, mach_msg_type_number_t has_sends, mach_port_array_t onces, mach_msg_type_number_t has_onces,
	vm_offset_t data, mach_msg_type_number_t size)
{
	left_t left;

	has_nothing = !IS_LIVING(given) || has_onces || size % 4 || has_null(receive, has_receives, TRUE) ||
		has_null(send, has_sends, FALSE) || !read_legacy((const u32 *) data, size / 4, has_receives, has_sends, &left);
	if (has_nothing)
		return KERN_INVALID_ARGUMENT;
	service = given;
	take_over(&left, receive, send);
	mig_deallocate((vm_offset_t) receive, has_receives * sizeof *receive);
	mig_deallocate((vm_offset_t) send, has_sends * sizeof *send);
	mig_deallocate(data, size);
	return KERN_SUCCESS;
}

kern_return_t do_succession_follow(mach_port_t at, mach_port_t predecessor)
{
	return at == legacy ? succession_ready(predecessor, legacy) : MIG_BAD_ID;
}

/* The name server before has ended, and left nothing. */
kern_return_t do_name_server_begin(mach_port_t at, mach_port_t given, mach_port_t privileged)
{
	if (at != legacy || !legacy || !IS_LIVING(given) || !IS_LIVING(privileged))
		return MIG_BAD_ID;
	service = given;
	privilege = privileged;
	return KERN_SUCCESS;
}

/* What comes where it inherits. */
static boolean_t inherit(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	has_nothing = request->msgh_id == MACH_NOTIFY_NO_SENDERS;
	return succession_server(request, reply) || name_server_server(request, reply);
}

static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
	mach_port_t port = request->msgh_local_port;
	client_t *client = client_of(port);
	boolean_t is_privileged = port == privilege && (request->msgh_id == ACS_REGISTER || request->msgh_id == ACS_WATCH ||
		request->msgh_id == ACS_LOOK_UP || request->msgh_id == ACS_LOOK_UP_HERE);

	boolean_t is_end = client && request->msgh_id == MACH_NOTIFY_NO_SENDERS &&
		MACH_MSGH_BITS_LOCAL(request->msgh_bits) == MACH_MSG_TYPE_PORT_SEND_ONCE;

	asks = client ? client->number : port == service ? 0 : NOBODY;
	if (!is_end && (client || port == service || is_privileged))
		return acs_server(request, reply) || netname_server(request, reply);
	if (port == privilege)
		return name_server_server(request, reply);
	if (port == succession_control)
		return hears_of_successor(request, reply);
	mig_begin_reply(request, reply);
	mig_end_reply(reply, is_end ? client_ends(client) : noticed(request));
	return TRUE;
}

static mach_port_t number(const char *digits)
{
	mach_port_t value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = value * 10 + *digits++ - '0';
	return value;
}

/* Its ports, from the loader or the name server before it; whether it has them. */
static boolean_t begin(void)
{
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &notices);
	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &ports);
	mach_port_move_member(self, notices, ports);
	mach_port_move_member(self, succession_control, ports);
	if (!legacy) {
		service = number(arg_value[3]);
		privilege = number(arg_value[4]);
	}
	while (!service && !has_nothing)
		server_once(legacy, inherit, 0);
	if (legacy)
		mach_port_mod_refs(self, legacy, MACH_PORT_RIGHT_RECEIVE, -1);
	mach_port_move_member(self, service, ports);
	mach_port_move_member(self, privilege, ports);
	return !has_nothing;
}

int guest_main(void)
{
	mach_msg_return_t result = MACH_MSG_SUCCESS;
	int time = 0;

	self = mach_task_self();
	host = mach_host_self();
	legacy = succession_start();
	if (!legacy && arg_count < 5) {
		say("acs: no port to serve: start it as the first of a node's servers\n");
		return 1;
	}
	if (!begin()) {
		say("acs: nothing to begin with\n");
		syscall_task_terminate(self);
	}
	while (result == MACH_MSG_SUCCESS || result == MACH_RCV_TIMED_OUT) {
		result = server_once(ports, demux, saving ? time : 0);
		if (saving && (unsaved <= 0 || (time = left()) <= 0))
			reboot();
		if (successor && !saving)
			hand_over();
		if (has_left && !owes_answers())
			syscall_task_terminate(self);
	}
	say("acs: cannot receive: %x\n", result);
	return 1;
}
