/* The takeover of a journal: markers, epochs, commits, and the readers' rule.

   Two owners, two partitions, three records, whose answers have two tokens each. The group moves partitions
   between the owners, who learn of it late, or not before they have written more, as if they had stood still.
   README.md beside this file maps each step to the function that does it.

   A HOLE_... macro puts a hole back that was once there, or could be; each must be found. */

#define OWNERS 2
#ifndef PARTS
#define PARTS 2             /* 1: records 0 and 1 alone */
#endif
#define RECORDS 3
#define TOKENS 2
#ifndef TROUBLES
#define TROUBLES 2          /* moves of a partition, which stand for crashes, too */
#endif
#define LONGEST 30          /* of a journal */

#define FIRST(p) (p * 2)    /* records 0 and 1 in partition 0, record 2 in partition 1 */
#define AFTER(p) (p == 0 -> 2 : 3)

/* The group. */
byte assigned[PARTS];       /* the owner that the group counts */
byte generation[PARTS];     /* how often it has moved: a member of an earlier one is refused */
byte committed[PARTS];      /* the first record that is not done */
byte note_epoch[PARTS];     /* kept with the commit */
byte note_low[PARTS];       /* from where the journal is still needed */
byte troubles;

/* The journal as its readers see it: what it says is folded at each append (messages/reading.py). */
byte length[PARTS];
byte epoch[PARTS];          /* the fence */
byte text[RECORDS];         /* how many tokens are visible */
byte token[6];              /* RECORDS * TOKENS: by whom each visible token was written, as owner + 1 + 2 * epoch */
byte begin[RECORDS];        /* where a record's first entry stands */
bool begun[RECORDS];
bool ended[RECORDS];

#ifdef HOLE_GENERATION
#define OURS (assigned[p] == o)
#else
#define OURS (assigned[p] == o && generation[p] == mine)
#endif
#define TOK(r, n) token[r * TOKENS + n]

inline admit(p, e) {
#ifdef HOLE_NO_FENCE
  admitted = true;
  if :: e > epoch[p] -> epoch[p] = e :: else fi
#else
  admitted = (e >= epoch[p]);
  if :: admitted -> epoch[p] = e :: else fi
#endif
}

/* Appends an owner's token to its record's answer, or its end; a reader takes what is new of what it admits. */
inline append_token(p, r, e, n, who) {
  admit(p, e);
  if
  :: admitted && !ended[r] ->
     assert(n <= text[r]);                     /* no gap */
     if
     :: n == text[r] -> TOK(r, n) = who; text[r]++
     :: else                                   /* a repetition is trimmed */
     fi;
     if :: !begun[r] -> begun[r] = true; begin[r] = length[p] :: else fi
  :: else
  fi;
  length[p]++; assert(length[p] < LONGEST)
}

inline append_end(p, r, e) {
  admit(p, e);
  if
  :: admitted && !ended[r] ->
     ended[r] = true;
     assert(text[r] == TOKENS);                /* the whole answer is visible */
     for (k : 0 .. TOKENS - 1) {
       assert(TOK(r, k) == known[k])           /* and it is the one that its owner has in mind */
     }
  :: else
  fi;
  length[p]++; assert(length[p] < LONGEST)
}

/* One owner's work on one partition. */
proctype Owner(byte o; byte p) {
  byte e, r, n, k, low, mine;
  byte known[TOKENS];       /* the record's answer as this owner knows it */
  byte read_text[2], read_token[4];            /* what stood before our marker, of each record */
  bool read_end[2], admitted, won;

end_idle:                                      /* a rebalance gives it to us */
  atomic { (assigned[p] == o); mine = generation[p] }
                                               /* the note of the last commit, which may be our successor's by now */
  atomic { e = note_epoch[p] + 1; low = note_low[p] }
#ifndef HOLE_UNCONFIRMED
  if :: OURS :: else -> goto end_idle fi;      /* Runner._confirm */
#endif

claim:                                         /* Takeover._mark, and what stood before the marker */
  atomic {
#ifdef HOLE_READS_FIRST
    e = (epoch[p] >= e -> epoch[p] + 1 : e)
  }
  atomic {
#endif
    won = (epoch[p] < e);
    r = FIRST(p);
    do
    :: r < AFTER(p) ->
       n = r - FIRST(p);
       read_end[n] = ended[r] && begin[r] >= low;
       read_text[n] = (begun[r] && begin[r] >= low -> text[r] : 0);
       for (k : 0 .. TOKENS - 1) { read_token[n * TOKENS + k] = TOK(r, k) }
       r++
    :: else -> break
    od;
    admit(p, e);
    length[p]++; assert(length[p] < LONGEST);
    r = committed[p]
  }
  if
  :: won                                       /* the first marker of its epoch counts */
#ifdef HOLE_ANY_MARKER
  :: !won
#endif
  :: else ->
     e = epoch[p] + 1;                         /* Takeover._read_past: what was read decides the next epoch */
     if                                        /* Runner._confirm */
     :: OURS -> goto claim
#ifdef HOLE_CONFIRM
     :: !OURS -> goto claim
#else
     :: else -> goto end_idle
#endif
     fi
  fi;

next:                                          /* JournalProcessor._take */
  if
  :: r >= AFTER(p) -> goto end_done
  :: r < AFTER(p) && read_end[r - FIRST(p)] -> goto commit               /* it was over: a repetition */
  :: else
  fi;
  atomic {                                     /* what the claim has read of it (generation.recall) */
    n = 0;
#ifndef HOLE_FORGETS
    n = read_text[r - FIRST(p)];
#endif
    for (k : 0 .. TOKENS - 1) { known[k] = read_token[(r - FIRST(p)) * TOKENS + k] }
  }

write:
  if
  :: n < TOKENS ->
     atomic { known[n] = o + 1 + 2 * e; append_token(p, r, e, n, known[n]); n++ }
     goto write
  :: n == TOKENS ->
#ifdef HOLE_COMMITS_EARLY
     skip
#else
     atomic { append_end(p, r, e) }
#endif
  fi;

commit:                                        /* Consumer.commit: the group refuses who is no member */
  atomic {
    if
    :: OURS ->
       assert(committed[p] <= r + 1);
       committed[p] = r + 1; note_epoch[p] = e; note_low[p] = length[p];
       assert(ended[r])                        /* the committed offset never passes an unfinished record */
    :: else -> goto end_idle                   /* it was taken away */
    fi
  }
  r++;
  goto next;

end_done:                                      /* all is done; the partition may be taken away */
  !OURS -> goto end_idle
}

/* What befalls the group. An owner learns of a move at its next commit. */
proctype Trouble() {
  byte p;
  do
  :: troubles < TROUBLES ->
     atomic {
       troubles++;
       if :: p = 0 :: p = PARTS - 1 fi;
       assigned[p] = 1 - assigned[p]; generation[p]++
     }
  :: break
  od
}

init {
  byte p, o;
  atomic {
#if PARTS == 2
    assigned[1] = 1; committed[1] = FIRST(1);
#else
    ended[2] = true;
#endif
    for (p : 0 .. PARTS - 1) {
      for (o : 0 .. OWNERS - 1) { run Owner(o, p) }
    }
    run Trouble()
  }
}

/* In the end every record has its answer. */
ltl answered { <> (ended[0] && ended[1] && ended[2]) }
