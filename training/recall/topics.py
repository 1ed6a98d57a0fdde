"""What two friends talk about: openings, replies, details, and questions with their evidence.

`DEV` topics tune the weights, `HELD_OUT` ones measure them; they share no template. A topic has
`turns` (each a list of wordings; o: its owner says it, f: the friend) and `questions` (wordings and
the indices of the turns that answer). {S} is the owner, {F} the friend; other names are slots.
"""

from __future__ import annotations

from typing import Any

SLOTS: dict[str, list[str]] = {
    "city": "Lisbon Kyoto Edinburgh Prague Oslo Montreal Seville Dublin Vienna Naples Denver Porto "
    "Krakow Bergen Athens Austin Bruges Hanoi Quito Tallinn".split(),
    "food": [
        "mushroom risotto",
        "fish tacos",
        "pumpkin soup",
        "lamb curry",
        "dumplings",
        "paella",
        "lasagna",
        "ramen",
        "falafel wraps",
        "apple pie",
        "sourdough bread",
        "shakshuka",
    ],
    "instrument": "guitar piano violin cello ukulele saxophone drums flute harp trumpet".split(),
    "song": [
        "Moon River",
        "Autumn Leaves",
        "Blackbird",
        "Hallelujah",
        "Clair de Lune",
        "Yesterday",
        "Fly Me to the Moon",
        "Landslide",
        "Summertime",
        "Gymnopédie No. 1",
    ],
    "pet": "Biscuit Luna Pepper Mochi Rusty Olive Ziggy Waffles Cleo Bramble Juno Pickle".split(),
    "animal": ["puppy", "kitten", "rabbit", "parrot", "tortoise", "hamster", "ferret"],
    "sport": "climbing rowing judo fencing badminton surfing archery volleyball tennis".split(),
    "company": [
        "Northwind",
        "Bluebird Labs",
        "Harbor Health",
        "Solstice Energy",
        "Pinecrest Books",
        "Vela Robotics",
        "Maple & Co",
        "Tidewater Press",
        "Orbit Dental",
        "Quarry Studio",
    ],
    "job": [
        "a nurse",
        "an architect",
        "a data analyst",
        "a pastry chef",
        "a translator",
        "a teacher",
        "a game designer",
        "an electrician",
        "a librarian",
        "a vet",
    ],
    "relative": ["sister", "brother", "cousin", "aunt", "uncle", "grandmother", "nephew", "niece"],
    "person": [
        "Priya",
        "Marco",
        "Hannah",
        "Tariq",
        "Sofia",
        "Jonas",
        "Mei",
        "Oscar",
        "Fatima",
        "Leo",
        "Ingrid",
        "Dario",
        "Nadia",
        "Felix",
        "Rosa",
        "Kenji",
        "Amara",
        "Piotr",
    ],
    "book": [
        "Middlemarch",
        "The Left Hand of Darkness",
        "Beloved",
        "Dune",
        "The Overstory",
        "Piranesi",
        "Kindred",
        "The Name of the Rose",
        "Stoner",
        "Educated",
        "Circe",
        "Pachinko",
    ],
    "plant": "tomatoes basil roses lavender chillies sunflowers strawberries orchids".split(),
    "craft": [
        "a quilt",
        "a birdhouse",
        "a ceramic vase",
        "a scarf",
        "a bookshelf",
        "a candle set",
        "a leather wallet",
        "a model ship",
    ],
    "part": ["wrist", "ankle", "knee", "shoulder", "back", "elbow", "toe"],
    "charity": [
        "the food bank",
        "the animal shelter",
        "the homeless shelter",
        "the library fair",
        "the beach clean-up",
        "the youth centre",
        "the hospice",
        "the refugee centre",
    ],
    "film": [
        "Spirited Away",
        "Arrival",
        "Casablanca",
        "Paddington 2",
        "The Godfather",
        "Amelie",
        "Parasite",
        "Coco",
        "Alien",
        "Roma",
    ],
    "course": [
        "photography",
        "Spanish",
        "accounting",
        "pottery",
        "first aid",
        "web design",
        "creative writing",
        "carpentry",
        "sign language",
        "statistics",
    ],
    "car": [
        "a used Volvo",
        "an electric bike",
        "a camper van",
        "a red scooter",
        "a Toyota hybrid",
        "a second-hand Mini",
        "a cargo bike",
    ],
    "fear": ["heights", "spiders", "flying", "deep water", "public speaking", "thunderstorms"],
    "number": "three four five six seven eight nine ten twelve fifteen".split(),
    "colour": "green blue yellow purple orange white grey turquoise".split(),
    "when": [
        "yesterday",
        "last week",
        "last weekend",
        "two days ago",
        "last Friday",
        "on Sunday",
        "last month",
        "this morning",
        "a few days ago",
    ],
    "soon": ["next month", "next week", "in two weeks", "this summer", "next Saturday"],
    "month": "January February March April May June July August September October".split(),
}

DEV: list[dict[str, Any]] = [
    {
        "turns": [
            (
                "o",
                [
                    "I got back from {city} {when}. What a place!",
                    "Guess who spent a few days in {city}? I came home {when}.",
                ],
            ),
            ("f", ["Oh nice, what did you like best?", "Lucky you! What was the highlight?"]),
            (
                "o",
                [
                    "Honestly, the {food} at a tiny restaurant by the harbour. I still dream of it.",
                    "We stumbled on a street stall with {food}, nothing came close to that.",
                ],
            ),
            ("f", ["Now I'm hungry.", "You and your stomach, haha."]),
        ],
        "questions": [
            (["When did {S} travel to {city}?", "When was {S} in {city}?"], [0]),
            (
                [
                    "What dish did {S} enjoy on the trip to {city}?",
                    "What did {S} eat in {city} and loved?",
                ],
                [0, 2],
            ),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "There's a new member of the family: we took in a {animal}!",
                    "Big news, I adopted a {animal} {when}.",
                ],
            ),
            ("f", ["No way! Does it have a name yet?", "Aww! What are you calling it?"]),
            (
                "o",
                [
                    "We settled on {pet}. It took the whole family an evening to agree.",
                    "{pet}! It just fits, you'll see.",
                ],
            ),
        ],
        "questions": [
            (["What is {S}'s {animal} called?", "What name did {S} give the {animal}?"], [2]),
            (["What pet did {S} get?", "Which animal did {S} adopt?"], [0]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I've been practising the {instrument} every evening lately.",
                    "My {instrument} lessons are going so well.",
                ],
            ),
            ("f", ["Which piece are you working on?", "Can you play anything I'd know?"]),
            (
                "o",
                [
                    "I can get through {song} without stopping now.",
                    "Right now it's {song}, slow but steady.",
                ],
            ),
            ("f", ["You have to play it for me some time.", "I'd love to hear that."]),
        ],
        "questions": [
            (["Which instrument does {S} play?", "What instrument is {S} learning?"], [0]),
            (
                [
                    "Which song can {S} play on the {instrument}?",
                    "What piece of music is {S} practising?",
                ],
                [2],
            ),
        ],
    },
    {
        "turns": [
            ("f", ["How's work these days?", "Anything new at the office?"]),
            (
                "o",
                [
                    "I actually handed in my notice. From {soon} on I'll be with {company} as {job}.",
                    "I signed with {company} {when}! They took me on as {job}.",
                ],
            ),
            ("f", ["That's huge, congratulations!", "Wow, you must be thrilled."]),
            (
                "o",
                [
                    "The commute is only {number} minutes, that decided it.",
                    "My boss there, {person}, seems really kind.",
                ],
            ),
        ],
        "questions": [
            (["Where does {S} work now?", "Which company hired {S}?"], [1]),
            (["What is {S}'s profession?", "What job did {S} take at {company}?"], [1]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "My {relative} {person} is visiting {soon}.",
                    "{person}, my {relative}, finally had time to come over {when}.",
                ],
            ),
            ("f", ["Have I met {person}?", "Remind me, what does {person} do?"]),
            (
                "o",
                [
                    "{person} is {job} over in {city}.",
                    "{person} lives in {city} and works as {job}.",
                ],
            ),
        ],
        "questions": [
            (
                [
                    "What does {S}'s {relative} do for a living?",
                    "What is the job of {S}'s {relative}?",
                ],
                [2],
            ),
            (["Where does {person} live?", "In which city does {S}'s {relative} live?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "Ugh, I hurt my {part} {when}.",
                    "I'm stuck on the sofa, my {part} is in a brace.",
                ],
            ),
            ("f", ["Oh no! How did that happen?", "Ouch. What were you doing?"]),
            ("o", ["I was {sport} and landed badly.", "It was {sport}, what else. I overdid it."]),
            ("f", ["Please take it easy for a while.", "Get well soon!"]),
        ],
        "questions": [
            (["What injury did {S} have?", "Which body part did {S} injure?"], [0]),
            (["How did {S} get hurt?", "What caused {S}'s accident?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I'm so into {book} right now, I read until two in the morning.",
                    "I finished {book} {when}. I cried, of course.",
                ],
            ),
            ("f", ["I never got round to that one.", "Should I borrow it?"]),
            ("o", ["{person} recommended it to me ages ago.", "It was a present from {person}."]),
        ],
        "questions": [
            (["Which novel did {S} read?", "What book has {S} been reading?"], [0]),
            (["Who told {S} about {book}?", "From whom did {S} get {book}?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I spent Saturday helping out at {charity}.",
                    "I volunteered at {charity} again {when}.",
                ],
            ),
            ("f", ["That's so good of you.", "How was it this time?"]),
            (
                "o",
                [
                    "We were {number} people and everything was done by noon.",
                    "Tiring, but the smiles make up for it.",
                ],
            ),
        ],
        "questions": [
            (["Where does {S} do volunteer work?", "Which cause does {S} give time to?"], [0]),
        ],
    },
]

HELD_OUT: list[dict[str, Any]] = [
    {
        "turns": [
            (
                "o",
                [
                    "The balcony is turning into a jungle, I planted {plant} {when}.",
                    "My {plant} are coming up at last!",
                ],
            ),
            ("f", ["You've got a green thumb.", "I kill everything I touch, haha."]),
            (
                "o",
                [
                    "The trick is coffee grounds in the soil, my {relative} taught me that.",
                    "{person} from next door lent me the pots and showed me how to prune.",
                ],
            ),
        ],
        "questions": [
            (["What does {S} grow?", "Which plants are in {S}'s garden?"], [0]),
            (["Who helped {S} with gardening?", "From whom did {S} learn about the {plant}?"], [2]),
        ],
    },
    {
        "turns": [
            ("f", ["What have you been making lately?", "Any new projects?"]),
            (
                "o",
                [
                    "I'm halfway through {craft}, it's for {person}'s birthday.",
                    "I finished {craft} {when}. It's meant for {person}.",
                ],
            ),
            ("f", ["That's such a thoughtful gift.", "{person} will be over the moon!"]),
        ],
        "questions": [
            (
                [
                    "What did {S} make for {person}?",
                    "Which handmade gift does {person} get from {S}?",
                ],
                [1],
            ),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "We saw {film} at the open-air cinema {when}.",
                    "Movie night was a hit, we watched {film}.",
                ],
            ),
            ("f", ["I've heard mixed things about it.", "Was it any good?"]),
            (
                "o",
                [
                    "I laughed so hard that {person} had to nudge me.",
                    "{person} fell asleep halfway, but I loved every minute.",
                ],
            ),
        ],
        "questions": [
            (["Which movie did {S} watch?", "What film has {S} seen?"], [0]),
            (
                ["With whom did {S} see {film}?", "Who was at the cinema with {S} for {film}?"],
                [0, 2],
            ),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I signed up for a {course} class, it starts {soon}.",
                    "Evening school it is: I enrolled in {course} {when}.",
                ],
            ),
            ("f", ["What made you choose that?", "Good for you! Why that one?"]),
            (
                "o",
                [
                    "I want to surprise my {relative} in {month}.",
                    "It's for a career change, I've had enough of spreadsheets.",
                ],
            ),
        ],
        "questions": [
            (["What is {S} studying?", "Which course did {S} register for?"], [0]),
            (
                ["Why did {S} start learning {course}?", "What is {S}'s motivation for the class?"],
                [2],
            ),
        ],
    },
    {
        "turns": [
            ("o", ["I bought {car} {when}!", "So, I did something crazy and got {car}."]),
            (
                "f",
                ["Really? Which colour?", "Pictures or it didn't happen! What does it look like?"],
            ),
            (
                "o",
                [
                    "It's {colour}, with a dent that gives it character.",
                    "Bright {colour}, you'll see me from a mile away.",
                ],
            ),
            ("f", ["I want a ride.", "Drive safely, please."]),
        ],
        "questions": [
            (["What vehicle did {S} buy?", "How does {S} get around now?"], [0]),
            (["What colour is {S}'s new vehicle?", "Which colour does {S}'s purchase have?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I've started seeing a therapist about my fear of {fear}.",
                    "You know how {fear} terrify me? I'm finally doing something about it.",
                ],
            ),
            ("f", ["I'm proud of you.", "That takes courage."]),
            (
                "o",
                [
                    "After {number} sessions it's already better, deep breathing helps most.",
                    "{person} suggested it, and journaling every night calms me down.",
                ],
            ),
        ],
        "questions": [
            (["What is {S} afraid of?", "Which phobia does {S} have?"], [0]),
            (["What helps {S} cope with {fear}?", "How does {S} deal with anxiety?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "{soon} we're moving into a flat in {city}.",
                    "The lease is signed, I'm relocating to {city}!",
                ],
            ),
            ("f", ["So far away! What will you do there?", "I'll miss you! What's the plan?"]),
            (
                "o",
                [
                    "{person} and I want to open a little café that serves {food}.",
                    "I'd like to be near my {relative}, who isn't well.",
                ],
            ),
        ],
        "questions": [
            (["Where is {S} going to live?", "To which city does {S} move?"], [0]),
            (["Why does {S} move to {city}?", "What is the reason for {S}'s relocation?"], [2]),
        ],
    },
    {
        "turns": [
            (
                "o",
                [
                    "I won a little {sport} tournament {when}, can you believe it?",
                    "My {sport} team made it to the final {when}!",
                ],
            ),
            ("f", ["You're a star!", "Did you celebrate?"]),
            (
                "o",
                [
                    "We all went for {food} afterwards, {person} paid.",
                    "The prize was a voucher for {food}, of all things.",
                ],
            ),
        ],
        "questions": [
            (["Which sport does {S} compete in?", "What did {S} win?"], [0]),
            (
                [
                    "How did {S} celebrate the {sport} success?",
                    "What did {S} eat after the {sport} competition?",
                ],
                [2],
            ),
        ],
    },
]

SMALL_TALK = [
    ("Hey {F}! How have you been?", "Hey {S}! Pretty good, busy as always. You?"),
    ("Hi {F}, long time no see!", "Hi! I know, the weeks just fly by."),
    ("Good to hear from you, {F}.", "You too, {S}! What's new?"),
    ("The weather's been awful here.", "Same, I haven't left the house in days."),
    ("Thanks for being there for me, it means a lot.", "Always, {S}. That's what friends are for."),
    ("I'm so tired today.", "Get some rest then, you've earned it."),
    ("We should meet up soon.", "Yes! Let's find a date."),
    ("Life's been a rollercoaster lately.", "Tell me about it. One step at a time."),
    ("I took some pictures, I'll send them later.", "Can't wait to see them!"),
    ("Family keeps me grounded, honestly.", "Same here, I'd be lost without mine."),
    ("Work has been crazy.", "Don't let it get to you. Take breaks!"),
    ("I've been thinking a lot about the future.", "Anything in particular?"),
]
