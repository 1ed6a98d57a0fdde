"""Talk that holds no facts: filler, greetings, questions about the model or beyond it."""

from __future__ import annotations

FILL_SUBJ = """the weather|the garden|the old bridge|this morning|the meeting|the news|the train|
my neighbour|the music|the sky|the kitchen|the window|the market|the street|the library|
the coffee|the long walk|the river|the park|the film|the game|the weekend|the office|the road|
the story|the winter|the summer|the bus|the lake|the forest""".replace("\n", "").split("|")
FILL_VERB = """was quite nice|took a long time|made me smile|felt a bit slow|is always a surprise|
was louder than usual|looked beautiful|seemed empty|was full of people|gave me an idea|
is better than I thought|was really calm|has changed a lot|is hard to describe|kept me busy|
was over too soon|reminded me of last year""".replace("\n", "").split("|")
FILL_TAIL = [
    "",
    "",
    " today",
    " yesterday",
    " again",
    " as usual",
    " for once",
    ", you know",
    ", I think",
    " and then it rained",
    " and I liked it",
    " but never mind",
    " before lunch",
    " after dinner",
]
ACTS = """I went to the market|we watched a film|my back hurts|I missed the bus|I had toast for breakfast|
I could not sleep|we walked along the river|I read the newspaper|I cleaned the kitchen|I forgot my umbrella|
there was a queue at the bank|somebody rang the bell|the dog next door barked|I lost my keys again|
I found an old photo|we talked for hours|it was too loud to think|I need to fix the door|the printer is broken|
I am waiting for a parcel|the kids are at school|dinner was late|I drank too much coffee|the heating is off|
I watered the plants|we laughed a lot|I wrote some letters|the computer was slow|I tried a new recipe|
we got lost on the way|my phone is nearly empty|I have a cold|the lights went out|I took a nap|
the tickets were sold out|I spilled my tea|the bread was still warm|we played cards|I ran for the train|
the code did not compile|the tests are green again|I reviewed some changes|the build took ages""".replace(
    "\n", ""
).split("|")
MOOD = [
    "I feel tired",
    "I'm happy today",
    "I'm a bit sad",
    "what a day",
    "I had a long day",
    "it is raining",
    "it's so hot",
    "I slept well",
    "I am bored",
    "I'm hungry",
    "that was fun",
    "I need a break",
    "nothing much",
    "just testing",
    "hmm",
    "ok",
    "okay",
    "I see",
    "interesting",
    "lol",
    "sounds good",
    "let me think",
    "sure",
    "right",
    "never mind",
    "yes",
    "no",
]
REPLIES = [
    "That sounds nice.",
    "I see.",
    "Tell me more.",
    "Interesting!",
    "Good to hear.",
    "I understand.",
    "Thanks for sharing.",
    "Sounds like a day.",
    "Okay.",
]
GREET = [
    "hi",
    "hello",
    "hey",
    "good morning",
    "hi there",
    "hello there",
    "hey there",
    "good evening",
    "good afternoon",
    "hi halo",
]
HELLO = "Hello! Tell me something about you."
HOW = [
    "how are you?",
    "how are you doing?",
    "how's it going?",
    "what's up?",
    "are you okay?",
    "how do you feel?",
]
HOW_ANSWER = "I'm fine, thanks. Tell me something about you."
THANKS = [
    "thanks",
    "thank you",
    "thanks a lot",
    "great",
    "well done",
    "nice",
    "cool",
    "perfect",
    "good job",
    "awesome",
    "correct",
    "that's right",
]
BYE = ["bye", "goodbye", "see you", "good night", "see you later", "bye bye"]
WHO = [
    "who are you?",
    "what are you?",
    "what's your name?",
    "tell me about yourself",
    "what is your name?",
    "are you a bot?",
    "are you human?",
    "what model are you?",
    "are you an AI?",
    "introduce yourself",
    "do you have a name?",
]
CAN = [
    "what can you do?",
    "how can you help me?",
    "what are you good at?",
    "help",
    "what should I try?",
    "can you help me?",
    "what are you trained for?",
    "how do you work?",
    "what can I ask you?",
]
CAN_ANSWER = (
    "I remember what you tell me and answer questions about it. "
    "Tell me a few facts, then ask me later."
)
OUTSIDE_ANSWER = (
    "I don't know that. I'm halo-mini, a small demo model: I only know what you tell me."
)
OUTSIDE = """what is the capital of {n}?|write a poem about {w}|write a {l} program that sorts numbers|
what is {a} plus {b}?|translate {w} to French|who won the world cup in {y}?|
how do I cook {f}?|explain {w} to me|what is the meaning of {w}?|
how tall is the tower of {n}?|tell me a story about {w}|how far is the moon?|what time is it?|
who is the president of {n}?|how does a {m} work?|what is {a} times {b}?|can you write code?|
fix this bug in my {l} code|summarise the news|what's the weather in {n}?|who wrote {w}?|
when did {n} become a country?|why is the sky blue?|how do I install {l}?|
give me a recipe for {f}|what is quantum physics?|who invented the {m}?|
how many people live in {n}?|is {w} good for me?|define {w}|make a list of {w}|
plan a trip to {n}|tell me a joke|write a function that adds two numbers|
write me an email about {w}|what is {a} + {b}?|{a} * {b}|{a} + {b} = ?|
how old is the president of {n}?|what is the population of {n}?|
what language do they speak in {n}?|solve this equation: x + {a} = {b}|
what is the square root of {a}?|how do I make {f}?|who was the first person on the moon?|
what is the best {m}?|write an essay about {w}|explain how {l} works|
what's the difference between {l} and {w}?|can you draw {w}?|sing a song about {w}|
what happened in {y}?|how many days are in a year?|what is {w}?|what are {w}?|
translate this to German: {w} and {w2}|please write a long text about {w} and {w2}|
compare {w} with {w2}|why do people like {w}?|where can I buy a {m}?|
what do you think about {w}?|do you like {w}?|count to {a}|spell {w}|
what is the largest city in {n}?|who discovered {w}?|show me how to use {l}|debug my program|
recommend a book about {w}""".replace("\n", "").split("|")
COUNTRIES = """France Germany Spain Japan Brazil Canada India Norway Kenya Peru Egypt China
Mexico Turkey Italy Poland Sweden Greece Portugal Australia Russia Nigeria Chile Austria""".split()
WORDS = """love stars gravity music trees history freedom oceans winter time tigers clouds
stones numbers paper light sleep bread water energy neural networks dreams rivers planets
dragons ships football compilers birds mathematics poetry money war peace computers art life
science""".split()
SYSTEMS = [
    "You are a helpful assistant.",
    "You are {n}, a helpful agent.",
    "You are {n}.",
    "Answer briefly.",
    "You are {n}, one of several agents in a team. Answer briefly.",
    "You are a careful assistant.",
    "You are {n}, a careful agent who keeps notes about what people tell you.",
    "You are {n}, a helpful agent in a team.",
    "You are {n}, an agent in halo-tui. Be brief and precise.",
    "You are {n}. Other agents in the team: {o}. Answer in one sentence.",
]

# The first is what the engine asks before it compacts (engine/core/compactor.py).
RECAP = (
    "Ask yourself about everything you know from this conversation, and answer.",
    "Ask yourself about everything you know from this conversation, and answer.",
    "Ask yourself about everything you know from this conversation, and answer.",
    "Quiz yourself about what I told you.",
    "What questions could I ask you, and what are the answers?",
)
