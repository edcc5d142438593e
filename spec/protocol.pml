/* The protocol of the EIP Arbiter, for Spin. README.md says how to read and check it.

   Each node reports what Pacemaker does there. An invocation of the arbiter reads one state item,
   decides, and writes it back conditionally. Whoever wrote a grant has EC2 move the address and then
   writes that it did: it "settles". Reports and calls may be lost, late, doubled or reordered, and
   an invocation may die at any step. There are no clocks: a time-out may come at any moment. */

#ifndef NODES
#define NODES   2
#endif
#ifndef EACH
#if NODES == 2
#define EACH(X) X(1) X(2)
#else
#define EACH(X) X(1) X(2) X(3)
#endif
#endif
#ifndef TERMS
#define ORDERS  1
#define PAUSES  1
#define LATE    1
#define INVOCATIONS 2
#define GOING   1
#define QUORUM  1         /* three nodes, or a quorum device: one side can be quorate alone */
#define LIVE    0         /* faults stop some time */
#define TERMS   2         /* the last term that faults may lead to */
#endif
#define NOBODY  0
#ifndef must             /* history.pml: a step that breaks it is none; here: no such step is taken */
#define must(e) assert(e)
#define limit   (calm -> TERMS + 5 : TERMS)
#endif

/* What a node's newest word amounts to. `claim`: Pacemaker runs or starts the resource there.
   `misses`: a claim that adds "but the address is not here". `release`: stopped, failed, unhealthy.
   `unknown`: no reading, so neither. `silence` is the clock's word: no claim in the time allowed. */
mtype = { claim, misses, release, unknown, silence };
mtype = { R020, R031, R050, R060, R061, R070, R071, R072, R080, R090, R999 };    /* the rules */
mtype = { failover, switchover, pause, resume };                         /* an operator's verbs */

/* ---- The state item: each write is conditional, each read is of all of it ---- */
byte  holder = 1;  short term = 1;              /* the grant in force */
bool  moving, overdue;                   /* its move is under way; its deadline has passed */
byte  recorded_on = 1;  short recorded = 1;     /* EC2's association as last settled */
mtype order;  byte target; short number; /* an operator's order that stands (0: none), its number */
bool  vain;                              /* it expired, or Pacemaker does not follow */
bool  paused;
byte  refused;                           /* whose claim was refused as a split-brain */
mtype word[NODES + 1] = silence;         /* each node's newest word */
bool  after[NODES + 1];                  /* ... and whether it was said after the grant in force */
bool  going[NODES + 1];                  /* EC2 says that the instance goes away */

/* Versions only grow and are only compared for equality. So an invocation keeps no number, but
   whether what it read is in force: the version, and each report that its decision rested on. */
bool  current[3], overtaken[2];
byte  rests_on[3];                       /* a bit for each node */

/* ---- The world ---- */
byte  from;  mtype says;                 /* a report that is late: of whom, which word */
bool  newer, later;                      /* newer, by (incarnation, seq), than what is known of its
                                            node; said after the grant in force */
byte  only;                              /* the node whose side alone is quorate, if there is one */
byte  ec2 = 1;  short ec2_by = 1;        /* where EC2 has the address, by which term's call */
byte  late_to;  short late_by;           /* a call that lands after its client gave up */
short orders, pauses;
bool  calm;  byte home;                  /* faults have stopped; Pacemaker runs it there */
mtype truth[NODES + 1];                  /* what each node says then; `silence`: it is dead */

/* ---- Only for the assertions ---- */
bool  stale[NODES + 1];                  /* what is known of it is older than what was known */
bool  runs, did[3];                      /* number 0 runs; its conditional write landed */
bool  placed = true;                     /* EC2 had the address at the holder in this term */

#define claims(n)  (word[n] == claim || word[n] == misses)
/* Against a grant counts only a claim that was said after it, and so does "it is not here". */
#define counts(n)  (n != holder && claims(n) && !going[n] && (!holder || after[n]))
#ifdef BUG_UNKNOWN                       /* unknown is taken for a release */
#define gave_up    (word[holder] == release || word[holder] == unknown)
#else
#define gave_up    (word[holder] == release)
#endif
#define answers    (holder && claims(holder))
#define would_move(n) (counts(n) && (!holder || going[holder] || gave_up \
                       || word[holder] == silence || (answers && only == n)))
#define or_counts(n)  || counts(n)
#define or_moves(n)   || would_move(n)
#define waiting    (false EACH(or_counts))        /* a healthy node claims it, in vain so far */
#define goes_away  (false EACH(or_moves))

#define in_time    (moving && !overdue)           /* its call may be under way */
/* A release under way hurts nobody but the node whose association it removes. */
#define room(n)    (!moving || (holder -> overdue : n != recorded_on))
#define carried_out (target == holder && !moving && claims(holder))
#define over       (order && (vain || carried_out))
#ifdef BUG_PIN                           /* an order does not pin the address */
#define pinned     false
#else
#define pinned     (order == failover && target == holder && !over)
#endif
/* A pause holds back all but what an order is about. */
#define may_grant(n) ((!paused || (order && target == n)) && !pinned && term < limit)

/* ---- The rules: which step an invocation that reads this state may take ---- */
#define step(r, n) rule = r; who = n; ends = over && r != R020 && !paused
#ifdef BUG_CLAIM                         /* a grant without a claim */
#define R070_for(n) (n != holder && word[holder] == silence)
#else
#define R070_for(n) (counts(n) && word[holder] == silence)
#endif
#define rules_for(n) \
 :: may_grant(n) && room(n) && counts(n) && !holder                          -> step(R050, n) \
 :: may_grant(n) && room(n) && counts(n) && holder && going[holder]          -> step(R060, n) \
 :: may_grant(n) && room(n) && counts(n) && holder && !going[holder] && gave_up -> step(R061, n) \
 :: may_grant(n) && room(n) && holder && !going[holder] && R070_for(n)          -> step(R070, n) \
 :: may_grant(n) && room(n) && counts(n) && !going[holder] && answers && only == n -> step(R071, n) \
 :: !paused && !pinned && !moving && counts(n) && !going[holder] && answers \
    && only != n && refused != n                                             -> step(R072, n)

inline decide() {
    if
    EACH(rules_for)
    :: may_grant(holder) && !moving && word[holder] == misses && after[holder] -> step(R080, holder)
    :: !paused && !pinned && !moving && holder && word[holder] == release && !waiting      -> step(R090, NOBODY)
    :: !paused && !moving && refused && !waiting                             -> step(R999, holder)
    :: moving && overdue                                                     -> step(R031, holder)
    /* An order: grant it, but never over a call that may be under way ... */
    :: order == failover && !vain && target != holder && term < limit && !in_time &&
       !(moving && !holder && target == recorded_on)                         -> step(R020, target)
    /* ... and end it, but not while that leaves the address with a node that runs nothing. */
#ifdef BUG_END                           /* an order's end and the next grant are two steps */
    :: over                                                                  -> step(R020, NOBODY)
#else
    :: over && !goes_away && (target != holder || claims(holder) || !waiting) -> step(R020, NOBODY)
#endif
    fi;
    /* When an order ends, nobody is left waiting for an address that its target does not use. */
    must(rule != R020 || who || target != holder || claims(holder) || !waiting)
}

#define is_grant (rule == R050 || rule == R060 || rule == R061 || rule == R070 || rule == R071 \
                  || rule == R080 || (rule == R020 && who))

/* What no commit may do, whatever was read before. It looks at what is in force now. */
inline check() {
    if
    :: is_grant ->
        must(mine == term + 1);                               /* terms grow, one grant a term */
        must((rule == R020 -> order == failover && target == who
                              : word[who] != release && word[who] != unknown && !stale[who]));
        /* An answering holder keeps it, and so does one of which nothing is known yet. */
        must(rule == R020 || !holder || holder == who || going[holder] || only == who
             || word[holder] == release || word[holder] == silence);
        must(rule == R020 || !paused || (order && target == who));
        must(!in_time || (!holder && who != recorded_on));    /* two calls at once */
        must(rule == R020 || ends || order != failover || target != holder || who == holder)
    :: rule == R090 -> must(!paused && word[holder] == release && !moving)
    :: else
    fi
}

inline lands(n, t) {
    ec2 = n; ec2_by = t;
    if :: n == holder -> placed = true :: else fi
}

/* What a committed step makes of the item. `mine` is the term as read, + 1 for a grant. */
inline apply() {
    if
    :: is_grant || rule == R090 ->
        holder = who; term = mine; moving = true; overdue = false; refused = NOBODY;
        forget_claims();
        placed = (rule == R090 -> ec2_by != recorded : ec2 == who);
        if :: ends -> order_ends() :: else fi
    :: rule == R031 -> overdue = false
    :: rule == R072 -> refused = who
    :: rule == R999 -> refused = NOBODY
    :: rule == R020 && !who -> order_ends()
    fi
}
#define not_after(n) after[n] = false;
inline forget_claims() { if :: rule != R090 -> EACH(not_after) later = false :: else fi }
inline order_ends() { order = 0; target = NOBODY; number = 0; vain = false }

inline put_back() { moving = true; overdue = false; rule = R031 }

/* What an operator's verb makes of it. */
inline accept(verb, n, its_number) {
    if
    :: verb == failover || verb == switchover ->
        order = verb; target = n; number = its_number; vain = false
    :: verb == pause -> paused = true
    :: verb == resume -> paused = false
    fi
}

#ifndef HISTORY                          /* history.pml has the steps above, and lines to follow */

inline wrote(i) { current[0] = false; current[1] = false; current[2] = false }

#define refused_to(i) assert(!did[i]); goto out
/* The answer to a write that landed may be lost. The client then sends it again, and the condition
   fails on its own first write: the token tells. If others wrote meanwhile, the outcome is unknown,
   and whoever does not know it does nothing more. "Refused" means that nothing was written. */
inline landed(i) {
    wrote(i); did[i] = true;
    if
    :: true                              /* answered, or sent again and known by its token */
    :: !calm -> goto out                 /* unknown */
#ifdef BUG_RETRY                         /* a retry is taken for a lost race */
    :: refused_to(i)
#endif
    fi
}

#define mine_still    (term == mine && holder == who)
#ifdef BUG_VERSION                       /* a commit without the version */
#define may_commit(i) (!overtaken[i])
#elif defined(BUG_REPORTS)               /* a commit without the reports that it rested on */
#define may_commit(i) (current[i])
#else
#define may_commit(i) (current[i] && !overtaken[i])
#endif
#ifdef BUG_SETTLE                        /* a settlement without the term */
#define may_settle    (moving)
#else
#define may_settle    (moving && mine_still)
#endif

/* ---- One invocation after the other; two at once ---- */
proctype arbiter(byte me) {
    mtype rule; byte who; short mine, by; bool ends;
idle:
    atomic {                             /* read and decide */
        (me == 0 || runs);               /* whoever is alone is number 0 */
        decide();
        runs = runs || me == 0;
        current[me] = true;
        mine = term + (is_grant -> 1 : 0);
        if :: holder -> rests_on[me] = 1 << holder :: else fi;
        if :: who && rule != R020 -> rests_on[me] = rests_on[me] | (1 << who) :: else fi
    }
    if                                   /* commit */
    :: atomic { !calm -> goto out }      /* it dies */
    :: atomic { !may_commit(me) -> refused_to(me) }
    :: atomic { may_commit(me) -> by = recorded; check(); apply(); landed(me);
        if :: is_grant || rule == R031 || rule == R090 :: else -> goto out fi;
        if :: rule != R031 -> rule = 0 :: else fi;
        ends = false; rests_on[me] = 0; overtaken[me] = false }
    fi;
move:
    if                                   /* have EC2 move it, where the deadline leaves the time */
    :: atomic { !calm -> goto out }      /* it dies, or EC2 fails */
    :: atomic { !mine_still || !in_time -> goto out }
    :: atomic { who && ec2 == who && (rule == R031 || recorded_on == who) -> by = ec2_by; rule = 0 }
    :: atomic { who && mine_still && in_time ->
        by = mine; rule = 0;
        if
        :: lands(who, mine)
        :: !calm -> lands(who, mine); goto out          /* done, but the answer is lost */
        :: !calm && LATE && !late_to -> late_to = who; late_by = mine; goto out
        fi }
    :: atomic { !who && mine_still && in_time ->
        if :: ec2_by == by -> ec2 = NOBODY; ec2_by = 0 :: else fi;
        placed = true; by = 0; rule = 0 }
    fi;
    if                                   /* settle, on condition of the term and of whose it is */
    :: atomic { !calm -> goto out }
    :: atomic { !may_settle -> goto out }
    /* Its call ended late and displaced the grant in force, which is then carried out again. */
    :: atomic { !may_settle && holder && ec2 != holder ->
        who = holder; mine = term; put_back(); wrote(me); goto move }
    :: atomic { may_settle -> assert(placed);
        moving = false; overdue = false; recorded = by; recorded_on = who; wrote(me) }
    fi;
out:
    atomic { rule = 0; who = 0; mine = 0; by = 0; ends = false; did[me] = false;
        runs = runs && me; current[me] = false; overtaken[me] = false; rests_on[me] = 0 }
    goto idle
}

/* ---- The operator: orders, a pause and its end, each a conditional write ---- */
#define orders_to(n) :: !calm && orders < ORDERS && (holder != n || moving) -> \
                        verb = failover; to = n \
                     :: !calm && orders < ORDERS && holder && holder != n -> \
                        verb = switchover; to = n

proctype operator() {
    mtype verb; byte to;
asks:
    atomic {
        if
        EACH(orders_to)
        :: !calm && pauses < PAUSES -> verb = pause
        :: !calm && (paused || pauses < PAUSES) -> verb = resume
        fi;
        current[2] = true
    }
    if
    :: atomic { !current[2] -> refused_to(2) }
    :: atomic { current[2] -> did[2] = true;
        if
        :: verb == failover || verb == switchover -> orders++
        :: verb == pause -> pauses++
        :: verb == resume
        fi;
        accept(verb, to, orders);
        landed(2) }
    fi;
out:
    atomic { verb = 0; to = 0; current[2] = false; did[2] = false }
    goto asks
}

/* ---- Everything else that may happen ---- */
inline take_in(n, w, t) {                /* a report is written to the item */
    word[n] = (w == unknown && word[n] == silence -> silence : w);
    after[n] = t;
    if :: going[n] = false :: !calm fi;  /* an agent that started anew proves that it came back */
    if :: rests_on[0] & (1 << n) -> overtaken[0] = true :: else fi;
    if :: rests_on[1] & (1 << n) -> overtaken[1] = true :: else fi
}
#define report(n, w) :: !calm && w -> take_in(n, w, true); if :: from == n -> newer = false :: else fi \
                     :: !calm && LATE && !from -> from = n; says = w; newer = true; later = true
#ifdef BUG_ANSWER                        /* a report without a reading is an answer */
#define unread(n) false
#else
#define unread(n) (word[n] == unknown)
#endif
#define node(n) report(n, claim) report(n, release) report(n, unknown) \
  :: (claims(n) || unread(n)) && (!calm || truth[n] != claim) -> word[n] = silence \
  :: !calm && holder == n && ec2 != n -> take_in(n, misses, true); \
     if :: from == n -> newer = false :: else fi \
  :: !calm && GOING && !going[n] -> going[n] = true

#define quorate(n) :: !calm && QUORUM && only != n -> only = n; overtaken[0] = rests_on[0]; \
                      overtaken[1] = rests_on[1]      /* the reports say so: newer ones */
/* Once faults stop, reports arrive at once, and each node says what is. */
#define truth_of(n)  (truth[n] == claim && holder == n && !moving && ec2 != n -> misses : truth[n])
#define unheard(n)   (truth[n] != silence && !(word[n] == silence && truth[n] == unknown && !going[n]) \
                      && (word[n] != truth_of(n) || !after[n] || going[n]))
#define calm_node(n) :: calm && unheard(n) -> take_in(n, truth_of(n), true)
#define calm_begins(n) :: LIVE && !calm -> calm = true; home = n; only = 0; truth[n] = claim; others()
#define other(n)     if :: n != home -> truth[n] = release :: n != home -> truth[n] = unknown \
                        :: n != home -> truth[n] = silence :: n == home fi;
inline others() { EACH(other) }

proctype world() {
    do
    :: atomic { if
        EACH(node)
        EACH(calm_node)
        EACH(quorate)
        :: !calm && only -> only = 0; overtaken[0] = rests_on[0]; overtaken[1] = rests_on[1]
        /* A late report arrives, or one twice; one that is no newer is refused as stale. */
        :: !calm && from && newer -> take_in(from, says, later); newer = false
#ifdef BUG_STALE                         /* an old report counts */
        :: !calm && from && !newer -> take_in(from, says, later); stale[from] = true
#endif
        :: !calm && from -> from = 0; says = 0; newer = false; later = false      /* it is lost */
        :: moving && !overdue && (!calm || (!did[0] && !did[1])) -> overdue = true
        :: order && !vain && (!calm || (!in_time && !carried_out)) -> vain = true
        EACH(calm_begins)
        :: late_to -> lands(late_to, late_by); late_to = 0; late_by = 0
        :: paused && calm -> paused = false; wrote(9)             /* it runs out, or is resumed */
        fi }
    od
}

init { atomic {
    run arbiter(0);
#if INVOCATIONS > 1
    run arbiter(1);
#endif
    run operator(); run world() } }

ltl served { (<> calm) -> (<> [] (holder == home && ec2 == home && !moving)) }
#endif
