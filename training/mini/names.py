"""Names and values of the two splits; a held-out one can never come out of the training side."""

from __future__ import annotations

import random
import re

# A held-out word is built only of held-out onsets; `HELD_WORD` keeps such words out of training.
TRAIN_ONSET = """b br c ch d dr f g gr h j k kl l m n p pr r s sh st t tr v w z""".split()
HELD_ONSET = """bl cr fl gl kr pl sk sl sn sp th tw vr qu""".split()
NUCLEUS = """a e i o u ai ea ia io oa ou ei""".split()
CODA = ["", "", "", "n", "r", "l", "s", "m", "x", "nd", "th", "k"]
HELD_WORD = re.compile(rf"(?:(?:{'|'.join(HELD_ONSET)})[aeiou]{{1,2}})+(?:n|r|l|s|m|x|nd|th|k)?")

PEOPLE = """Ada Grace Alan Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Klara Leo Maria
Nina Oscar Paul Rosa Sam Tom Uma Vera Walter Yara Zoe Alice Bob Carol Dan Erik Fatima George
Hannah Ivan Julia Karl Laura Max Nora Otto Peter Rita Sara Tim Victor Wendy Linda Marco Sofia
Kim Lee Chen Priya Ravi Amir Leila John Mary James Lucy Mike Jane Susan Robert Linus Ken Dennis
Barbara Margaret Hedy Michael Chris Alex Andrew Daniel Matthew Joseph Thomas William Richard
Mark Steven Kevin Brian Jason Ryan Jacob Nicholas Eric Jonathan Stephen Larry Justin Scott
Brandon Benjamin Samuel Frank Gregory Raymond Patrick Jack Jerry Tyler Aaron Jose Adam Nathan
Henry Zachary Jeremy Ethan Noah Liam Lucas Mason Logan Elijah Oliver Aiden Sebastian Gabriel
Mateo Patricia Jennifer Elizabeth Jessica Sarah Karen Lisa Nancy Betty Sandra Ashley Emily
Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Sharon Cynthia Kathleen Amy
Angela Shirley Brenda Pamela Nicole Samantha Katherine Christine Helen Debra Rachel Carolyn
Janet Olivia Isabella Ava Mia Charlotte Amelia Evelyn Ahmed Mohammed Ali Omar Hassan Aisha
Yusuf Wei Ming Hiroshi Yuki Kenji Sakura Arjun Deepa Anil Lakshmi Kofi Kwame Ngozi Chidi Pedro
Carlos Juan Luis Ana Lucia Diego Pablo Ingrid Lars Astrid Freya Bjorn Sven Dmitri Olga Natasha
Boris Jean Pierre Marie Luc Camille Giulia Paolo Luca Chiara Jan Piotr Zofia Eva""".split()
HELD_PEOPLE = """Beatrix Cornelius Dashiell Eleanor Fergus Gwendolyn Horatio Imogen Jasper
Katarina Lysander Mirabel Nikolai Ophelia Percival Quentin Rosalind Thaddeus Ursula Valentin
Winifred Xavier Yolanda Zelda Agnieszka Bartholomew Clementine Desmond Esmeralda Florian
Giselle Heinrich Isolde Joaquin Kenneth Lorenzo Magdalena Nathaniel Octavia Penelope""".split()
CITIES = """Paris London Berlin Oslo Bergen Rome Madrid Vienna Prague Lisbon Dublin Tokyo Kyoto
Boston Austin Denver Seattle Chicago Toronto Sydney Delhi Mumbai Cairo Nairobi Lima Bogota
Zurich Geneva Milan Munich Hamburg Cologne Lyon Nice Porto Athens Warsaw Helsinki Stockholm
Copenhagen Amsterdam Brussels Barcelona Venice Naples Florence Budapest Istanbul Moscow
Singapore Bangkok Seoul Osaka Beijing Shanghai Melbourne Dallas Houston Miami Atlanta Portland
Phoenix Detroit Montreal Vancouver Ottawa Bristol Leeds Manchester Edinburgh Glasgow Cambridge
Oxford Frankfurt Stuttgart Dresden Leipzig Bonn Basel Bern Salzburg Graz Krakow Riga Vilnius
Tallinn Sofia Lagos Accra Tunis Casablanca Santiago Quito Havana Jakarta Manila Hanoi Taipei""".split()
HELD_CITIES = """Reykjavik Ljubljana Marseille Gothenburg Trondheim Valencia Seville Bologna
Antwerp Rotterdam Philadelphia Baltimore Minneapolis Sacramento Adelaide Wellington
Johannesburg Montevideo Caracas Kathmandu Tashkent Yerevan Bratislava Sarajevo Aberdeen
Sheffield Nuremberg Innsbruck Thessaloniki Monterrey""".split()
ORGS = """Halo Acme Globex Initech Umbra Stark Orion Vertex Nimbus Delta North Blue Green
Bright River Stone Alpha Nova Solar Lunar Summit Harbor Pioneer Atlas Apex Cedar Maple Silver
Golden Rocket Cloud Ocean Forest Red Iron""".split()
HELD_ORGS = """Quasar Zephyr Meridian Obsidian Juniper Labyrinth Monolith Tundra Velvet Cascade
Horizon Ember""".split()
BRANDS = """Google Microsoft Apple Amazon Siemens Bosch Nokia Sony Samsung Toyota Ikea Lego
Nestle Shell Airbus Boeing Intel Nvidia Oracle Spotify Netflix Adobe Philips Ericsson Volvo""".split()
SURNAMES = """Smith Jones Taylor Brown Wilson Miller Davis Garcia Martinez Anderson Thomas
Moore Martin Thompson White Clark Lewis Walker Hall Young King Wright Scott Hill Adams Baker
Nelson Carter Mitchell Turner Parker Collins Cook Rogers Morgan Bell Murphy Bailey Cooper Ward
Patel Singh Khan Kumar Schmidt Weber Fischer Meyer Wagner Becker Hansen Larsen Rossi Novak
Lovelace Turing Hopper Curie""".split()
HELD_SURNAMES = """Abernathy Featherstone Kowalczyk Lindqvist Okonkwo Pemberton Yamaguchi
Zimmermann Castellanos Drummond""".split()
ORG_TAIL = """Labs Systems Works Bank Foods Motors Press Energy Clinic School Studios Research
Software Group Robotics""".split()

COLOURS = """red blue green yellow purple orange black white pink brown grey teal gold silver
violet""".split()
FOODS = """pizza sushi pasta curry soup bread cheese apples mangoes rice noodles tacos pancakes
salad chocolate olives dumplings waffles porridge lentils""".split()
ANIMALS = """dog cat rabbit parrot horse hamster turtle goldfish""".split()
HOBBIES = """chess climbing painting running swimming gardening cooking reading sailing
photography cycling knitting dancing fishing hiking""".split()
MACHINES = """server laptop printer robot drone telescope router workstation cluster camera
scanner tractor boat bike van""".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
LANGS = """Rust Python Go Java Swift Haskell Zig Ruby Kotlin Lua""".split()
GOODS = """milk eggs butter flour sugar coffee tea salt pepper onions tomatoes potatoes carrots
bananas oranges honey yoghurt candles soap batteries""".split()
DRINKS = """coffee tea water milk cocoa lemonade beer wine cider juice""".split()
SPORTS = """tennis football rugby hockey golf judo boxing rowing skiing volleyball""".split()
SEASONS = "spring summer autumn winter".split()
BEASTS = """lion tiger wolf owl fox bear whale dolphin eagle penguin otter zebra""".split()
JOBS = """nurse teacher baker carpenter lawyer pilot chef farmer plumber librarian translator
designer programmer physicist gardener journalist""".split()
SUBJECTS = """physics history biology chemistry law medicine economics music geography
philosophy mathematics linguistics""".split()
INSTRUMENTS = "piano guitar violin cello flute trumpet drums harp banjo clarinet".split()
TITLE_WORDS = """silent golden last broken hidden distant winter summer night morning river
mountain garden house road letter stranger king queen shadow light sea storm fire stone""".split()
WHOLE = (PEOPLE, PEOPLE, CITIES, SURNAMES, ORGS, BRANDS, FOODS, HOBBIES, MACHINES, JOBS, MONTHS)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ODD = ["é", "ö", "ü", "ä", "ñ", "ç", "ø", "å", "-", "'", "2", "7"]
CONSONANTS, VOWELS = "bcdfghjklmnpqrstvwxz", "aeiouy"


class Pool:
    """Fresh names and values of one split for one dialogue; no name comes twice."""

    def __init__(self, rng: random.Random, held: bool) -> None:
        self.rng, self.held = rng, held
        self.seen: set[str] = set()

    def word(self, n: int) -> str:
        """An invented word of n syllables from the split's own side."""
        r = self.rng
        if self.held:
            return "".join(r.choice(HELD_ONSET) + r.choice(NUCLEUS) for _ in range(n)) + r.choice(
                CODA
            )
        while True:
            w = self._word(n)
            if not HELD_WORD.fullmatch(w) and w.capitalize() not in HELD_ALL:
                return w

    def _word(self, n: int) -> str:
        """Many ways to make a word: copying must not depend on syllables, and every letter token of
        the tokenizer must come up as part of some name."""
        r = self.rng
        roll = r.random()
        if roll < 0.35:
            return "".join(r.choice(TRAIN_ONSET) + r.choice(NUCLEUS) for _ in range(n)) + r.choice(
                CODA
            )
        if roll < 0.55:  # any onset, after another vowel or coda
            onsets = TRAIN_ONSET + HELD_ONSET
            return "".join(
                r.choice(onsets) + r.choice([*NUCLEUS, "y"]) + r.choice(("", "", *CODA))
                for _ in range(n)
            )
        if roll < 0.8:  # pieces of real words
            return "".join(self._piece() for _ in range(r.choice((2, 2, 3))))[:12]
        if roll < 0.9:
            return "".join(
                r.choice(VOWELS if (i + n) % 2 or r.random() < 0.2 else CONSONANTS)
                for i in range(r.randint(3, 8))
            )
        if roll < 0.97:
            return "".join(r.choice(LETTERS) for _ in range(r.randint(2, 8)))
        w = "".join(r.choice(LETTERS) for _ in range(r.randint(2, 4)))
        return w + r.choice(ODD) + "".join(r.choice(LETTERS) for _ in range(r.randint(1, 3)))

    def _piece(self) -> str:
        w = self.rng.choice(self.rng.choice(WHOLE)).lower()
        n = min(len(w), self.rng.choice((2, 3, 3, 4)))
        at = self.rng.randint(0, len(w) - n)
        return w[at : at + n]

    def fresh(self, make) -> str:
        for _ in range(50):
            s = make()
            if s.lower() not in self.seen:
                break
        self.seen.add(s.lower())
        return s

    def _mix(self, real: list[str], held: list[str], n: int) -> str:
        r = self.rng
        return (
            r.choice(held if self.held else real)
            if r.random() < 0.45
            else self.word(n).capitalize()
        )

    def person(self) -> str:
        return self.fresh(lambda: self._mix(PEOPLE, HELD_PEOPLE, self.rng.choice((1, 2, 2))))

    def city(self) -> str:
        return self.fresh(lambda: self._mix(CITIES, HELD_CITIES, 2))

    def org(self) -> str:
        return self.fresh(self._org)

    def _org(self) -> str:
        r = self.rng
        if r.random() < 0.2:  # one word, no "Labs"
            return self._mix(BRANDS, HELD_ORGS, 2)
        return self._mix(ORGS, HELD_ORGS, r.choice((1, 2))) + " " + r.choice(ORG_TAIL)

    def full_name(self) -> str:
        """A person as a value: now and then with a surname."""
        name = self.person()
        return (
            f"{name} {self._mix(SURNAMES, HELD_SURNAMES, 2)}" if self.rng.random() < 0.15 else name
        )

    def brand(self) -> str:
        return self.fresh(lambda: self._mix(BRANDS, HELD_ORGS, 2))

    def title(self) -> str:
        """A book, film or band: an invented word among common ones."""
        r = self.rng
        name = self.word(2).capitalize()
        common = r.choice(TITLE_WORDS).capitalize()
        form = r.choice(("{n}", "The {c} {n}", "{c} of {n}", "{n} and the {c}", "The {n}"))
        return self.fresh(lambda: form.format(n=name, c=common))

    def code(self) -> str:
        """Letters and digits; the digits keep to the split's side."""
        letters = "".join(
            self.rng.choice("ABCDEFGHJKMNPRSTUVWXZ") for _ in range(self.rng.choice((1, 2)))
        )
        return self.fresh(
            lambda: f"{letters}{self.rng.choice(('', '-'))}{self._split7((10, 9999))}"
        )

    def project(self) -> str:
        return self.fresh(lambda: self.word(2).capitalize())

    def number(self) -> str:
        """Held-out numbers are the multiples of 7; training never shows one as a fact."""
        r = self.rng
        return self.fresh(lambda: self._split7(r.choice(((2, 99), (100, 999), (1000, 9999)))))

    def age(self) -> str:
        return self._split7((5, 95))

    def _split7(self, span: tuple[int, int]) -> str:
        while True:
            n = self.rng.randint(*span)
            if (n % 7 == 0) == self.held:
                return str(n)

    def date(self) -> str:
        """Held-out dates are those whose day and month add up to a multiple of 5."""
        r = self.rng
        while True:
            d, m = r.randint(1, 28), r.randrange(12)
            if ((d + m) % 5 == 0) == self.held:
                day = f"{d} {MONTHS[m]}" if r.random() < 0.85 else f"{MONTHS[m]} {d}"
                return f"{day} {r.randint(1940, 2035)}" if r.random() < 0.1 else day

    def pick(self, words: str) -> str:
        return self.rng.choice(LISTS[words])


HELD_ALL = set(HELD_PEOPLE) | set(HELD_SURNAMES) | set(HELD_CITIES) | set(HELD_ORGS)
LISTS = {
    "colour": COLOURS,
    "food": FOODS,
    "hobby": HOBBIES,
    "machine": MACHINES,
    "lang": LANGS,
    "goods": GOODS,
    "drink": DRINKS,
    "sport": SPORTS,
    "season": SEASONS,
    "beast": BEASTS,
    "job": JOBS,
    "subject": SUBJECTS,
    "instrument": INSTRUMENTS,
}
