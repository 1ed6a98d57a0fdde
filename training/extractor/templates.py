"""Sentences people and agents write, with their mentions and relations: `text | head REL tail; ...`.

Slots: p person, o organisation, l location, r product, e event, d date, q quantity, t topic,
w creative work, m misc, and the technical types hw gf ot al sf pm mp ko ma co ds rp (`SLOTS`).
{I} {my} {me} {we} {our} are the one who speaks, {you} {your} the one spoken to.
"""

from __future__ import annotations

SLOTS = {
    "p": "person", "o": "organisation", "l": "location", "r": "product", "e": "event", "d": "date",
    "q": "quantity", "t": "topic", "w": "creative_work", "m": "misc", "hw": "hardware",
    "gf": "gpu_feature", "ot": "optimization_technique", "al": "algorithm",
    "sf": "software_framework", "pm": "performance_metric", "mp": "memory_pattern",
    "ko": "kernel_operation", "ma": "model_architecture", "co": "constraint",
    "ds": "data_structure", "rp": "research_paper",
}  # fmt: skip

FACTS = """
{I} work at {o}|I WORKS_AT o
{I}'m working for {o}|I WORKS_AT o
{I} work for {o} in {l}|I WORKS_AT o; o LOCATED_IN l
{I} just started at {o}|I WORKS_AT o
{I} started a new job at {o} last month|I WORKS_AT o
{I} got a job at {o}|I WORKS_AT o
{I} joined {o} in {d}|I WORKS_AT o
{I}'m a nurse at {o}|I WORKS_AT o
{I} now work at {o}|I WORKS_AT o
{I} no longer work at {o}|I WORKS_AT o
{I} quit {my} job at {o}|I WORKS_AT o
{I}'ve been with {o} since {d}|I WORKS_AT o
{my} employer is {o}|my WORKS_AT o
{I}'m an engineer at {o}|I WORKS_AT o
{I} run the kitchen at {o}|I WORKS_AT o
{we} both work at {o}|we WORKS_AT o
{p} works at {o}|p WORKS_AT o
{p} works for {o}|p WORKS_AT o
{p} is employed by {o}|p WORKS_AT o
{p} has a job at {o}|p WORKS_AT o
{p} now works at {o}|p WORKS_AT o
{p} joined {o} as a designer|p WORKS_AT o
{p} left {o} and moved to {o2}|p WORKS_AT o2
{p} is the head of {o}|p WORKS_AT o
{p}, who works at {o}, called today|p WORKS_AT o
{p} from {o} sent the report|p WORKS_AT o
{p} is a doctor at {o}|p WORKS_AT o
{my} sister {p} works at {o}|my RELATED_TO p; p WORKS_AT o
{my} friend {p} started at {o}|my KNOWS p; p WORKS_AT o
{you} work at {o}, right|you WORKS_AT o
{you} told me {you2} work at {o}|you2 WORKS_AT o
{I} live in {l}|I LIVES_IN l
{I}'m living in {l} now|I LIVES_IN l
{I}'m based in {l}|I LIVES_IN l
{I} moved to {l}|I LIVES_IN l
{I} moved to {l} in {d}|I LIVES_IN l
{we} moved from {l} to {l2}|we LIVES_IN l2
{my} home is in {l}|my LIVES_IN l
{we} have a flat in {l}|we LIVES_IN l
{I} am from {l}|I LIVES_IN l
{I} come from {l}|I LIVES_IN l
{I} grew up in {l}|I LIVES_IN l
{p} lives in {l}|p LIVES_IN l
{p} is based in {l}|p LIVES_IN l
{p} moved to {l}|p LIVES_IN l
{p} has moved to {l} with {p2}|p LIVES_IN l; p KNOWS p2
{p} comes from {l}|p LIVES_IN l
{p}'s home is in {l}|p LIVES_IN l
{p} lives near {l}|p LIVES_IN l
{p} no longer lives in {l}|p LIVES_IN l
{my} brother {p} lives in {l}|my RELATED_TO p; p LIVES_IN l
{my} boss {p} lives in {l}|my KNOWS p; p LIVES_IN l
{my} parents live in {l}|
{p} lives in {l} and works at {o}|p LIVES_IN l; p WORKS_AT o
{I} live in {l} and work at {o}|I LIVES_IN l; I WORKS_AT o
{I}'m {p} and {I2} work at {o}|I2 WORKS_AT o
{I}'m {p} from {l}|I LIVES_IN l
{my} name is {p}|
{I} am {p}|
this is {p} speaking|
call me {p}|
{I} know {p} from university|I KNOWS p
{p} is {my} best friend|my KNOWS p
{my} boss is {p}|my KNOWS p
{my} boss {p} is annoying|my KNOWS p
{my} colleague {p} is on holiday|my KNOWS p
{my} neighbour {p} has a new car|my KNOWS p
{I} met {p} at {e}|I KNOWS p; I VISITED e
{I} met {p} in {l}|I KNOWS p; I VISITED l
{I} had lunch with {p}|I KNOWS p
{I} talked to {p} yesterday|I KNOWS p
{p} and {p2} are friends|p KNOWS p2
{p} knows {p2}|p KNOWS p2
{p} introduced me to {p2}|p KNOWS p2
{p} had dinner with {p2}|p KNOWS p2
{p} is {p2}'s manager|p KNOWS p2
{p} reports to {p2}|p KNOWS p2
{my} sister is called {p}|my RELATED_TO p
{my} wife {p} says hello|my RELATED_TO p
{my} husband is {p}|my RELATED_TO p
{my} daughter {p} is seven|my RELATED_TO p
{my} mother {p} turned {q}|my RELATED_TO p
{p} is {my} cousin|my RELATED_TO p
{p} is {p2}'s brother|p RELATED_TO p2
{p} is married to {p2}|p RELATED_TO p2
{p} and {p2} got married in {d}|p RELATED_TO p2
{p}'s daughter {p2} is at school|p RELATED_TO p2
{p} is the mother of {p2}|p RELATED_TO p2
{I} like {t}|I LIKES t
{I} love {t}|I LIKES t
{I} really enjoy {t}|I LIKES t
{I}'m a big fan of {t}|I LIKES t
{my} favourite food is {t}|my LIKES t
{my} hobby is {t}|my LIKES t
{I} love {w}|I LIKES w
{my} favourite book is {w}|my LIKES w
{my} favourite film is {w}|my LIKES w
{I} watched {w} and loved it|I LIKES w
{I} prefer {t} to {t2}|I LIKES t
{I}'m into {t} and {t2}|I LIKES t; I LIKES t2
{I} don't like {t} any more|I LIKES t
{I} no longer like {t}|I LIKES t
{p} likes {t}|p LIKES t
{p} loves {t}|p LIKES t
{p} is crazy about {t}|p LIKES t
{p}'s favourite colour is {t}|p LIKES t
{p}'s favourite film is {w}|p LIKES w
{p} enjoys {t} and {t2}|p LIKES t; p LIKES t2
{p} is a fan of {o}|p LIKES o
{I} like {l} a lot|I LIKES l
{I} hate {t}|I DISLIKES t
{I} don't like {t}|I DISLIKES t
{I} can't stand {t}|I DISLIKES t
{I} dislike {t}|I DISLIKES t
{p} hates {t}|p DISLIKES t
{p} doesn't like {t}|p DISLIKES t
{p} can't stand {t}|p DISLIKES t
{p} likes {t} but hates {t2}|p LIKES t; p DISLIKES t2
{I}'m allergic to {t}|I DISLIKES t
{I} own a {r}|I OWNS r
{I} have a {r}|I OWNS r
{I} bought a {r}|I OWNS r
{I} bought a new {r} for {q}|I OWNS r
{my} {r} is broken|my OWNS r
{my} laptop is a {r}|my OWNS r
{I} sold {my} {r}|my OWNS r
{I} drive a {r}|I OWNS r
{my} dog is called {p}|my OWNS p
{I} have a cat named {p}|I OWNS p
{p} owns a {r}|p OWNS r
{p} bought a {r}|p OWNS r
{p} drives a {r}|p OWNS r
{p}'s {r} arrived today|p OWNS r
{o} owns {o2}|o OWNS o2
{o} bought {o2} for {q}|o OWNS o2
{o2} belongs to {o}|o OWNS o2
{I} use {r} every day|I USES r
{I} write code in {sf}|I USES sf
{I} play the {t}|I LIKES t
{p} uses {r} for work|p USES r
{p} codes in {sf}|p USES sf
{we} use {sf} at {o}|we USES sf; we WORKS_AT o
{o} uses {r}|o USES r
{I}'m a member of {o}|I MEMBER_OF o
{I} play for {o}|I MEMBER_OF o
{I} joined the {o}|I MEMBER_OF o
{p} is a member of {o}|p MEMBER_OF o
{p} plays for {o}|p MEMBER_OF o
{p} sings in {o}|p MEMBER_OF o
{p} is on the board of {o}|p MEMBER_OF o
{o} is in {l}|o LOCATED_IN l
{o} is based in {l}|o LOCATED_IN l
{o} has its office in {l}|o LOCATED_IN l
{o} opened a branch in {l}|o LOCATED_IN l
the headquarters of {o} are in {l}|o LOCATED_IN l
{l} is in {l2}|l LOCATED_IN l2
{l} lies in the north of {l2}|l LOCATED_IN l2
{l} is the capital of {l2}|l LOCATED_IN l2
{e} takes place in {l}|e LOCATED_IN l
{e} is in {l} on {d}|e LOCATED_IN l; e HAPPENED_ON d
server {r} stands in {l}|r LOCATED_IN l
{I} was born on {d}|I BORN_ON d
{my} birthday is {d}|my BORN_ON d
{my} birthday is on {d}|my BORN_ON d
{I} was born in {l} on {d}|I BORN_ON d; I LIVES_IN l
{p} was born on {d}|p BORN_ON d
{p}'s birthday is {d}|p BORN_ON d
{p} was born in {d}|p BORN_ON d
{p} celebrates a birthday on {d}|p BORN_ON d
{my} daughter {p} was born on {d}|my RELATED_TO p; p BORN_ON d
{o} is part of {o2}|o PART_OF o2
{r} is part of {r2}|r PART_OF r2
{o} is a division of {o2}|o PART_OF o2
{l} belongs to {l2}|l LOCATED_IN l2
{w} is a chapter of {w2}|w PART_OF w2
{p} leads {r}|p CREATED r
{p} wrote {w}|p CREATED w
{p} is the author of {w}|p CREATED w
{p} directed {w}|p CREATED w
{w} was written by {p}|p CREATED w
{p} founded {o}|p CREATED o
{p} started {o} in {d}|p CREATED o; o HAPPENED_ON d
{I} founded {o}|I CREATED o
{I} wrote {w}|I CREATED w
{I} made {r}|I CREATED r
{p} painted {w}|p CREATED w
{o} released {r}|o CREATED r
{o} makes {r}|o CREATED r
{p} and {p2} built {r}|p CREATED r; p2 CREATED r
{I}'m planning {e}|I PLANS e
{I} want to visit {l}|I PLANS l
{I}'m flying to {l} on {d}|I PLANS l
{we}'re going to {e} in {d}|we PLANS e; e HAPPENED_ON d
{I} plan to travel to {l} next summer|I PLANS l
{I} want to learn {t}|I PLANS t
{p} wants to visit {l}|p PLANS l
{p} is planning a trip to {l}|p PLANS l
{p} plans to attend {e}|p PLANS e
{p} is going to {e} on {d}|p PLANS e; e HAPPENED_ON d
{e} is on {d}|e HAPPENED_ON d
{e} happened on {d}|e HAPPENED_ON d
{e} took place in {d}|e HAPPENED_ON d
{e} was on {d} in {l}|e HAPPENED_ON d; e LOCATED_IN l
the deadline of {r} is {d}|r HAPPENED_ON d
{r} is due on {d}|r HAPPENED_ON d
{r} ships on {d}|r HAPPENED_ON d
{w} came out in {d}|w HAPPENED_ON d
{I} went to {l}|I VISITED l
{I} visited {l} last year|I VISITED l
{we} were in {l} for {q}|we VISITED l
{I} was at {e} in {d}|I VISITED e; e HAPPENED_ON d
{I} went to {e} with {p}|I VISITED e; I KNOWS p
{p} visited {l}|p VISITED l
{p} went to {l} with {p2}|p VISITED l; p KNOWS p2
{p} spent {q} in {l}|p VISITED l
{p} just came back from {l}|p VISITED l
{I} study {t}|I STUDIES t
{I} studied {t} at {o}|I STUDIES t; I STUDIES o
{I}'m learning {t}|I STUDIES t
{p} studies {t}|p STUDIES t
{p} studies {t} at {o}|p STUDIES t; p STUDIES o
{p} has a degree in {t}|p STUDIES t
{p} graduated from {o}|p STUDIES o
{p} teaches {t} at {o}|p WORKS_AT o
the budget of {r} is {q}|
{my} locker code is {q}|
{r} costs {q}|
{o} has {q} employees|
{p} paid {q} for it|
{p} is {q} old|
{p} won the {m}|
{I} speak {m}|
"""

TECHNICAL = """
{rp} targets {hw}|rp TARGETS hw
the patch targets {hw} and {pm}|
{ot} targets {hw}|ot TARGETS hw
{sf} targets {hw}|sf TARGETS hw
{ko} was written for {hw}|ko TARGETS hw
{gf} is a feature of {hw}|gf IS_FEATURE_OF hw
{hw} comes with {gf}|gf IS_FEATURE_OF hw
{hw} supports {gf}|gf IS_FEATURE_OF hw
{gf} on {hw} is fast|gf IS_FEATURE_OF hw
{sf} implements {al}|sf IMPLEMENTS al
{sf} has an implementation of {ot}|sf IMPLEMENTS ot
{ko} implements {al}|ko IMPLEMENTS al
{I} implemented {al} in {sf}|sf IMPLEMENTS al
{sf} uses {ds}|sf USES ds
{ma} uses {ot}|ma USES ot
{ko} uses {gf}|ko USES gf
{al} relies on {ds}|al REQUIRES ds
{ot} improves {pm}|ot IMPROVES pm
{ot} improved {pm} by {q}|ot IMPROVES pm
{al} gives better {pm}|al IMPROVES pm
with {ot} the {pm} went up by {q}|ot IMPROVES pm
{gf} improves {pm} on {hw}|gf IMPROVES pm; gf IS_FEATURE_OF hw
{ot} reduces {pm}|ot REDUCES pm
{ot} reduces {mp}|ot REDUCES mp
{al} lowers {pm} by {q}|al REDUCES pm
{ot} cuts {pm} in half|ot REDUCES pm
{pm} measures {ko}|pm MEASURES ko
{rp} measures {pm} on {hw}|rp MEASURES pm
{I} measured {pm} with {sf}|sf MEASURES pm
{sf} reports {pm}|sf MEASURES pm
{co} limits {pm}|co LIMITS pm
{co} limits {ma} on {hw}|co LIMITS ma
{pm} is limited by {co}|co LIMITS pm
{hw} is bound by {co}|co LIMITS hw
{ko} is part of {sf}|ko IS_PART_OF sf
{ds} is part of {ma}|ds IS_PART_OF ma
{ma} contains {ko}|ko IS_PART_OF ma
{rp} builds on {rp2}|rp BUILDS_ON rp2
{al} builds on {al2}|al BUILDS_ON al2
{ma} is built on {ma2}|ma BUILDS_ON ma2
{al} extends {al2}|al EXTENDS al2
{rp} extends {ot}|rp EXTENDS ot
{ma} is an extension of {ma2}|ma EXTENDS ma2
{gf} enables {ot}|gf ENABLES ot
{sf} enables {ot} on {hw}|sf ENABLES ot
{ot} makes {ma} possible on {hw}|ot ENABLES ma
{ot} requires {gf}|ot REQUIRES gf
{ma} needs {q} of {hw}|ma REQUIRES hw
{sf} requires {sf2}|sf REQUIRES sf2
{ko} needs {ds}|ko REQUIRES ds
{rp} introduces {al}|rp INTRODUCES al
{rp} introduced {ot} in {d}|rp INTRODUCES ot
{al} was introduced in {rp}|rp INTRODUCES al
{p} introduced {al}|p INTRODUCES al
{rp} validates {ot}|rp VALIDATES ot
{e} validates {al} on {hw}|e VALIDATES al
the experiments in {rp} confirm {al}|rp VALIDATES al
{sf} competes with {sf2}|sf COMPETES_WITH sf2
{hw} competes with {hw2}|hw COMPETES_WITH hw2
{sf} is an alternative to {sf2}|sf COMPETES_WITH sf2
{ot} optimizes {ko}|ot OPTIMIZES ko
{ot} optimises {mp}|ot OPTIMIZES mp
{sf} optimizes {ko} for {hw}|sf OPTIMIZES ko; sf TARGETS hw
{we} optimised {ko} with {ot}|ot OPTIMIZES ko
{ot} eliminates {mp}|ot ELIMINATES mp
{al} eliminates {co}|al ELIMINATES co
{ot} removes {co}|ot ELIMINATES co
{ot} could improve {pm}|ot COULD_IMPROVE pm
{gf} might improve {ko}|gf COULD_IMPROVE ko
{al} may help {pm} on {hw}|al COULD_IMPROVE pm
{sf} was ported to {hw}|sf PORTS_TO hw
{ko} has been ported to {sf}|ko PORTS_TO sf
{I}'m porting {sf} to {hw}|sf PORTS_TO hw
{p} ported {ko} to {hw}|ko PORTS_TO hw
{sf} runs on {hw}|sf TARGETS hw
{p} works on {al}|
{p} is reading {rp}|
the {pm} of {ma} on {hw} is {q}|
{ds} holds the {mp}|
"""

# Mentions, but nothing is claimed.
OPEN = """
where does {p} live?|
does {p} work at {o}?|
do {you} know {p}?|
who is {p}?|
what do {you} know about {p}?|
where is {o}?|
when is {e}?|
where do {I} work?|
where do {I} live?|
what is {my} name?|
is {l} far from {l2}?|
how do I install {sf}?|
what is {al}?|
can {you} explain {ot}?|
does {hw} support {gf}?|
have {you} read {w}?|
tell me about {l}|
what was the {pm} of {ma}?|
should I buy a {r} or a {r2}?|
what did {p} say about {p2}?|
I wonder whether {p} likes {t}|
maybe {p} could ask {p2}|
let's call {p} on {d}|
remind me on {d}|
the meeting with {p} is on {d}|
{p} was late again|
{p} said hello|
thanks {p}, that helped|
good morning {p}|
{p} sent me {q} of photos|
{o} is in the news again|
I read about {l} today|
it was cold in {l}|
{w} was too long|
{e} was fun|
"""

# Nothing in it.
TALK = """
how are {you}?|
thanks a lot|
that sounds good|
I see|
ok, let me think|
what can {you} do?|
it rained all morning|
the train was late again|
I had a long day|
I forgot {my} umbrella|
please be brief|
can {you} help me with this?|
that is not what {I} meant|
sorry, {I} was wrong|
let's go on|
write a short poem about the sea|
what time is it?|
the tests are green again|
I cleaned the kitchen and went to bed|
nothing new here|
it took longer than expected|
this is a difficult question|
the coffee was too strong|
see {you} tomorrow|
I don't know what to do|
we talked for hours|
the meeting was boring|
sum up what we said|
good night|
got it|
noted|
that is great to hear|
could {you} say that again?|
"""

BEFORE = (
    "by the way, ", "also, ", "actually, ", "remember: ", "just so you know, ", "oh, ", "well, ",
    "note that ", "please remember that ", "so ", "and ", "hi, ", "hello! ", "ok, ",
    "I think ", "I heard that ", "you know, ", "btw ", "correction: ", "no, ", "fun fact: ",
)  # fmt: skip
AFTER = (
    " these days", " now", ", I think", ", you know", " again", " as far as I know", " by the way",
    " at the moment", " for some time", ", which is nice", " and that's fine", " since last year",
    ", finally", " haha", " :)", ", believe it or not",
)  # fmt: skip


def parse(block: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(text, [(head slot, relation, tail slot)]) of each line."""
    out = []
    for line in block.strip().splitlines():
        text, _, relations = line.partition("|")
        triples = [tuple(r.split()) for r in relations.split(";") if r.strip()]
        out.append((text, triples))
    return out  # type: ignore[return-value]


# More of the same, as people put it in passing; and of sentences that claim nothing.
MORE = """
where does {p} work? at {o}|p WORKS_AT o
who employs {p}? {o} does|p WORKS_AT o
which city does {p} live in? {l}|p LIVES_IN l
where does {p} come from? from {l}|p LIVES_IN l
what does {p} like? {t}|p LIKES t
what does {p} hate most? {t}|p DISLIKES t
who is {p} married to? {p2}|p RELATED_TO p2
who is the boss of {p}? {p2}|p KNOWS p2
when was {p} born? on {d}|p BORN_ON d
when is the birthday of {p}? {d}|p BORN_ON d
who made {w}? {p} did|p CREATED w
who started {o}? that was {p}|p CREATED o
where is {o}? it's in {l}|o LOCATED_IN l
where will {e} be? in {l}|e LOCATED_IN l
when will {e} be? {d}|e HAPPENED_ON d
what car does {p} have? a {r}|p OWNS r
what does {p} study? {t}|p STUDIES t
things {I} like: {t}, {t2} and {t3}|I LIKES t; I LIKES t2; I LIKES t3
things {p} likes: {t}, {t2}, {w}|p LIKES t; p LIKES t2; p LIKES w
{p}: {t} yes, {t2} no|p LIKES t; p DISLIKES t2
about me: {I}'m {p}, from {l}, working at {o}|I LIVES_IN l; I WORKS_AT o
name: {p}, employer: {o}, city: {l}|p WORKS_AT o; p LIVES_IN l
{p} ({o}) and {p2} ({o2}) were there|p WORKS_AT o; p2 WORKS_AT o2
{p}, {o}, will give the talk|p WORKS_AT o
{p} of {o} gave the speech|p WORKS_AT o
{p} works at {o}, {p2} at {o2}|p WORKS_AT o; p2 WORKS_AT o2
{p} lives in {l}, {p2} in {l2}|p LIVES_IN l; p2 LIVES_IN l2
{p} likes {t}, {p2} prefers {t2}|p LIKES t; p2 LIKES t2
{I} love {t} but {p} can't stand it|I LIKES t; p DISLIKES t
both {p} and {p2} work at {o}|p WORKS_AT o; p2 WORKS_AT o
neither {p} nor {p2} likes {t}|p DISLIKES t; p2 DISLIKES t
{p} and {I} are cousins|I RELATED_TO p
{p} and {I} went to school together|I KNOWS p
{I} share a flat with {p} in {l}|I KNOWS p; I LIVES_IN l
{my} friend {p}, who lives in {l}, visited us|my KNOWS p; p LIVES_IN l
{my} sister {p} moved to {l} and works for {o} now|my RELATED_TO p; p LIVES_IN l; p WORKS_AT o
{p} quit {o} and joined {o2}|p WORKS_AT o2
{p} moved from {l} to {l2} in {d}|p LIVES_IN l2
from {d} on {I} will be at {o}|I WORKS_AT o
since {d} {p} has been with {o}|p WORKS_AT o
in {d} {p} moved to {l}|p LIVES_IN l
at {o} {p} leads the design team|p WORKS_AT o
{o}'s office in {l} is closed|o LOCATED_IN l
{o}, a company from {l}, hired {p}|o LOCATED_IN l; p WORKS_AT o
{o} from {l} makes {r}|o LOCATED_IN l; o CREATED r
{r} by {o} costs {q}|o CREATED r
{w}, a film by {p}, won the {m}|p CREATED w
{p}'s book {w} came out in {d}|p CREATED w; w HAPPENED_ON d
{p}, author of {w}, will be in {l}|p CREATED w
{e} in {l} is on {d}|e LOCATED_IN l; e HAPPENED_ON d
{e} will be in {l} from {d} to {d2}|e LOCATED_IN l; e HAPPENED_ON d
on {d} there is {e}|e HAPPENED_ON d
we meet for {e} at {l}|e LOCATED_IN l
{p} comes along to {e}|p PLANS e
tickets for {e} in {l}: {I} will go|I PLANS e; e LOCATED_IN l
{p} got {q} from {o} for {r}|
{p} gave {p2} a {r}|p2 OWNS r
{p} sold the {r} to {p2}|p2 OWNS r
{p} borrowed {my} {r}|my OWNS r
{I} write for {o} and sing in {o2}|I WORKS_AT o; I MEMBER_OF o2
{p}, member of {o}, lives in {l}|p MEMBER_OF o; p LIVES_IN l
{p} prefers {sf} over {sf2}|p USES sf
{I} moved from {sf} to {sf2}|I USES sf2
{p} wrote {sf} in {sf2}|p CREATED sf; sf USES sf2
{sf} is written in {sf2}|sf USES sf2
{sf} with {ot} on {hw} gives {q}|
on {hw} we get {q} {pm}|
{ot} and {ot2} both reduce {pm}|ot REDUCES pm; ot2 REDUCES pm
{ot} improves {pm} and reduces {mp}|ot IMPROVES pm; ot REDUCES mp
{ot} improves {pm}, but {co} limits it|ot IMPROVES pm; co LIMITS pm
unlike {ot}, {ot2} removes {mp}|ot2 ELIMINATES mp
{rp} introduces {al}, which builds on {al2}|rp INTRODUCES al; al BUILDS_ON al2
{al}, introduced in {rp}, lowers {pm}|rp INTRODUCES al; al REDUCES pm
{sf} implements {al} and runs on {hw}|sf IMPLEMENTS al; sf TARGETS hw
{ma} needs {hw}, since {co} limits {pm}|ma REQUIRES hw; co LIMITS pm
{hw} has {gf}, so {ot} is possible|gf IS_FEATURE_OF hw; gf ENABLES ot
{gf} ({hw}) enables {ot}|gf IS_FEATURE_OF hw; gf ENABLES ot
{ko} in {sf} uses {ds}|ko IS_PART_OF sf; ko USES ds
"""

MORE_OPEN = """
what is the capital of {l}?|
which is better, {sf} or {sf2}?|
compare {ma} and {ma2}|
compare {hw} with {hw2} please|
how fast is {ma} on {hw}?|
why is {pm} so low?|
what limits {pm} on {hw}?|
explain {al} in simple words|
what is the difference between {ot} and {ot2}?|
how does {ko} work?|
where can I read {rp}?|
is there a better {ds}?|
can we get rid of {mp}?|
is {co} a problem?|
who wrote {w}?|
who won {e}?|
when was {o} founded?|
how much is a {r}?|
can I pay with {m}?|
translate this into {m}|
should we invite {p}?|
have {you} met {p}?|
what would {p} say?|
is {p} in {l} or in {l2}?|
let's talk about {t}|
any news from {p}?|
any news about {o}?|
ask {p} about {e}|
write to {p} about {r}|
call {o} on {d}|
send {q} to {p}|
book a table for {q} on {d}|
set an alarm for {d}|
wake me at {d}|
what happened in {d}?|
what happened in {l}?|
is it warm in {l} in {d}?|
{p} is asleep|
{p} and {p2} were late|
{p} needs {q} more|
{p} asked for {q}|
{p} mentioned {l} and {o}|
we talked about {o} and {l}|
{p} was on the phone when {p2} came in|
between {l} and {l2} it is {q}|
{o} shares fell by {q}|
{o} cut {q} of its jobs|
the train to {l} leaves at {d}|
it is {q} to {l}|
{w} is {q} long|
{e} was cancelled|
{e} cost {q}|
the {r} weighs {q}|
{r} or {r2}, that is the question|
{hw} costs {q}|
{ma} has {q}|
the log says {q} for {pm}|
{pm} was {q} before and is {q2} now|
we saw {mp} in the profile|
{ko} takes {q}|
run {ko} again on {hw}|
try {ot} with {ma}|
look at {ds} in the debugger|
read {rp} until {d}|
install {sf} first|
{sf} crashed again on {hw}|
{co} again|
add {al} to the list|
congratulations to {p}|
best wishes from {l}|
the weather in {l} is nice|
"""
NOUNS = """table chair door window key bottle box bag list letter mail file folder page line word idea problem question answer reason
plan step part side end start list number name price bill order job task team group house room street road bridge tree flower cat dog
bird horse car bus train plane boat bike shirt shoe coat hat glass cup plate knife spoon cake apple sandwich soup dinner lunch breakfast
book story poem song picture photo movie game phone computer screen keyboard button menu test error bug function class loop test server
message chat model token prompt reply summary report paper draft note sketch design color font image sound voice noise light lamp
meeting call break holiday weekend evening morning child friend neighbour guest doctor teacher driver customer user manager""".split()
ADJECTIVES = """big small new old good bad nice long short red blue green warm cold quick slow easy hard clean dirty full empty open
closed loud quiet strange funny boring heavy light cheap expensive simple broken wrong right other first last next same second""".split()
VERBS = """open close read write move check fix change delete add remove print send find lose buy sell clean paint cook eat
explain describe compare sort count test try start stop repeat finish keep save copy rename share show hide use need want see""".split()
SHAPES = """the {n} is {a}|I need a {a} {n}|can you {v} the {n}?|please {v} the {a} {n}|there is a {n} on the {n}|a {n} is not a {n}|
I want to {v} a {n}|could you {v} this {n} for me?|how do I {v} a {n}?|what is a {n}?|the {a} {n} was on the {n}|we should {v} the {n}|
it was a {a} {n}|that {n} looks {a}|the {n} and the {n} are {a}|don't {v} the {n}|why is the {n} so {a}?|my {n} is {a}|your {n} is {a}|
let's {v} the {n} together|I had to {v} the {n} twice|a {a} {n} would be better|is the {n} {a} enough?|I can't {v} it without a {n}|
write me a {a} {n}|give me a {n} about a {a} {n}|the {n} of the {n} is {a}|every {n} needs a {n}|some {n}s are {a}|I bought a {n}|
I saw a {a} {n} today|they want a {n}|put the {n} next to the {n}|first {v} the {n}, then {v} the {n}|it is {a}|this is a {n}"""


def plain(r) -> str:  # type: ignore[no-untyped-def]
    """A sentence of common words, none of which is a name."""
    text = r.choice(SHAPES.replace("\n", "").split("|"))
    for mark, words in (("{n}", NOUNS), ("{a}", ADJECTIVES), ("{v}", VERBS)):
        while mark in text:
            text = text.replace(mark, r.choice(words), 1)
    return text
