"""How each kind of fact is told, asked and answered: about people and things."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Sentences of one kind of fact; {v} is the value, {s} the subject, {a} an animal."""

    key: str
    value: str  # a method of Pool, or a word list there
    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: str

    def unknown(self) -> str:
        """The answer when it was never told.

        It starts as a real answer does, so that whether the fact is known need only be decided where the
        value stands: with "I don't know" as the first words a small model mixes the two up.
        """
        what = (
            "a name"
            if self.key == "name" or "called" in self.answer
            else UNKNOWN.get(self.value, "something")
        )
        start = self.answer.split("{v}")[0].removesuffix(" a ").removesuffix(" the ").rstrip()
        return f"{start} {what} {NEVER}."


NEVER = "you haven't told me yet"
UNKNOWN = {
    "person": "someone",
    "full_name": "someone",
    "org": "a place",
    "city": "a place",
    "date": "a date",
    "number": "a number",
    "age": "a number",
}


def _f(key: str, value: str, tell: str, ask: str, answer: str) -> Form:
    return Form(key, value, tuple(tell.split("|")), tuple(ask.split("|")), answer)


ME = [
    _f(
        "name",
        "full_name",
        "I'm {v}|my name is {v}|I am {v}|this is {v}|call me {v}|you can call me {v}|"
        "my name's {v}|{v} here|I'm called {v}",
        "what's my name?|what is my name?|who am I?|do you remember my name?|"
        "what am I called?|do you know my name?|what did I say my name was?|"
        "who are you talking to?",
        "Your name is {v}.",
    ),
    _f(
        "work",
        "org",
        "I work at {v}|I'm working for {v}|I have a job at {v}|my employer is {v}|"
        "I just started at {v}|I work for {v}|I am working at {v}|my job is at {v}",
        "where do I work?|who do I work for?|what's my employer?|where did I say I work?|"
        "which company do I work for?|what is the name of my company?|where is my job?|"
        "what's my job place?|what company do I work at?|who is my employer?|"
        "where am I working?",
        "You work at {v}.",
    ),
    _f(
        "home",
        "city",
        "I live in {v}|my home is in {v}|I'm based in {v}|I moved to {v}|I come from {v}|"
        "I am from {v}|I'm from {v}|I live near {v}",
        "where do I live?|what city do I live in?|where is my home?|which town am I in?|"
        "where am I based?|where did I say I live?|where am I from?|which city am I from?|"
        "where do I come from?",
        "You live in {v}.",
    ),
    _f(
        "colour",
        "colour",
        "my favourite colour is {v}|I love the colour {v}|the colour I like best is {v}|"
        "my favorite color is {v}",
        "what's my favourite colour?|which colour do I like?|what is my favorite color?|"
        "which color do I like best?",
        "Your favourite colour is {v}.",
    ),
    _f(
        "food",
        "food",
        "I like {v}|my favourite food is {v}|I love eating {v}|I could eat {v} every day|"
        "I love {v}",
        "what food do I like?|what's my favourite food?|what do I like to eat?|"
        "what is my favorite food?",
        "You like {v}.",
    ),
    _f(
        "hobby",
        "hobby",
        "my hobby is {v}|I enjoy {v}|in my free time I do {v}",
        "what is my hobby?|what do I enjoy?|what do I do in my free time?|what's my hobby?",
        "Your hobby is {v}.",
    ),
    _f(
        "pet",
        "person",
        "my {a} is called {v}|I have a {a} named {v}|I own a {a}, its name is {v}|"
        "my {a}'s name is {v}|I have a {a} called {v}",
        "what is my {a} called?|what's my {a}'s name?|what is the name of my {a}?|"
        "what is my {a}'s name?",
        "Your {a} is called {v}.",
    ),
    _f(
        "birthday",
        "date",
        "my birthday is {v}|I was born on {v}|my birthday is on {v}",
        "when is my birthday?|when was I born?|what date is my birthday?",
        "Your birthday is {v}.",
    ),
    _f(
        "locker code",
        "number",
        "my locker code is {v}",
        "what is my locker code?|what's my locker code?",
        "Your locker code is {v}.",
    ),
    _f(
        "office number",
        "number",
        "my office number is {v}",
        "what is my office number?|what's my office number?",
        "Your office number is {v}.",
    ),
    _f(
        "door code",
        "number",
        "my door code is {v}",
        "what is my door code?|what's my door code?",
        "Your door code is {v}.",
    ),
    _f(
        "password",
        "code",
        "my password is {v}|my wifi password is {v}",
        "what is my password?|what's my password?",
        "Your password is {v}.",
    ),
    _f(
        "project",
        "project",
        "I'm working on project {v}|my project is called {v}|I lead a project named {v}",
        "what's my project called?|which project am I working on?|"
        "what is the name of my project?|what is my project?",
        "Your project is {v}.",
    ),
    _f(
        "boss",
        "full_name",
        "my boss is {v}|my manager is {v}|I report to {v}|{v} is my boss|my boss is called {v}",
        "who is my boss?|who is my manager?|who do I report to?|what's my boss's name?",
        "Your boss is {v}.",
    ),
    _f(
        "friend",
        "full_name",
        "my best friend is {v}|my closest friend is {v}|{v} is my best friend",
        "who is my best friend?|what is my friend's name?",
        "Your best friend is {v}.",
    ),
    _f(
        "sister",
        "person",
        "my sister is called {v}|my sister's name is {v}|my sister is {v}|{v} is my sister",
        "what is my sister called?|what's my sister's name?",
        "Your sister is called {v}.",
    ),
    _f(
        "brother",
        "person",
        "my brother is called {v}|my brother's name is {v}|my brother is {v}|{v} is my brother",
        "what is my brother called?|what's my brother's name?",
        "Your brother is called {v}.",
    ),
    _f(
        "machine",
        "machine",
        "I bought a {v}|I own a {v}",
        "what did I buy?|what machine do I own?",
        "You own a {v}.",
    ),
    _f(
        "lang",
        "lang",
        "I write {v}|my programming language is {v}|I code in {v}|I program in {v}",
        "which programming language do I use?|what do I code in?|what language do I program in?",
        "You use {v}.",
    ),
    _f(
        "age",
        "age",
        "I am {v} years old|I'm {v} years old",
        "how old am I?|what is my age?",
        "Your age is {v}.",
    ),
]
RELATIVES = """wife husband mother father son daughter cousin uncle aunt neighbour doctor teacher
roommate partner colleague landlord dentist trainer grandmother grandfather""".split()
FAVOURITES = {  # what: where its values come from
    "drink": "drink",
    "sport": "sport",
    "season": "season",
    "animal": "beast",
    "book": "title",
    "film": "title",
    "song": "title",
    "band": "title",
    "game": "title",
    "city": "city",
    "number": "number",
    "restaurant": "org",
}
NUMBERS = ("phone number", "seat number", "house number", "customer number", "badge number")
DATES = ("flight", "exam", "interview", "wedding", "holiday", "dentist appointment", "deadline")
# What may follow a told fact without being part of its value.
TAILS = {
    "work": " since last year| and I like it there| as you know| these days| now",
    "home": " with my family| now| these days| since the summer|, it is lovely there",
    "birthday": ", by the way",
    "boss": " and that is hard sometimes|, who is never on time",
    "": ", by the way|, in case you need it| if I remember right|, just so you know| as far as I know",
}
OURS = {"home", "boss", "pet", "project", "doctor", "landlord", "neighbour", "teacher", "holiday",
        "house number", "wedding", "trip"}  # fmt: skip
# Told in passing: key and sentences around the value.
PASSING = {
    "boss": "my boss {v} is annoying|my boss {v} is nice|my boss {v} called me today",
    "sister": "my sister {v} came to visit|my sister {v} is funny",
    "brother": "my brother {v} came to visit|my brother {v} is loud",
    "friend": "my best friend {v} is great",
    "wife": "my wife {v} says hello",
    "husband": "my husband {v} says hello",
    "colleague": "my colleague {v} is on holiday",
    "neighbour": "my neighbour {v} has a new car",
    "pet": "my {a} {v} is asleep|my {a} {v} wants to go out",
    "project": "my project {v} is going well",
}
# About oneself: key, value, told, asked, answered; the same about others with {s}.
BOTH = (
    (
        "job",
        "job",
        "{I} work{x} as a {v}|{I} {am} a {v}",
        "what is {my} job?|what {do} {I} do for a living?",
        "{Your} job is {v}.",
    ),
    (
        "car",
        "brand",
        "{I} drive{x} a {v}|{my} car is a {v}",
        "what car {do} {I} drive?|which car {do} {I} have?",
        "{Your} car is a {v}.",
    ),
    (
        "allergy",
        "food",
        "{I} {am} allergic to {v}|{my} allergy is {v}",
        "what {am} {I} allergic to?|which allergy {do} {I} have?",
        "{Your} allergy is {v}.",
    ),
    (
        "subject",
        "subject",
        "{I} studied {v}|{my} degree is in {v}|{I} {am} a student of {v}",
        "what did {I} study?|what subject did {I} study?",
        "{Your} subject is {v}.",
    ),
    (
        "birthplace",
        "city",
        "{I} {was} born in {v}|{my} birthplace is {v}",
        "where {was} {I} born?|what is {my} birthplace?|in which city {was} {I} born?",
        "{Your} birthplace is {v}.",
    ),
    (
        "trip",
        "city",
        "{I} {am} flying to {v}|{my} next trip is to {v}|{I} will travel to {v}",
        "where {am} {I} flying to?|where is {my} next trip to?|where {am} {I} travelling to?",
        "{Your} next trip is to {v}.",
    ),
    (
        "instrument",
        "instrument",
        "{I} play{x} the {v}|{my} instrument is the {v}",
        "which instrument {do} {I} play?|what is {my} instrument?",
        "{Your} instrument is the {v}.",
    ),
)
SELF = {"I": "I", "my": "my", "am": "am", "was": "was", "do": "do", "x": "", "Your": "Your"}
SOMEBODY = {
    "I": "{s}",
    "my": "{s}'s",
    "am": "is",
    "was": "was",
    "do": "does",
    "x": "s",
    "Your": "{s}'s",
}


def _both(who: dict[str, str]) -> list[Form]:
    keep = {"v": "{v}", "s": "{s}"}
    return [
        _f(key, value, *(text.format(**who, **keep) for text in (tell, ask, answer)))
        for key, value, tell, ask, answer in BOTH
    ]


ME += _both(SELF)
ME += [
    _f(
        who,
        "full_name",
        f"my {who} is {{v}}|my {who} is called {{v}}|my {who}'s name is {{v}}|{{v}} is my {who}",
        f"who is my {who}?|what is my {who} called?|what's my {who}'s name?",
        f"Your {who} is {{v}}.",
    )
    for who in RELATIVES
]
ME += [
    _f(
        f"favourite {what}",
        value,
        f"my favourite {what} is {{v}}|my favorite {what} is {{v}}|the {what} I like best is {{v}}",
        f"what's my favourite {what}?|what is my favorite {what}?|which {what} do I like best?",
        f"Your favourite {what} is {{v}}.",
    )
    for what, value in FAVOURITES.items()
]
ME += [
    _f(
        what,
        "number",
        f"my {what} is {{v}}",
        f"what is my {what}?|what's my {what}?",
        f"Your {what} is {{v}}.",
    )
    for what in NUMBERS
]
ME += [
    _f(
        what,
        "date",
        f"my {what} is on {{v}}",
        f"when is my {what}?|what date is my {what}?",
        f"Your {what} is on {{v}}.",
    )
    for what in DATES
]
OTHER = [
    _f(
        "work",
        "org",
        "{s} works at {v}|{s} has a job at {v}|{s} is employed by {v}|{s} works for {v}",
        "where does {s} work?|who does {s} work for?|which company employs {s}?|"
        "what is {s}'s employer?",
        "{s} works at {v}.",
    ),
    _f(
        "home",
        "city",
        "{s} lives in {v}|{s} moved to {v}|{s}'s home is in {v}|{s} is from {v}",
        "where does {s} live?|what city does {s} live in?|which city does {s} live in?|"
        "where is {s}'s home?|where is {s} from?",
        "{s} lives in {v}.",
    ),
    _f(
        "colour",
        "colour",
        "{s}'s favourite colour is {v}|{s} loves the colour {v}",
        "what is {s}'s favourite colour?|which colour does {s} like?",
        "{s}'s favourite colour is {v}.",
    ),
    _f(
        "food",
        "food",
        "{s} likes {v}|{s}'s favourite food is {v}|{s} loves eating {v}",
        "what food does {s} like?|what is {s}'s favourite food?|what does {s} like to eat?",
        "{s} likes {v}.",
    ),
    _f(
        "hobby",
        "hobby",
        "{s}'s hobby is {v}|{s} enjoys {v}",
        "what is {s}'s hobby?|what does {s} enjoy?",
        "{s}'s hobby is {v}.",
    ),
    _f(
        "pet",
        "person",
        "{s}'s {a} is called {v}|{s} has a {a} named {v}",
        "what is {s}'s {a} called?|what's the name of {s}'s {a}?",
        "{s}'s {a} is called {v}.",
    ),
    _f(
        "birthday",
        "date",
        "{s}'s birthday is {v}|{s} was born on {v}",
        "when is {s}'s birthday?|when was {s} born?",
        "{s}'s birthday is {v}.",
    ),
    _f(
        "room",
        "number",
        "{s}'s office number is {v}|{s} sits in room {v}",
        "what is {s}'s office number?|which room does {s} sit in?|what is {s}'s room?",
        "{s}'s room is {v}.",
    ),
    _f(
        "project",
        "project",
        "{s} works on project {v}|{s}'s project is called {v}",
        "which project does {s} work on?|what is {s}'s project?",
        "{s}'s project is {v}.",
    ),
    _f(
        "boss",
        "full_name",
        "{s}'s boss is {v}|{s} reports to {v}",
        "who is {s}'s boss?|who does {s} report to?",
        "{s}'s boss is {v}.",
    ),
    _f(
        "machine",
        "machine",
        "{s} owns a {v}|{s} bought a {v}",
        "what machine does {s} own?|what did {s} buy?",
        "{s} owns a {v}.",
    ),
    _f(
        "lang",
        "lang",
        "{s} codes in {v}|{s} writes {v}",
        "which programming language does {s} use?|what does {s} code in?",
        "{s} uses {v}.",
    ),
]
OTHER += _both(SOMEBODY)
OTHER += [
    _f(
        "age",
        "age",
        "{s} is {v} years old|{s}'s age is {v}",
        "how old is {s}?|what is {s}'s age?",
        "{s}'s age is {v}.",
    )
]
OTHER += [
    _f(
        who,
        "full_name",
        f"{{s}}'s {who} is {{v}}|{{s}}'s {who} is called {{v}}|{{v}} is {{s}}'s {who}",
        f"who is {{s}}'s {who}?|what is {{s}}'s {who} called?",
        f"{{s}}'s {who} is {{v}}.",
    )
    for who in ("wife", "husband", "sister", "brother", "doctor", "neighbour", "colleague")
]
SERVER = [
    _f(
        "memory",
        "number",
        "server {s} has {v} gigabytes of memory|the memory of server {s} is {v} gigabytes",
        "how much memory does server {s} have?|what is the memory of server {s}?",
        "The memory of server {s} is {v} gigabytes.",
    ),
    _f(
        "stand",
        "city",
        "server {s} stands in {v}|server {s} is located in {v}|server {s} runs in {v}",
        "where does server {s} stand?|where is server {s} located?|"
        "where does server {s} run?|where is server {s}?",
        "Server {s} stands in {v}.",
    ),
    _f(
        "admin",
        "full_name",
        "server {s} is looked after by {v}|the admin of server {s} is {v}",
        "who looks after server {s}?|who is the admin of server {s}?",
        "Server {s} is looked after by {v}.",
    ),
    _f(
        "password",
        "code",
        "the password of server {s} is {v}|server {s} has the password {v}",
        "what is the password of server {s}?|what's the password of server {s}?",
        "The password of server {s} is {v}.",
    ),
]
COMPANY = [
    _f(
        "seat",
        "city",
        "{s} is based in {v}|{s} has its main office in {v}|the office of {s} is in {v}",
        "where is {s} based?|where is the office of {s}?|in which city is {s}?",
        "{s} is based in {v}.",
    ),
    _f(
        "head",
        "full_name",
        "{s} is run by {v}|the head of {s} is {v}|the boss of {s} is {v}|{v} runs {s}",
        "who runs {s}?|who is the head of {s}?|who is the boss of {s}?",
        "{s} is run by {v}.",
    ),
    _f(
        "staff",
        "number",
        "{s} has {v} employees|{v} people work at {s}",
        "how many employees does {s} have?|how many people work at {s}?",
        "The number of employees of {s} is {v}.",
    ),
]
PROJECT = [
    _f(
        "deadline",
        "date",
        "the deadline of project {s} is {v}|project {s} is due on {v}|project {s} ends on {v}",
        "when is the deadline of project {s}?|when is project {s} due?|when does project {s} end?",
        "Project {s} is due on {v}.",
    ),
    _f(
        "budget",
        "number",
        "the budget of project {s} is {v} dollars|project {s} has a budget of {v} dollars",
        "what is the budget of project {s}?|how much money does project {s} have?",
        "The budget of project {s} is {v} dollars.",
    ),
    _f(
        "lead",
        "full_name",
        "project {s} is led by {v}|the lead of project {s} is {v}|{v} leads project {s}|{v} is the lead of project {s}",
        "who leads project {s}?|who is the lead of project {s}?",
        "Project {s} is led by {v}.",
    ),
    _f(
        "place",
        "city",
        "project {s} is based in {v}|the team of project {s} sits in {v}",
        "where is project {s} based?|where does the team of project {s} sit?",
        "Project {s} is based in {v}.",
    ),
]
LISTS = [
    ("shopping list", "goods"),
    ("packing list", "machine"),
    ("list of hobbies", "hobby"),
    ("menu", "food"),
    ("kids", "person"),
    ("colleagues", "person"),
]
GROUPS = {
    name: _f(
        name,
        "",
        f"my {name} are called {{v}}|I have {{{{n}}}} {name}, {{v}}|my {name} are {{v}}|"
        f"I have {{{{n}}}} {name} called {{v}}",
        f"what are my {name} called?|what are the names of my {name}?|who are my {name}?",
        f"Your {name} are called {{v}}.",
    )
    for name, words in LISTS
    if words == "person"
}
