/* What a history is composed with: the protocol, and reports that may have said anything.

   validate.py writes a file with NODES, EACH, ORDERS, this one, and a process `world` that expects
   the history's lines one by one. Each step of the protocol that leaves a line sends it here. */

#define TRACE
#define TERMS 1
#define PAUSES 1000
#define LATE 0
#define GOING 1
#define QUORUM 1
#define LIVE 0
#define INVOCATIONS 1
#define limit top
#define unsettled true
#define GATE(when) provided (when)
#ifdef LOST                  /* an invocation may die before it wrote its line */
#define line(r, t, w, o, n) if :: history ! r, t, w, o, n \
    :: missing < 1 && r != failover && r != switchover && r != pause && r != resume -> \
        missing++; told = (told && (r == R072 || r == R999 || !w)) fi
#else
#define line(rule, term, who, whom, number) history ! rule, term, who, whom, number
#endif
chan history = [0] of { mtype, short, byte, byte, short };
short top; byte missing; bool slow, ran_out, guessed, dead = true;
mtype got_rule; short got_term; byte got_who, got_whom; short got_number;

/* For the answer: how far the history went, and which lines could have come instead. */
c_decl {
extern int printf(const char *, ...);
static int best = -1, offers, offered[500];
static void line_reached(int k) { if (k > best) { best = k; offers = 0; printf("REACHED %d\n", k); } }
static void offer(int k, int rule, int term, int who, int whom, int number) {
    int i, code = (((rule * 10 + who) * 10 + whom) << 12) + (term & 63) * 64 + (number & 63);
    if (k < best || offers == 500) return;
    for (i = 0; i < offers; i++) if (offered[i] == code) return;
    offered[offers++] = code;
    printf("OFFERED %d %d %d %d %d %d\n", k, rule, term, who, whom, number);
}
}
#include "protocol.pml"

/* What was said between two lines is not in a history: any words of the holder and of one other. */
#define silent(n) word[n] = silence; after[n] = true; going[n] = false;
#define claimed_by(n) :: n != holder -> word[n] = claim; if :: only = n :: skip fi
proctype reports() provided (!dead && !runs && !did[2]) {
    do
    :: atomic { guessed -> only = 0; guessed = false; EACH(silent) }
    :: atomic { !guessed -> guessed = true;
        if EACH(claimed_by) :: skip fi;
        if
        :: holder -> if :: word[holder] = claim :: word[holder] = misses :: word[holder] = release
            :: word[holder] = unknown :: skip fi;
            if :: going[holder] = true :: skip fi
        :: else
        fi }
    :: atomic { moving && !overdue && slow -> overdue = true }
    :: atomic { order && !vain -> vain = true }
    :: atomic { paused && ran_out -> paused = false; wrote(2) }
    od
}

/* An export begins anywhere: whatever was before its first line. */
#define held_by(n) :: holder = n
#define refused_by(n) :: refused = n
#define ordered_to(n) :: target = n
inline begins(first, known) {
    atomic { !runs && !did[2] -> dead = true;
    EACH(silent) guessed = false; only = 0;
    term = first; moving = false; overdue = false; paused = false; refused = NOBODY; order_ends();
    told = true; placed = true; orders = (known == 1 -> 1 : 0); pauses = 0;
    if
    :: first ->
        if EACH(held_by) :: holder = NOBODY fi;
        if :: moving = true :: skip fi;
        if :: paused = true :: skip fi;
        if EACH(refused_by) :: skip fi;
        if :: order = failover :: order = switchover :: skip fi;
        if :: order -> number = known; if EACH(ordered_to) fi :: else fi
    :: else -> holder = NOBODY
    fi;
    recorded = term; recorded_on = holder; ec2 = holder; ec2_by = term; dead = false }
}
#define expect(k, highest, deadline, pause_over, evidence, ...) \
    missing = 0; top = highest; slow = deadline; ran_out = pause_over; \
    if \
    :: atomic { history ? __VA_ARGS__ -> slow = false; ran_out = false; if :: evidence :: !(evidence) -> dead = true; false fi } \
    :: atomic { history ? got_rule, got_term, got_who, got_whom, got_number -> \
        c_code { offer(k, now.got_rule, now.got_term, now.got_who, now.got_whom, now.got_number); }; \
        got_rule = 0; got_term = 0; got_who = 0; got_whom = 0; got_number = 0; dead = true; false } \
    fi; \
    c_code { line_reached(k + 1); }
