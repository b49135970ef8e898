/* A web server with one answer, one connection at a time, and no C library: the least that a
 * container can run which still answers. ANSWER is a string with head and body.
 *
 * x86-64 only. The numbers are those of <asm/unistd_64.h>, <sys/socket.h> and <netinet/in.h>. */

enum { READ = 0, WRITE = 1, CLOSE = 3, SOCKET = 41, ACCEPT = 43, BIND = 49, LISTEN = 50, SETSOCKOPT = 54, EXIT_GROUP = 231 };
enum { AF_INET = 2, SOCK_STREAM = 1, SOL_SOCKET = 1, SO_REUSEADDR = 2, PORT = 80, BACKLOG = 16 };

static const char answer[] = ANSWER;
static char request[4096];

static long call(long number, long a, long b, long c, long d, long e)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

void _start(void)
{
    struct {
        unsigned short family, port;
        unsigned address;
        char zero[8];
    } any = { AF_INET, PORT << 8, 0, { 0 } };
    int one = 1;
    long listener = call(SOCKET, AF_INET, SOCK_STREAM, 0, 0, 0);
    call(SETSOCKOPT, listener, SOL_SOCKET, SO_REUSEADDR, (long)&one, sizeof one);
    if (call(BIND, listener, (long)&any, sizeof any, 0, 0) != 0)
        call(EXIT_GROUP, 1, 0, 0, 0, 0);
    if (call(LISTEN, listener, BACKLOG, 0, 0, 0) != 0)
        call(EXIT_GROUP, 2, 0, 0, 0, 0);
    for (;;) {
        long connection = call(ACCEPT, listener, 0, 0, 0, 0);
        if (connection < 0)
            continue;
        /* A request of the bench is one segment. */
        if (call(READ, connection, (long)request, sizeof request, 0, 0) > 0)
            call(WRITE, connection, (long)answer, sizeof answer - 1, 0, 0);
        call(CLOSE, connection, 0, 0, 0, 0);
    }
}
