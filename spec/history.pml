/* A history followed line by line: is each line a step that protocol.pml allows?

   validate.py writes the lines into the file `rows`, as rows of numbers. What a line does not say is
   chosen here: what the nodes said, as far as its evidence leaves that open, and what time may have
   brought. So there are few states, and one verifier does for all histories. */

#define HISTORY
#if NODES == 5
#define EACH(X) X(1) X(2) X(3) X(4) X(5)
#elif NODES == 15
#define EACH(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#endif
#define must(e) (e)
#define limit   30000
#include "protocol.pml"

mtype = { begins, taken_out };           /* an address's first row; its holder lost its tag */

c_decl {
/* The columns: -1 is what the line does not say. From WORDS on each node has the words that it can
   have said, and what else is known of it, as bits. */
enum { RULE, TERM, WHO, WHOM, ORDER, MAY, WORDS };
enum { EXPIRE = 1, END_PAUSE = 2, HAVE_BEGUN_BEFORE = 4 };
enum { CLAIM = 1, RELEASE = 2, UNKNOWN = 4, SILENCE = 8, GO = 16, PREDATE = 32, BE_STALE = 64,
       BE_ABSENT = 128 };
static int (*row)[WORDS + NODES + 1];
static void read_rows(void)
{
    FILE *file = fopen("rows", "r");
    int count, i;
    if (!file || fscanf(file, "%d", &count) != 1 || !(row = calloc(count, sizeof *row))) exit(2);
    for (i = 0; i < count * (WORDS + NODES + 1); i++)
        if (fscanf(file, "%d", row[0] + i) != 1) exit(2);
    fclose(file);
}

/* For the answer: how far the history went, what was so then, and which lines could have come. */
static int furthest = -1, told, tales[3000][7];
static void tell(int what, int k, int a, int b, int c, int d, int e)
{
    int i, tale[7] = { what, k, a, b, c, d, e };
    if (k < furthest) return;
    if (k > furthest) { furthest = k; told = 0; }
    for (i = 0; i < told; i++) if (!memcmp(tales[i], tale, sizeof tale)) return;
    if (told == 3000) return;
    memcpy(tales[told++], tale, sizeof tale);
    printf("%s %d %d %d %d %d %d\n", what ? "COULD" : "AT", k, a, b, c, d, e);
}
}
#define column(c)  c_expr { row[now.at][c] }
#define is(what)   (column(RULE) == what)
#define fits(c, x) (column(c) < 0 || column(c) == x)
#define may(bit)   (c_expr { row[now.at][MAY] & bit })
#define can(n, bit) (c_expr { row[now.at][WORDS + n] & bit })

int   at;                                /* the row that comes next */
byte  nodes;                             /* how many this address ever had */
mtype rule;  byte who;  short mine;  bool ends;         /* the step, as an arbiter has it */
byte  of_whom, from_whom;  short its_order;             /* ... and as its line tells it */

/* An export begins anywhere: whatever was before its first line. */
#define held_by(n)    :: n <= nodes -> holder = n
#define refused_by(n) :: n <= nodes -> refused = n
#define ordered_to(n) :: n <= nodes -> target = n
inline begin() {
    nodes = column(WHO); term = column(TERM);
    holder = NOBODY; refused = NOBODY; paused = false; order_ends();
    if
    :: may(HAVE_BEGUN_BEFORE) ->
        if :: skip EACH(held_by) fi;
        if :: skip EACH(refused_by) fi;
        if :: skip :: paused = true fi;
        if
        :: skip
        :: order = failover; number = column(ORDER); if EACH(ordered_to) fi
        :: order = switchover; number = column(ORDER); if EACH(ordered_to) fi
        fi
    :: else
    fi
}

/* What time can have brought since the line before, which leaves no line. */
#define leaves(n) :: holder == n && can(n, BE_ABSENT) -> holder = NOBODY
inline time_passes() {
    if :: skip :: order && may(EXPIRE) -> vain = true fi;
    if :: skip :: paused && may(END_PAUSE) -> paused = false fi;
    if :: skip EACH(leaves) fi
}

/* What the holder said and, of the others, whose claim it is about: any words but those that the
   evidence excludes. */
#define nothing_of(n) word[n] = silence; going[n] = false; after[n] = false; stale[n] = false;
#define report_of(n)  after[n] = !can(n, PREDATE); stale[n] = can(n, BE_STALE);
#define holder_is(n) :: holder == n -> if \
    :: can(n, CLAIM) -> word[n] = claim \
    :: can(n, CLAIM) -> word[n] = misses \
    :: can(n, RELEASE) -> word[n] = release \
    :: can(n, UNKNOWN) -> word[n] = unknown \
    :: can(n, SILENCE) fi; if :: skip :: can(n, GO) -> going[n] = true fi
#define claimed_by(n) :: n <= nodes && holder != n && can(n, CLAIM) -> word[n] = claim; \
                         if :: skip :: only = n fi
inline reports_say() {
    d_step { EACH(report_of) }
    if :: !holder EACH(holder_is) fi;
    if :: skip EACH(claimed_by) fi
}

/* Any step that could come next, whatever its line should be. Those of operators are only tried
   where their line is there. */
#define asked_for(n) :: n <= nodes && (is(failover) || (is(switchover) && holder && holder != n)) \
                        && fits(WHO, n) -> rule = column(RULE); who = n
#define is_verb (rule == failover || rule == switchover || rule == pause || rule == resume)
inline any_step() {
    if
    EACH(asked_for)
    :: is(pause) || is(resume) || is(taken_out) || (is(R031) && holder) -> rule = column(RULE)
    :: column(RULE) >= R999 && column(RULE) <= R020 && !is(R031) -> decide()
    fi;
    mine = term + (is_grant -> 1 : 0)
}
inline its_line() {
    of_whom = (rule == R031 || rule == R072 || rule == R090 || rule == R999 || rule == taken_out
               -> holder : who);
    from_whom = (rule == R072 -> who : holder);
    its_order = (is_verb -> column(ORDER) : (ends || rule == R020 -> number : 0))
}
#define is_the_line (is(rule) && fits(TERM, mine) && fits(WHO, of_whom) && fits(WHOM, from_whom) \
                     && fits(ORDER, its_order))

/* A settlement leaves no line, so it may have come at once; and of words nothing is kept. */
inline settles() {
    moving = false; overdue = false; recorded = 0; recorded_on = holder; placed = true;
    only = 0; EACH(nothing_of)
    rule = 0; who = 0; mine = 0; ends = false; of_whom = 0; from_whom = 0; its_order = 0
}

active proctype history() {
    c_code { read_rows(); };
    do
    :: is(0) -> c_code { printf("ACCEPTED\n"); }; assert(false)
    :: atomic { is(begins) -> begin(); at++ }
    :: atomic { !is(0) && !is(begins) ->
        c_code { tell(0, now.at, now.holder, now.term, now.order, now.target, now.paused); };
        time_passes();
        reports_say();
        any_step();
        if :: !is_verb && rule != taken_out && rule != R031 -> check() :: else fi;
        its_line();
        if
        :: is_the_line
        :: !is_the_line ->
            c_code { tell(1, now.at, now.rule, now.mine, now.of_whom, now.from_whom,
                          now.its_order); };
            false
        fi;
        if
        :: is_verb -> accept(rule, who, its_order)
        :: rule == taken_out -> holder = NOBODY
        :: rule == R031 -> put_back()
        :: else -> apply()
        fi;
        d_step { settles(); at++ } }
    od
}
