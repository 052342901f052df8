#!/mcp/bin/busybox sh
# Process 1 of an MCP server's container: starts the server when toolman says so, on pipes that toolman made.
#
#   /mcp/bin/busybox sh /mcp/lib/spawner.sh PIPES_DIR COMMAND [ARG...]
#
# toolman writes to PIPES_DIR/control          and reads from PIPES_DIR/events
#   hello RUN        end everything that runs    boot            this process has just started
#   start ID         run COMMAND on the pipes    ready RUN       nothing runs any more
#                    PIPES_DIR/ID/{in,out}       pid ID PID      the server's process, session and group
#   stop PID SIGNAL  signal a process group      exit ID STATUS  it has ended, and with it whatever it started
#
# Several may run at a time. TOOLMAN_SERVER_PROCESS=ID in the environment tells whose a process is.
# Only this busybox is used: the image may have no shell of its own. Working directory and environment are the image's.

BUSYBOX=${MCP_BUSYBOX:-/mcp/bin/busybox}

# --- one start: its parent is gone (see below), so it is nobody's background job
if [ "$1" = --keep ]; then
    directory=$2 id=$3
    shift 3
    # The shell in between makes the server the leader of its own session and says its number before it is replaced.
    "$BUSYBOX" setsid "$BUSYBOX" sh -c '
        export TOOLMAN_SERVER_PROCESS="$1"
        shift
        echo "pid $TOOLMAN_SERVER_PROCESS $$" >&3
        exec 3>&-
        exec "$@"' sh "$id" "$@" <"$directory/$id/in" >"$directory/$id/out"
    status=$?
    # What it left behind, its group and daemons alike; rounds, because a process may be starting another meanwhile.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        left=$("$BUSYBOX" grep -zls "^TOOLMAN_SERVER_PROCESS=$id\$" /proc/[0-9]*/environ)
        [ -n "$left" ] || break
        for found in $left; do
            found=${found#/proc/}
            kill -KILL "${found%/environ}"
        done
    done 2>/dev/null
    echo "exit $id $status" >&3
    exit 0
fi

PIPES=$1
shift
if [ $$ -ne 1 ] || [ -z "$PIPES" ] || [ $# -eq 0 ]; then
    # "kill -1" below means this container; elsewhere it would be the whole machine.
    echo "usage, as process 1 of a container: spawner.sh PIPES_DIR COMMAND [ARG...]" >&2
    exit 2
fi

# Process 1 ignores signals that it does not trap. When it ends, so does everything else in the container.
trap 'kill -TERM -1; exit 0' TERM INT

# Name the program by its path: some busyboxes prefer their own applets to the image's programs.
case $1 in
*/*) ;;
*)
    program=
    rest=$PATH:
    while [ -n "$rest" ]; do
        folder=${rest%%:*} rest=${rest#*:}
        if [ -f "${folder:-.}/$1" ] && [ -x "${folder:-.}/$1" ]; then
            program=${folder:-.}/$1
            break
        fi
    done
    if [ -z "$program" ]; then
        echo "spawner: $1: not found in PATH ($PATH)" >&2
    else
        shift
        set -- "$program" "$@"
    fi
    ;;
esac

# toolman may come later than this container.
until [ -p "$PIPES/control" ] && [ -p "$PIPES/events" ]; do
    "$BUSYBOX" sleep 0.1
done
# Open for both directions: neither side's end is an end of file, and commands wait for a reader.
exec 3<>"$PIPES/events" 4<>"$PIPES/control"
echo boot >&3

while :; do
    # The pause now and then is for "sleep", which on its way reaps orphans that were left to process 1.
    if ! read -r -t 5 verb id signal <&4; then
        "$BUSYBOX" sleep 0
        continue
    fi
    case $verb in
    hello)
        while kill -KILL -1; do
            "$BUSYBOX" sleep 0.01
        done 2>/dev/null
        echo "ready $id" >&3
        ;;
    start)
        # A shell makes its background jobs ignore SIGINT and SIGQUIT, for good. The first setsid is not a group leader
        # and becomes one; so the second cannot, forks, and returns at once.
        "$BUSYBOX" setsid "$BUSYBOX" setsid "$BUSYBOX" sh "$0" --keep "$PIPES" "$id" "$@" 4<&-
        ;;
    stop)
        case $id in
        *[!0-9]* | '' | 0 | 1) ;;
        *) kill "-$signal" "-$id" 2>/dev/null ;;
        esac
        ;;
    esac
done
