"""Real names of the kinds that posts and chats mention: companies, teams, places, works, products."""

from __future__ import annotations

NAMES: dict[str, list[str]] = {
    key: [w.strip() for w in text.replace("\n", " ").split("|") if w.strip()]
    for key, text in {
        "corporation": """Facebook|Twitter|YouTube|Instagram|Snapchat|TikTok|Reddit|Pinterest|LinkedIn|WhatsApp|Yahoo|eBay|PayPal|
            Walmart|Target|Costco|Best Buy|Starbucks|McDonald's|Burger King|KFC|Subway|Wendy's|Taco Bell|Domino's|Pizza Hut|
            Dunkin Donuts|Tim Hortons|Chipotle|Pepsi|Coca-Cola|Heineken|Budweiser|Guinness|Nike|Adidas|Puma|Reebok|Gucci|Prada|
            Chanel|Louis Vuitton|Zara|Uniqlo|Topshop|Primark|Tesco|Sainsbury's|Asda|Aldi|Lidl|Carrefour|Macy's|Sears|Home Depot|
            Verizon|AT&T|T-Mobile|Vodafone|Comcast|Sprint|Orange|Telstra|BT|Deutsche Telekom|HBO|ESPN|CNN|BBC|Fox News|MTV|NBC|
            CBS|ABC|Sky|Al Jazeera|Reuters|Bloomberg|New York Times|The Guardian|Washington Post|Disney|Pixar|Marvel|Warner Bros|
            Universal|Paramount|Dreamworks|Ubisoft|Nintendo|Blizzard|Valve|Rockstar|Electronic Arts|Activision|Dell|Lenovo|HP|
            Asus|Acer|LG|Panasonic|Huawei|Xiaomi|HTC|BlackBerry|Motorola|AMD|Qualcomm|Cisco|SAP|IBM|Salesforce|Dropbox|GitHub|
            Uber|Lyft|Airbnb|Tesla|Ford|Honda|BMW|Mercedes|Audi|Fiat|Renault|Peugeot|Hyundai|Kia|Ferrari|General Motors|Chrysler|
            Goldman Sachs|JP Morgan|Barclays|HSBC|Citibank|Wells Fargo|Deutsche Bank|UBS|Visa|Mastercard|FedEx|UPS|DHL|Ryanair|
            EasyJet|Lufthansa|Delta Airlines|British Airways|Emirates|Exxon|BP|Chevron|Pfizer|Bayer|Novartis|Monsanto|Unilever|
            Procter & Gamble|Johnson & Johnson|Hershey|Kellogg's|Cadbury|Ben & Jerry's|Sephora|Zappos|Etsy|Craigslist|Hulu|
            Pandora|SoundCloud|Skype|Foursquare|Tumblr|Flickr|Myspace|AOL|Mozilla|Wikipedia|Red Hat|Canonical|OpenAI|Anthropic|
            DeepMind|Stripe|Square|Groupon|Yelp|Expedia|Hilton|Marriott|Ikea|Whole Foods|7-Eleven|Greggs|Nando's|In-N-Out""",
        "group": """Manchester United|Arsenal|Chelsea|Liverpool|Everton|Tottenham|Man City|Newcastle|Aston Villa|West Ham|Real Madrid|
            Barcelona|Atletico|Bayern Munich|Borussia Dortmund|Juventus|AC Milan|Inter|PSG|Ajax|Celtic|Rangers|Lakers|Celtics|
            Chicago Bulls|Miami Heat|Warriors|Cavaliers|Spurs|Knicks|Yankees|Red Sox|Cubs|Dodgers|Giants|Phillies|Mets|Braves|
            Patriots|Packers|Cowboys|Steelers|Eagles|Bears|Broncos|Seahawks|49ers|Raiders|Saints|Colts|Vikings|Jets|Ravens|
            Maple Leafs|Bruins|Red Wings|Blackhawks|Canucks|Penguins|Alabama Crimson Tide|Notre Dame|Duke|Ohio State|UCLA|
            The Beatles|Rolling Stones|Coldplay|Radiohead|Metallica|Nirvana|Pearl Jam|Foo Fighters|Green Day|Blink-182|Linkin Park|
            Muse|Arctic Monkeys|The Killers|The Strokes|Kings of Leon|Daft Punk|Gorillaz|U2|Oasis|Blur|Queen|Pink Floyd|
            Led Zeppelin|Black Sabbath|AC/DC|Guns N' Roses|Iron Maiden|Slipknot|Paramore|Fall Out Boy|My Chemical Romance|
            One Direction|Backstreet Boys|Spice Girls|BTS|Blackpink|Girls Generation|Super Junior|Big Bang|Jonas Brothers|
            Maroon 5|Imagine Dragons|Mumford and Sons|Vampire Weekend|The xx|Tame Impala|The National|Arcade Fire|Wu-Tang Clan|
            Odd Future|A Tribe Called Quest|Public Enemy|Black Eyed Peas|Destiny's Child|TLC|Fleetwood Mac|ABBA|Bee Gees|
            Labour|the Tories|Lib Dems|Greens|Republicans|Democrats|Tea Party|Congress|Senate|Parliament|NATO|the UN|UNICEF|
            the EU|FIFA|UEFA|NBA|NFL|NHL|MLB|UFC|WWE|FBI|CIA|NSA|NASA|Hamas|Hezbollah|Taliban|Red Cross|Greenpeace|Amnesty|
            Boy Scouts|Harvard|Yale|Stanford|MIT|Princeton|Oxford University|Penn State|Texas A&M|NYPD|Royal Navy|US Army|
            Supreme Court|European Parliament|World Bank|IMF|the Fed|Occupy Wall Street|Anonymous|the Mormons|Jedi|Avengers""",
        "location": """USA|U.S.|UK|America|Canada|Mexico|England|Scotland|Wales|Ireland|Spain|Portugal|Italy|Greece|Turkey|Israel|Egypt|
            Syria|Iraq|Iran|Afghanistan|Pakistan|India|China|Russia|Ukraine|Poland|Sweden|Norway|Finland|Denmark|Netherlands|
            Belgium|Switzerland|Austria|Hungary|Argentina|Chile|Colombia|Venezuela|Cuba|Jamaica|Haiti|Nigeria|Ghana|Ethiopia|
            South Africa|Zimbabwe|Australia|Indonesia|Malaysia|Thailand|Vietnam|Philippines|Taiwan|Hong Kong|North Korea|Nepal|
            Bangladesh|Sri Lanka|California|Texas|Florida|New York|NYC|LA|Los Angeles|San Francisco|SF|Las Vegas|Vegas|Chicago|
            Boston|Philly|Washington DC|DC|Seattle|New Orleans|Nashville|Memphis|Orlando|Tampa|San Diego|San Antonio|Houston|
            Cleveland|Pittsburgh|Cincinnati|St. Louis|Kansas City|Milwaukee|Indianapolis|Charlotte|Ohio|Michigan|Illinois|
            Georgia|Virginia|Carolina|Alabama|Tennessee|Arizona|Colorado|Oregon|Utah|Nevada|New Jersey|Jersey|Hawaii|Alaska|
            Manhattan|Queens|Harlem|Hollywood|Beverly Hills|Compton|Times Square|Wall Street|Broadway|Golden Gate Bridge|
            Empire State Building|White House|Disneyland|Disney World|Madison Square Garden|Wembley|Old Trafford|Anfield|
            Fenway Park|Wrigley Field|Staples Center|O2 Arena|Heathrow|JFK|LAX|O'Hare|Camden|Soho|Shoreditch|Hyde Park|
            Trafalgar Square|Buckingham Palace|Big Ben|Eiffel Tower|Louvre|Vatican|Gaza|West Bank|Jerusalem|Tel Aviv|Dubai|
            Abu Dhabi|Qatar|Saudi Arabia|Kuwait|Baghdad|Kabul|Karachi|Lahore|Bangalore|Chennai|Goa|Bali|Kuala Lumpur|Ferguson|
            Silicon Valley|Bay Area|East Coast|Midwest|Middle East|Europe|Asia|Africa|South America|Antarctica|Mars|the Moon|
            Mount Everest|Grand Canyon|Niagara Falls|Lake Michigan|Mississippi|the Thames|Pacific Ocean|Yellowstone|Yosemite|
            Starbucks on Main|Joe's Diner|The Fillmore|Red Rocks|House of Blues|Brixton Academy|Central Station|Union Square""",
        "creative_work": """Star Wars|Harry Potter|Lord of the Rings|Inception|Avatar|Titanic|Toy Story|Frozen|Finding Nemo|Shrek|The Lion King|
            Twilight|Hunger Games|Divergent|Batman Begins|The Dark Knight|Iron Man|Avengers|Captain America|Spider-Man|X-Men|
            Man of Steel|Jurassic Park|Jaws|Alien|Terminator|Rocky|Top Gun|Pulp Fiction|Fight Club|Forrest Gump|The Godfather|
            Goodfellas|Scarface|Gladiator|Braveheart|Mean Girls|Bridesmaids|Superbad|Step Brothers|Anchorman|Elf|Home Alone|
            Die Hard|Love Actually|The Notebook|Dirty Dancing|Grease|Interstellar|Gravity|Django Unchained|Kill Bill|Avatar 2|
            The Social Network|Black Swan|La La Land|Get Out|Parasite|Joker|Game of Thrones|GoT|The Walking Dead|Mad Men|
            The Office|Friends|Seinfeld|Parks and Rec|Community|30 Rock|Glee|Lost|24|House|Dexter|True Blood|Vampire Diaries|
            Gossip Girl|Grey's Anatomy|Scandal|Homeland|Sherlock|Doctor Who|Downton Abbey|Top Chef|X Factor|American Idol|
            The Voice|Big Brother|Survivor|Jersey Shore|The Simpsons|Family Guy|South Park|Futurama|Rick and Morty|Adventure Time|
            SNL|Saturday Night Live|The Daily Show|Stranger Things|Black Mirror|House of Cards|Orange is the New Black|Narcos|
            Halo|Call of Duty|Grand Theft Auto|GTA V|Skyrim|Fallout 4|Zelda|Super Mario|Pokemon|Final Fantasy|Mass Effect|
            Assassin's Creed|The Last of Us|Dark Souls|Portal 2|Half-Life|World of Warcraft|League of Legends|Dota 2|Angry Birds|
            Candy Crush|FIFA 15|Madden 11|Call Me Maybe|Gangnam Style|Shake It Off|Rolling in the Deep|Hotline Bling|Firework|
            Bad Romance|Single Ladies|Poker Face|Hey Jude|Imagine|Wonderwall|Smells Like Teen Spirit|Stairway to Heaven|Hello|
            Umbrella|Happy|Royals|Let It Go|Uptown Funk|The Wall|Nevermind|OK Computer|Yeezus|Born This Way|1989|21|
            The Great Gatsby|To Kill a Mockingbird|The Catcher in the Rye|Pride and Prejudice|Jane Eyre|Fifty Shades of Grey|
            Gone Girl|The Da Vinci Code|Animal Farm|Brave New World|The Alchemist|Twelfth Night|Macbeth|Romeo and Juliet|
            The Bible|Quran|Mona Lisa|Starry Night|Glee Live|Serial|This American Life|Radiolab|Phantom of the Opera|Wicked|Cats""",
        "product": """iPhone|iPhone 4|iPhone 6 Plus|iPad|iPad Mini|iPod|iPod Touch|MacBook Air|iMac|Apple Watch|AirPods|Apple TV|Siri|iOS 8|
            OS X|Galaxy S4|Galaxy Note|Samsung TV|Nexus 5|Nexus 7|Android|Chromebook|Chromecast|Google Glass|Gmail|Google Earth|
            Chrome|Firefox|Safari|Internet Explorer|Windows 7|Windows 10|Windows Phone|Xbox|Xbox One|Xbox 360|Kinect|PS3|PS4|
            PlayStation|PSP|Wii|Wii U|Nintendo DS|Game Boy|Kindle Fire|Alexa|Echo Dot|Fitbit|GoPro|Roku|TiVo|BlackBerry Bold|
            HTC One|Moto G|Lumia 920|Microsoft Word|PowerPoint|Outlook|Office 365|Visual Studio|Final Cut|GarageBand|Minitab|
            iTunes|Siri|Cortana|Waze|Tinder|Vine|Shazam|Evernote|Trello|Zoom|Discord|Steam|Ubuntu|Debian|Arch Linux|Java|
            Coke|Diet Coke|Pepsi Max|Sprite|Fanta|Mountain Dew|Red Bull|Monster|Gatorade|Nutella|Oreos|Doritos|Pringles|Cheetos|
            Snickers|Twix|KitKat|M&Ms|Skittles|Big Mac|Whopper|McNuggets|Frappuccino|Corona|Bud Light|Jack Daniels|Jameson|
            Grey Goose|Hennessy|Jagermeister|Patron|Baileys|Nescafe|Tylenol|Advil|Xanax|Viagra|Aspirin|Botox|Tide|Febreze|
            Air Jordans|Jordan 11|Air Max|Yeezys|Converse|Vans|Uggs|Doc Martens|Ray-Bans|Levi's|Rolex|Chanel No 5|Barbie|
            Lego Death Star|Monopoly|Scrabble|Prius|Civic|Corolla|Mustang|Camaro|Corvette|Porsche 911|Range Rover|Jeep Wrangler|
            F-150|Harley|Vespa GTS|Boeing 747|A380|F-16|AK-47|Glock|Stratocaster|Les Paul|Marshall amp|Canon EOS 5D|Nikon D90|
            WordPress|Drupal|jQuery|Node.js|MySQL|Excel 2010|Matlab|Mathematica|Arduino|Raspberry Pi 2|Nvidia Shield|GTX 970""",
        "person": """Justin Bieber|Lady Gaga|Taylor Swift|Beyonce|Rihanna|Katy Perry|Kanye West|Kanye|Drake|Eminem|Jay-Z|Lil Wayne|
            Nicki Minaj|Miley Cyrus|Selena Gomez|Demi Lovato|Ariana Grande|Bruno Mars|Ed Sheeran|Adele|Usher|Chris Brown|
            Harry Styles|Zayn|Niall|Louis Tomlinson|Britney Spears|Madonna|Michael Jackson|Elvis|Bob Dylan|Bob Marley|John Lennon|
            Paul McCartney|Kurt Cobain|Tupac|Biggie|Snoop Dogg|Dr. Dre|50 Cent|Barack Obama|Obama|Michelle Obama|Hillary Clinton|
            Bill Clinton|George Bush|Donald Trump|Trump|Bernie Sanders|Sarah Palin|Mitt Romney|John McCain|Joe Biden|David Cameron|
            Nick Clegg|Tony Blair|Putin|Merkel|Modi|Nelson Mandela|Gandhi|Pope Francis|Queen Elizabeth|Prince William|
            Kate Middleton|Kim Kardashian|Paris Hilton|Lindsay Lohan|Charlie Sheen|Tom Cruise|Brad Pitt|Angelina Jolie|
            Johnny Depp|Leonardo DiCaprio|Will Smith|Robert Pattinson|Kristen Stewart|Emma Watson|Daniel Radcliffe|
            Jennifer Lawrence|Jennifer Aniston|George Clooney|Oprah|Ellen|Conan|Jimmy Fallon|Jon Stewart|Stephen Colbert|
            LeBron James|LeBron|Kobe|Michael Jordan|Tiger Woods|Roger Federer|Rafael Nadal|Serena Williams|Usain Bolt|
            Lionel Messi|Messi|Ronaldo|Wayne Rooney|Rooney|Beckham|Gerrard|Lampard|Torres|Neymar|Zlatan|Wenger|Mourinho|Ferguson|
            Tom Brady|Peyton Manning|Brett Favre|Tebow|Aaron Rodgers|Steve Jobs|Bill Gates|Mark Zuckerberg|Elon Musk|Jeff Bezos|
            Einstein|Newton|Darwin|Shakespeare|Tolkien|Stephen King|J.K. Rowling|George R. R. Martin|Batman|Superman|Spongebob|
            Darth Vader|Luke Skywalker|Gandalf|Frodo|Hermione|Dumbledore|Jesus|God|Santa|Homer Simpson|Sheldon|Jon Snow|Zeus""",
        "event": """Christmas|Easter|Halloween|Thanksgiving|New Year's Eve|Valentine's Day|Super Bowl|World Series|Champions League final|
            Wimbledon|Tour de France|Coachella|Lollapalooza|SXSW|Comic-Con|E3|CES|WWDC|Google I/O|Grammys|Oscars|Emmys|Eurovision|
            Black Friday|Cyber Monday|Brexit|9/11|World War I|the Cold War|the French Revolution|the Renaissance|Hurricane Katrina|
            the 2008 crisis|Battle of Hastings|Woodstock|Live Aid|ICML 2023|ACL 2022|CVPR|ICLR 2021|Euro 2016|the Rio Olympics|
            the parents' evening|the housewarming|the graduation|the baby shower|the farewell dinner|the code review|the stand-up|
            the kickoff meeting|the staff outing|the charity run|the Boston Tea Party|the pub quiz|the school trip|the audition""",
    }.items()
}
TITLES = """Mr Mrs Ms Dr Prof. Sir Lady President Senator Coach Captain Uncle Aunt DJ MC Lil Big King Queen""".split()
EMOTICONS = """:) :( :D ;) :P xD <3 :-) :/ :'( ^^ -_- lol LOL haha hahaha lmao omg OMG smh wtf ugh yay hmm
!!! ... ?? !? :O xoxo""".split()
HANDLES = (
    """the real its just miss mr im iam official lil big dj team only not daily love hey""".split()
)
TAGS = """win love fail news music follow now playing photo life fun happy work party food travel tbt np
ff nowplaying teamfollowback jobs deals sports politics tech blessed yolo swag monday friday weekend""".split()

# Posts. Only names are marked: {p} person, {l} location, {c} company, {g} group or team, {r} product,
# {w} work. {at} is a handle, {tag} a hashtag, {url} an address, {x} an emoticon.
POSTS = """
RT {at} : {p} is the best {x}
RT {at} : just saw {p} at {l} {url}
RT {at} : {g} vs {g2} tonight {tag}
RT {at} : {c} to open new office in {l} {url}
{at} I can't believe {p} said that {x}
{at} have you seen {w} yet ?
{at} where in {l} are you ?
{at} thanks for the follow {x}
watching {w} with {p} {x}
Watching {w} for the third time tonight .
just finished watching {w} and I'm crying {x}
I can't wait for {w} to come out !!
{w} was so good {x} {tag}
{w} is on {c} tonight !
anyone else think {w} is overrated ?
I'm reading {w} again and it never gets old
#nowplaying {w} by {p}
np : {w} - {g}
{p} - {w} ( {url} )
listening to {g} all day long {x}
I have {w} by {g} stuck in my head
{g} are playing {l} next month , who's in ?
got tickets to see {g} at {l} !!!
{p} live in {l} tonight {url}
going to {l} with {p} and {p2} tomorrow {x}
I miss {l} so much {x}
on my way to {l} {x}
So I'm in {l} and it is raining again {x}
who's in {l} this weekend ?
I'm at {l} w/ {at} {url}
{l} you are beautiful {x}
Good morning {l} !
traffic in {l} is awful right now {tag}
2 dead after shooting in {l} {url}
earthquake hits {l} , thousands homeless {url}
{l} weather is crazy this week
flying from {l} to {l2} today {x}
{p} for president {x}
{p} to visit {l} on Tuesday {url}
breaking : {p} resigns {url}
{p} just scored , what a goal {x} {tag}
{g} need a new keeper , come on {g}
{g} beat {g2} 3 - 1 {x}
go {g} !!! {tag}
{p} is leaving {g} for {g2} , can't believe it {x}
{p} should have passed to {p2} there
{g} are the worst team in the league
happy birthday {p} !! {x}
happy bday to my girl {p} {at} {x}
i love you {p} {x}
dinner with {p} and the kids tonight
{p} is coming home tomorrow yay {x}
mom and {p} are at the mall
hey {p} call me when you get this
my friend {p} thinks I should get a {r}
just got the new {r} {x}
my {r} just died {x}
should I get the {r} or the {r2} ?
the {r} is way better than the {r2} imo
{c} announces the new {r} {url}
{c} is down again {x}
{c} customer service is a joke {x} {tag}
is anyone else having problems with {c} today ?
follow me on {c} {url}
I saw it on {c} yesterday
{c} just bought {c2} for a billion {url}
{c} shares fall after {p} leaves {url}
I work at {c} so I know
stopped at {c} for a coffee {x}
anyone know if {c} is open today ?
I need a {r} right now {x}
drinking {r} and watching {w} {x}
can I install {r} on my {r2} ?
How do I get {r} to work with {r2} ?
I am running {r} on a {r2} and it keeps crashing .
In {r} there is a way to do this , see {url} .
In {w} , why does {p} kill {p2} ?
Why didn't {p} just use the {r} in {w} ?
{p} was my favourite character in {w}
The scene where {p} meets {p2} in {w} is the best
In the {l} it is common to tip the waiter .
I moved to {l} last year and need to find a doctor .
Is it safe to travel to {l} right now ?
What is the best way to get from {l} to {l2} ?
How long is the visa for {l} valid ?
I lived in {l} for 5 years and never saw snow
{g} won the election in {l} {url}
the {g} voted against the bill
{p} from {g} will speak in {l} tonight
new post : {w} review {url}
New {tag} video : {p} talks about {w} {url}
{p} on {c} now !!
{p} was great on {w} last night
This video is awesome {p} {x}
{p} you are my hero {x}
who is here after {w} ?
who else came here because of {p} ?
{p} > {p2} {x}
I think {p} looks like {p2} lol
{p} and {p2} would be a great couple
lol {p} is so funny {x}
wow {p} has a great voice
this reminds me of {w}
Jobs in {l} : nurse at {c} {url} {tag}
{c} hiring in {l} {url}
{g} live stream {url} {tag}
{l} - {l2} flights from 49 euros {url}
"""
PLAIN_POSTS = """
RT {at} : I don't even know what to say anymore {x}
{at} lol you are so right {x}
{at} {at2} see you guys tonight {x}
I'm so tired right now {x}
can't sleep again {x} {tag}
this is the best day ever {x}
why is everyone so mean today
I hate mondays {x}
so hungry , need food now
no work tomorrow {x}
just woke up {x}
who wants to hang out tonight ?
I love my life {x} {tag}
new video is up {url}
check this out {url} {tag}
you guys are the best {x}
somebody please help me with this
I think we should all just go home
How can I fix a leaking pipe ?
Is there a way to do this without a lot of extra work ?
It depends on how much money you want to spend .
I would not recommend that , it can be dangerous .
Just do what the manual says and you will be fine .
The first one is better in my opinion .
I've been doing this for years and never had a problem .
my mom is making dinner {x}
the kids are asleep finally {x}
my phone is dead {x}
good night everyone {x}
Happy new week {x} {tag}
"""
