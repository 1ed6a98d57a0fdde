"""More values of every type, and ways to compose endless ones: numbers, dates, chips, models, papers."""

from __future__ import annotations

import random

MORE: dict[str, list[str]] = {
    key: [w.strip() for w in text.replace("\n", " ").split("|") if w.strip()]
    for key, text in {
        "topic": """badminton|squash|boxing|judo|karate|fencing|archery|rowing|surfing|skiing|snowboarding|skating|volleyball|
            basketball|baseball|cricket|golf|hockey|handball|table tennis|darts|bowling|horse riding|diving|parkour|pilates|
            crossfit|jogging|trail running|mountain biking|kayaking|bouldering|caving|geocaching|stamp collecting|baking|
            barbecue|brewing beer|wine tasting|embroidery|sewing|crochet|woodworking|metalwork|carpentry|calligraphy|drawing|
            watercolours|sculpture|street art|architecture|fashion|interior design|ballet|salsa|tango|hip hop|classical music|
            heavy metal|punk rock|blues|reggae|country music|K-pop|choir singing|karaoke|podcasts|audiobooks|comics|manga|anime|
            fantasy novels|biographies|romcoms|documentaries|thrillers|westerns|musicals|stand-up comedy|magic tricks|puzzles|
            crosswords|sudoku|poker|bridge|backgammon|role-playing games|video games|model trains|drones|3D printing|electronics|
            ramen|noodles|dumplings|burgers|fries|lasagne|risotto|paella|falafel|hummus|kebab|pho|kimchi|tofu|salad|soup|bread|
            croissants|cake|cheesecake|ice cream|cookies|waffles|porridge|yoghurt|eggs|bacon|steak|salmon|tuna|shrimp|broccoli|
            spinach|carrots|avocados|tomatoes|onions|garlic|ginger|cinnamon|vanilla|strawberries|bananas|apples|oranges|grapes|
            lemonade|orange juice|cocoa|whisky|gin|cider|espresso|black tea|oat milk|maths|chemistry|geography|geology|botany|
            zoology|neuroscience|psychology|sociology|anthropology|archaeology|politics|international law|accounting|marketing|
            finance|nursing|pharmacy|dentistry|veterinary medicine|architecture|civil engineering|electrical engineering|
            computer science|data science|cryptography|databases|operating systems|computer graphics|game design|web design|
            statistics|number theory|topology|quantum mechanics|thermodynamics|astrophysics|genetics|ecology|climate change|
            renewable energy|urban planning|art history|theology|logic|ethics|creative writing|journalism|photojournalism|
            Latin|Arabic|Korean|Russian|Portuguese|Mandarin|Greek|Hebrew|sign language|spiders|snakes|heights|mornings|
            winter|rain|snow|hot weather|traffic jams|noise|loud people|meetings|deadlines|homework|spam|politics|horoscopes|
            turquoise|beige|violet|navy blue|pastel colours|cats|dogs|birds|horses|whales|dinosaurs|trains|planes|sailing boats""",
        "product": """Dell XPS 13|HP Spectre|Asus ROG|Steam Deck OLED|Logitech MX Master|Sony WH-1000XM5|Bose QuietComfort|Dyson V15|
            Thermomix|Nespresso machine|KitchenAid|Instant Pot|GoPro Hero 12|DJI Mavic|Garmin Fenix|Oura Ring|Remarkable 2|Kobo Clara|
            Brompton|Canyon Grail|Trek Domane|Gazelle bike|Skoda Octavia|Renault Zoe|Nissan Leaf|Toyota Yaris|Honda Jazz|BMW i3|
            Audi A4|Ford Focus|Mini Cooper|VW Passat|Volvo XC40|Polestar 2|Ducati Monster|Yamaha MT-07|Lego Millennium Falcon|
            Fender Telecaster|Gibson SG|Yamaha keyboard|Roland drum kit|sofa|standing desk|bookshelf|hammock|tent|sleeping bag|
            lawn mower|chainsaw|drill|pressure cooker|toaster|dishwasher|washing machine|fridge|projector|soundbar|turntable|
            smartwatch|tablet|gaming PC|NAS|mesh router|webcam|microphone|headphones|monitor|mechanical keyboard|scooter|
            motorbike|tractor|sailing boat|caravan|pickup|minivan|piano|cello|accordion|sewing kit|microscope|binoculars|
            Jira|Confluence|GitLab|Zoom|Teams|Discord|Signal|Telegram|Trello|Asana|Todoist|Anki|Duolingo|Strava|Lightroom|
            Premiere|Logic Pro|Ableton Live|Unity|Unreal Engine|Godot|VS Code|Vim|Emacs|IntelliJ|Thunderbird|LibreOffice|
            Home Assistant|Nextcloud|Syncthing|Bitwarden|Proton Mail|DeepL|ChatGPT|Claude|Copilot|Alexa|Project Aurora|
            Project Titan|the Hermes release|the billing service|the mobile app|the login page|the dashboard|the checkout|
            the data pipeline|the search index|version 3.2|release 1.4|the beta|the intranet|the newsletter""",
        "misc": """Christianity|Islam|Hinduism|Judaism|Italian|Portuguese|Swedish|Russian|Arabic|Korean|Japanese|Turkish|Greek|Hindi|
            Emmy|Tony Award|Golden Globe|Abel Prize|Palme d'Or|Golden Bear|Bronze Star|Victoria Cross|MIT licence|GPL|dollar|yen|
            Ethereum|the pound|ISO 27001|the AI Act|HIPAA|European|American|Brazilian|Scandinavian|Catholic|Buddhist|Marxism""",
        "organisation": """the city council|the local library|the tax office|the children's hospital|the fire brigade|the rowing club|
            the chess club|the parents' council|the choir|the university|the national bank|the ministry of health|the embassy|
            St Mary's Hospital|Greenfield School|Trinity College|King's College|Humboldt University|ETH Zurich|TU Delft|Sorbonne|
            Oxford University Press|the World Health Organization|Doctors Without Borders|the Red Cross|Habitat for Humanity|
            Rotary Club|Lions Club|Green Party|the Labour Party|FC Barcelona|Bayern Munich|Boston Red Sox|Real Madrid|
            the Vienna Philharmonic|the London Symphony Orchestra|Hugging Face|Mistral|OpenAI|Anthropic|AMD|IBM|SAP|Zalando|
            Bosch Rexroth|Deutsche Bahn|Air France|KLM|Lufthansa|Maersk|Novo Nordisk|Roche|Bayer|Danone|Heineken|Carlsberg|
            Rolls-Royce|Jaguar|Land Rover|Michelin|Continental|Siemens Energy|ThyssenKrupp|ArcelorMittal|Vattenfall|Equinor|
            Harrods|Marks and Spencer|Barnes & Noble|Penguin Books|Springer|Elsevier|the Guardian|Der Spiegel|Le Monde|CERN|
            the Max Planck Institute|Fraunhofer|Bell Labs|Xerox PARC|Los Alamos|the European Space Agency|SpaceX|Blue Origin""",
        "gpu_feature": """warp shuffle|ballot instructions|hardware ray tracing|mesh shaders|texture units|int4 support|int8 dot product|
            dp4a|MFMA|packed math|fp16 accumulation|scalar registers|vector registers|the texture cache|the infinity cache|
            the instruction cache|SDMA engines|peer-to-peer access|NVLink|resizable BAR|page migration|ECC memory|MIG|MPS|
            cluster launch|tensor memory accelerator|sparse tensor cores|transformer engine|CUDA graphs support|HIP graphs support|
            atomics in LDS|64-bit atomics|cooperative groups|subgroup size control|descriptor indexing|push constants|timeline semaphores|
            variable rate shading|buffer device address|16-bit storage|shader cores|compute units|async compute|preemption|VOPD""",
        "optimization_technique": """4-bit quantization|weight pruning|knowledge distillation|low-rank adaptation|layer fusion|loop fusion|
            loop interchange|software pipelining|register blocking|cache blocking|tiling|warp specialization|persistent kernels|
            stream overlap|pipelining|tensor parallelism|pipeline parallelism|data parallelism|expert parallelism|KV quantization|
            KV eviction|token merging|early exit|layer skipping|activation checkpointing|gradient accumulation|lazy loading|
            memory pooling|arena allocation|inlining|constant folding|common subexpression elimination|dead code elimination|
            branch prediction hints|batching|request coalescing|caching|memoization|parallel prefill|disaggregated serving|
            sparse attention|sliding window attention|linear attention|multi-query attention|weight streaming|offloading|
            CPU offload|zero-copy transfer|compression|delta encoding|lookahead decoding|prompt caching|dynamic batching|autotuning""",
        "algorithm": """A-star search|Bellman-Ford|Floyd-Warshall|Kruskal's algorithm|Prim's algorithm|mergesort|heapsort|timsort|
            bubble sort|depth-first search|breadth-first search|minimax|alpha-beta pruning|genetic algorithm|particle swarm|
            linear regression|logistic regression|random forest|gradient boosting|support vector machine|naive Bayes|PCA|t-SNE|UMAP|
            expectation maximization|hidden Markov model|Kalman filter|Bloom filtering|HyperLogLog|MinHash|SimHash|consistent hashing|
            Raft|Paxos|two-phase commit|backpropagation|Muon|AdamW|RMSProp|stochastic gradient descent|L-BFGS|conjugate gradient|
            QR decomposition|singular value decomposition|Cholesky factorization|Gaussian elimination|Strassen|Karatsuba|RSA|SHA-256|
            AES|LZ4|Huffman coding|byte pair encoding|nucleus sampling|greedy decoding|HNSW|locality-sensitive hashing|TF-IDF|
            Levenshtein distance|the Hungarian algorithm|spectral clustering|DBSCAN|label propagation|Louvain|LFU|clock eviction|
            exponential backoff|token bucket|softmax sampling|Metropolis-Hastings|Gibbs sampling|Q-learning|PPO|DPO|online softmax""",
        "software_framework": """Flask|Vue|Angular|Svelte|Next.js|Spring Boot|Rails|Laravel|.NET|Node.js|Deno|Bun|Elixir|Kotlin|Scala|
            Clojure|OCaml|Erlang|Julia|R|MATLAB|Fortran|COBOL|Perl|PHP|Ruby|Lua|Zig|Nim|Bash|SQL|MongoDB|Cassandra|Neo4j|DuckDB|
            ClickHouse|Kafka|RabbitMQ|Celery|Airflow|Terraform|Ansible|Jenkins|GitHub Actions|Prometheus|Grafana|OpenTelemetry|
            Elasticsearch|Pinecone|Qdrant|Milvus|FAISS|scikit-learn|pandas|Polars|SciPy|Keras|XGBoost|spaCy|NLTK|OpenCV|MLX|
            TensorRT|TensorRT-LLM|DeepSpeed|Megatron-LM|SGLang|exllama|MLC|TVM|OpenVINO|oneDNN|MKL|BLIS|cuBLAS|cuDNN|hipBLASLt|rocBLAS|
            MIOpen|CUTLASS|Composable Kernel|SYCL|OpenCL|OpenMP|MPI|NCCL|RCCL|Ray|Dask|Hugging Face TRL|Axolotl|Unsloth|LlamaIndex|
            Haystack|Gradio|Streamlit|Rich|Qt|GTK|Electron|Flutter|React Native|WebGPU|WebAssembly|LLVM|GCC|Clang|CMake|Bazel|
            Windows|macOS|FreeBSD|Ubuntu|Debian|Fedora|Arch Linux|Android|iOS|Podman|containerd|Nginx|HAProxy|systemd|Nix""",
        "performance_metric": """words per second|requests per second|frames per second|tail latency|median latency|inter-token latency|
            time per output token|decode speed|prefill speed|tok/s|IOPS|disk throughput|network bandwidth|round trip time|jitter|
            uptime|error rate|precision|recall|AUC|BLEU|ROUGE|exact match|pass@1|word error rate|mean squared error|validation loss|
            training loss|top-1 accuracy|MMLU score|energy per token|battery life|watts per token|VRAM usage|peak memory|RSS|
            cold start time|build time|compile time|queue length|goodput|MFU|arithmetic intensity|IPC|branch mispredictions|
            cache misses per kilo instruction|TLB hit rate|GPU occupancy|SM utilization|memory footprint|model size|cost per token|
            tg128|hit ratio|recall@5|MRR|NDCG|bits per weight|signal-to-noise ratio|page load time|response time|speed""",
        "memory_pattern": """row-major access|column-major access|scatter writes|gather reads|uncoalesced loads|unaligned access|
            redundant loads|register spills|page migration traffic|TLB misses|L1 misses|L2 misses|DRAM traffic|write amplification|
            read amplification|memory leaks|heap allocations|garbage collection pauses|buffer copies|device to host copies|
            double copies|cold misses|capacity misses|conflict misses|cache pollution|expert loads|weight reloads|cache evictions|
            stale entries|hot spots|lock contention|NUMA traffic|remote reads|swap traffic|dirty pages|prefetch misses|allocation churn""",
        "kernel_operation": """flash attention kernel|the GEMV kernel|batched GEMM|grouped GEMM|the convolution|im2col|depthwise convolution|
            pooling|batch norm|group norm|SiLU|GELU|SwiGLU kernel|rotary embedding|embedding lookup|token sampling|the argmax|cumsum|
            the scan kernel|histogram|radix sort kernel|the copy kernel|quantize kernel|the dequant step|mul_mat|mul_mat_q|mmvq|
            flash decoding|the router kernel|expert gather|all-reduce|all-gather|reduce-scatter|broadcast|the KV write|the mask kernel|
            sparse matmul|SpMV|Cholesky kernel|FFT kernel|outer product|dot product|softmax backward|the update kernel|Q4_K matmul""",
        "model_architecture": """a 13B model|a 70B model|the draft model|the teacher|the student model|the vision encoder|the decoder|
            state space model|recurrent network|LSTM|GRU|CNN|U-Net|ViT|CLIP|Whisper|Stable Diffusion|Flux|autoencoder|VAE|GAN|
            RoBERTa|DeBERTa|ELECTRA|DistilBERT|XLNet|GPT-2|GPT-3|Claude 3|Gemini 1.5|PaLM|Chinchilla|Falcon|MPT|StarCoder|CodeLlama|
            Vicuna|Alpaca|Zephyr 7B|Mistral 7B|Mistral Nemo|Codestral|Yi-34B|DBRX|Grok-1|Command R+|OLMo|Pythia|RWKV|RetNet|Hyena|
            Jamba|Granite|Nemotron|SmolLM|TinyLlama|Kimi K2|GLM-4|MiniMax|gpt-oss-20b|gpt-oss-120b|the reranker|the embedding model|
            the dense model|the expert layers|the attention block|multi-head latent attention|the MLP|the language model head|
            the tokenizer model|a reward model|encoder-decoder|a decoder-only model|a vision model|a speech model|the adapter""",
        "constraint": """memory bandwidth|the memory wall|the thermal limit|the TDP|the power limit|the clock limit|the VRAM limit|
            the 64 KB limit|the 2 GB limit|the file size limit|the rate limit|the API quota|the token limit|the batch limit|
            the time limit|the deadline pressure|the budget|disk space|network latency|PCIe bandwidth|single-thread speed|
            lock contention|Amdahl's law|sequential decoding|occupancy limit|shared memory size|cache size|the register limit|
            driver bugs|missing drivers|lack of documentation|lack of memory|the 8 GB of RAM|backward compatibility|privacy rules|
            export controls|data quality|the small batch|numerical precision|numerical instability|overhead of Python|cold caches""",
        "data_structure": """array|stack|queue|deque|hash map|hash set|binary tree|red-black tree|AVL tree|segment tree|Fenwick tree|
            k-d tree|R-tree|skip list|LSM tree|Merkle tree|suffix array|suffix tree|inverted index|posting list|disjoint set|
            adjacency matrix|circular buffer|double buffer|staging buffer|write-ahead log|journal|cache line|lookup cache|
            the KV store|the page cache|the block list|the slot table|the expert cache|a min-heap|the event queue|command buffer|
            descriptor set|string table|symbol table|syntax tree|the scene graph|knowledge graph|vector store|embedding table|
            dataframe|rope|gap buffer|arena|slab|object pool|semaphore|mutex|thread pool|message queue|bitset|count-min sketch""",
        "research_paper": """Chain-of-Thought Prompting|BERT: Pre-training of Deep Bidirectional Transformers|Language Models are Few-Shot Learners|
            Scaling Laws for Neural Language Models|Deep Residual Learning|ImageNet Classification|Adam: A Method for Stochastic Optimization|
            Dropout|Batch Normalization|Generative Adversarial Nets|Auto-Encoding Variational Bayes|Sequence to Sequence Learning|
            Efficient Memory Management for LLM Serving|Switch Transformers|GShard|Outrageously Large Neural Networks|RoFormer|
            QLoRA|GPTQ|AWQ|SmoothQuant|StreamingLLM|FlashAttention-3|Ring Attention|Medusa|EAGLE|Speculative Sampling|LLaMA 2|
            the MapReduce paper|the Spanner paper|the Dynamo paper|the Raft paper|the word2vec paper|the GPT-3 paper|the Chinchilla paper|
            the DeepSeek paper|the Mixtral report|the Orca paper|the Sarathi paper|the ReAct paper|the RAG paper|the DPR paper""",
        "location": """the garden|the kitchen|the basement|the attic|the town hall|the train station|the main station|the beach|the mountains|
            the city centre|the countryside|the library|the park|the market square|the north|the third floor|building 7|room 204|
            rack 12|the data centre|the warehouse|the garage|Lisbon|Provence|Normandy|Sicily|Crete|Mallorca|Iceland|Lapland|
            the Lake District|Cornwall|the Highlands|the Cotswolds|Saxony|Catalonia|Flanders|Lombardy|Transylvania|the Baltic Sea|
            the Danube|the Rhine|Lake Constance|Mount Fuji|the Sahara|Patagonia|Quebec|Ontario|Oregon|Vermont|Maine|Montana|Utah|
            Hokkaido|Okinawa|Bali|Kerala|Punjab|Goa|Morocco|Tunisia|Ghana|Senegal|Uganda|Rwanda|Chile|Uruguay|Ecuador|Bolivia""",
        "event": """the dinner party|the barbecue|the housewarming party|the birthday party|the baby shower|the funeral|the wedding|
            the engagement party|the graduation ceremony|the parents' evening|the school concert|the exam|the final exam|the interview|
            the workshop|the training day|the conference|the trade fair|the demo day|the sprint review|the retrospective|the stand-up|
            the code freeze|the release party|the town hall meeting|the quarterly review|the kickoff|the strategy meeting|the audit|
            the doctor's appointment|the haircut|the vaccination|the operation|the check-up|the move|the road trip|the ski trip|
            the cruise|the city break|the camping weekend|the film night|the pub quiz|the poetry slam|the flea market|the regatta|
            the half marathon|the triathlon|the chess tournament|the cup final|the derby|the Six Nations|the Ryder Cup|Tour de France|
            Web Summit|EuroPython|RustConf|GTC|Hot Chips|SIGGRAPH|ICML|ICLR|ACL|CVPR|re:Invent|Comic-Con|Gamescom|Berlinale|Coachella""",
    }.items()
}
FIRST = """Abigail Adrian Agnes Alba Alfie Alice Amelie Anders Andre Andrea Angus Anita Antonio Archie Ariana Arthur Asha Astor
Aurora Barney Basil Bella Bernard Bianca Blake Bonnie Brent Bruno Caleb Carla Carmen Caspar Cecilia Celine Chantal Chloe Claire
Claude Claudia Colin Connor Cora Craig Damian Daisy Daria Darren Dean Delia Denise Derek Diana Dolores Dominic Dora Douglas Duncan
Dylan Edgar Edith Edwin Eileen Elena Elias Elisa Ella Ellie Elliot Elsa Emil Enzo Esther Evan Fabian Faith Farah Faye Fiona Flora
Frances Francis Freddie Frida Gareth Gemma Georgia Gerald Gina Gloria Gordon Graham Guido Gunnar Gus Hamish Harriet Harvey Heidi
Henrik Herbert Hilda Holly Howard Ian Ibrahim Igor Irene Iris Isaac Isabel Ivy Jade Jake Jamie Jana Jared Jasmine Javier Jenny Jesse
Jill Joan Joanna Joel Johan Jon Jordan Jorge Josie Joy Joyce Jude Judith Juliet June Kai Kaitlyn Kamal Kate Katja Keith Kelly Kevin
Khalid Kiran Kurt Kyle Lance Lara Latisha Lauren Lea Leah Leonie Leon Lewis Lidia Lila Lily Lionel Lola Lorna Louis Louise Luke Lydia
Mabel Maja Malik Manuel Marcel Marcus Margot Marina Mario Marta Martha Martin Marvin Matilda Maurice Maya Megan Meera Mika Mila Milo
Miriam Mohan Moira Molly Monica Morris Muriel Nadia Naomi Natalie Ned Neil Nelly Nigel Niklas Noel Nuria Olaf Olive Omar Oona Orla
Osman Otis Owen Paige Paula Percy Petra Phil Philip Phoebe Pia Poppy Rafael Rahul Raj Ralph Rania Raul Reggie Rene Rhys Ricardo
Rick Robin Rodrigo Roger Roland Roman Ron Rory Rowan Roxanne Ruben Ruby Rufus Rupert Russell Ruth Sabine Sadie Salma Samir Sandy
Sanjay Santiago Saskia Selma Serena Shane Sheila Sidney Silvia Simon Sinead Sonia Stan Stella Stuart Susan Suzy Sylvia Tamara Tanya
Tara Ted Teresa Tess Theo Thelma Tina Tobias Toby Todd Tony Tracy Travis Trevor Trudy Valerie Vanessa Vera Vicky Vijay Vincent Viola
Virginia Vivian Wanda Warren Wayne Wesley Will Willow Xenia Yasmin Yvonne Zac Zainab Zara Zeke Zoya""".split()
LAST = """Abbott Ahmed Ali Allen Alvarez Andersson Armstrong Arnold Bailey Bakker Banks Barnes Barrett Bauer Bennett Berg Berger
Bianchi Black Blake Boyd Bradley Brooks Bryant Burke Burns Butler Byrne Campbell Carlsson Carr Carroll Castro Chan Chandra Chang
Chapman Chavez Cohen Cole Coleman Conti Costa Cox Crawford Cruz Cunningham Daly Das Davies Dean Diaz Dixon Dubois Duncan Dunn Dupont
Edwards Elliott Ellis Eriksen Evans Farrell Ferguson Fernandez Ferrari Ferreira Fleming Fletcher Flores Ford Foster Fox Fraser Freeman
Fuchs Fujita Gallagher Gibson Gomez Gonzalez Gordon Graham Grant Gray Greco Green Griffin Gupta Gutierrez Haas Hamilton Harper Harris
Harrison Hart Harvey Hayes Henderson Herrera Hoffmann Holm Holmes Horvat Howard Huang Hughes Hunt Hunter Ivanov Jackson Jacobs Jansen
Jenkins Jensen Jimenez Johansson Johnson Johnston Jordan Kaiser Kang Kaplan Kaya Keller Kelly Kennedy Kim Klein Koch Kowalski Kraus
Lambert Lane Lang Larsson Lawrence Lee Lehmann Leroy Lewis Li Lin Lind Liu Lopez Lynch Ma Marino Marshall Mason Mbeki McCarthy McDonald
Mehta Mendez Meyers Mills Molina Moreau Moreno Morris Mueller Murray Nakamura Nguyen Nielsen Nilsson Nowak Obi O'Brien O'Connor O'Neill
Okafor Olsen Ortiz Owens Ozturk Palmer Park Parry Patterson Pereira Perez Perry Peters Petersen Petrov Phillips Pierce Popov Porter
Powell Price Quinn Ramirez Ramos Rao Reed Reid Reyes Reynolds Richards Richter Rivera Roberts Robinson Rodriguez Roman Romero Rose Ross
Ruiz Russell Russo Ryan Saito Salazar Sanchez Sanders Santos Sato Schneider Schroeder Schulz Schwartz Sharma Shaw Silva Simmons Simon
Simpson Sokolov Soto Spencer Stein Stevens Stewart Stone Sullivan Suzuki Svensson Tanaka Tran Tucker Turner Vargas Vasquez Vega Vogel
Wallace Wang Watson Webb Weiss Wells West Williams Wolf Wong Wood Woods Wu Yamamoto Yang Yilmaz Zhang Zhao Zhou""".split()
UNITS = """euros|dollars|pounds|yen|km|kilometres|miles|metres|cm|feet|kg|grams|pounds|litres|cups|GB|MB|TB|GiB|MiB|KB|gigabytes|
megabytes|tokens|tok/s|tokens per second|ms|milliseconds|seconds|minutes|hours|days|weeks|months|years|watts|kWh|volts|degrees|percent|
%|people|guests|employees|users|requests|pages|chapters|episodes|layers|parameters|experts|threads|cores|servers|machines|GPUs|points|
times|steps|floors|rooms|seats|tickets|copies|messages|questions|photos|bottles|boxes|points|GB/s|GHz|MHz|fps|TFLOPS""".replace(
    "\n", ""
).split("|")
COUNT_WORDS = "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December Jan Feb Mar Apr Jun Jul Aug Sept Oct Nov Dec".split()
PARTS = "week month year weekend summer winter spring autumn quarter term semester".split()


def date(r: random.Random) -> str:
    day, year, month = r.randint(1, 31), r.randint(1900, 2035), r.choice(MONTHS)
    end = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return r.choice(
        (
            f"{month} {day}", f"{day} {month}", f"{day}{end} {month}", f"{month} {day}{end}", f"the {day}{end} of {month}",
            f"the {day}{end}", f"{month} {day}, {year}", f"{day} {month} {year}", f"{month} {year}", f"{year}", f"{year}",
            f"{year}-{r.randint(1, 12):02}-{day:02}", f"{day}.{r.randint(1, 12)}.{year}", f"{r.randint(1, 12)}/{day}/{year % 100:02}",
            r.choice(WEEKDAYS), f"next {r.choice(WEEKDAYS)}", f"last {r.choice(WEEKDAYS)}", f"this {r.choice(WEEKDAYS)}",
            f"{r.choice(WEEKDAYS)} {r.choice(('morning', 'afternoon', 'evening', 'night'))}",
            f"{r.choice(WEEKDAYS)}, {day} {month}", f"{r.choice(('next', 'last', 'this'))} {r.choice(PARTS)}", month,
            f"{r.choice(('early', 'late', 'mid'))} {r.choice((month, str(year)))}", f"the {year // 10 * 10}s",
            f"{r.choice(('spring', 'summer', 'autumn', 'winter', 'fall'))} {year}", f"{r.randint(1, 12)} {r.choice(('am', 'pm'))}",
            f"{r.randint(0, 23)}:{r.randint(0, 59):02}", f"{r.randint(2, 12)} {r.choice(('days', 'weeks', 'months', 'years'))} ago",
            f"{r.choice(COUNT_WORDS)} {r.choice(('days', 'weeks', 'months', 'years'))} ago", f"Q{r.randint(1, 4)} {year}",
            r.choice(("today", "tomorrow", "yesterday", "tonight", "last night", "this morning", "the day after tomorrow", "noon",
                      "midnight", "this evening", "tomorrow morning", "New Year's Eve", "Christmas Eve", "Easter Monday")),
            f"{r.choice(WEEKDAYS)} at {r.randint(1, 12)}", f"the end of {r.choice((month, str(year), 'the year', 'the month'))}",
            f"the beginning of {month}", f"the {r.choice(('first', 'second', 'third', 'last'))} week of {month}",
        )
    )  # fmt: skip


def quantity(r: random.Random) -> str:
    n = r.choice((r.randint(2, 12), r.randint(10, 99), r.randint(100, 999), r.randint(1000, 99999)))
    number = r.choice((str(n), str(n), f"{n:,}", f"{n / 10:.1f}", r.choice(COUNT_WORDS)))
    unit = r.choice(UNITS)
    return r.choice(
        (
            f"{number} {unit}", f"{number} {unit}", f"{number} {unit}", f"{n}%", f"${n}", f"€{n}", f"£{n}", str(n), number,
            f"{r.randint(2, 9)}x", f"{n} {r.choice(('million', 'billion', 'thousand'))} {unit}", f"half a {r.choice(('million', 'hour', 'litre', 'mile'))}",
            f"a {r.choice(('hundred', 'thousand', 'million', 'dozen'))} {unit}", f"{n}{r.choice(('GB', 'km', 'kg', 'ms', 'W', 'MB', 'cm'))}",
            f"{r.choice(('about', 'over', 'almost', 'more than', 'nearly'))} {number} {unit}",
        )
    )  # fmt: skip


def chip(r: random.Random) -> str:
    n = r.randint(1, 9)
    return r.choice(
        (
            f"RTX {r.randint(20, 60)}{r.choice((50, 60, 70, 80, 90))}{r.choice(('', ' Ti', ' Super'))}",
            f"RX {r.randint(5, 9)}{r.randint(1, 9)}00{r.choice(('', ' XT', ' XTX', 'M'))}", f"GTX {r.randint(9, 16)}{r.choice((60, 70, 80))}",
            f"Ryzen {r.choice((3, 5, 7, 9))} {r.randint(1, 9)}{r.randint(1, 9)}00{r.choice(('', 'X', 'G', 'HS', 'X3D'))}",
            f"Core i{r.choice((3, 5, 7, 9))}-{r.randint(8, 14)}{r.randint(1, 9)}00K", f"Core Ultra {n}", f"EPYC {r.randint(7, 9)}{r.randint(100, 999)}",
            f"Xeon {r.choice(('Gold', 'Silver', 'Platinum'))} {r.randint(4000, 8999)}", f"MI{r.randint(1, 4)}{r.choice(('00', '50', '00X', '25X'))}",
            f"gfx{r.randint(900, 1201)}", f"Apple M{n}{r.choice(('', ' Pro', ' Max', ' Ultra'))}", f"DDR{n}-{r.randint(20, 80)}00",
            f"HBM{n}{r.choice(('', 'e'))}", f"PCIe {n}.0", f"TPU v{n}", f"Snapdragon {n} Gen {r.randint(1, 3)}", f"Radeon {r.randint(600, 899)}M",
            f"Arc B{n}80", f"Jetson {r.choice(('Nano', 'Xavier', 'Thor'))}", f"{r.choice('ABHLTV')}{r.choice((10, 20, 30, 40, 100, 200))}",
            f"RDNA {n}", f"Zen {n}", f"Raspberry Pi {n}", f"the {r.choice(('GPU', 'iGPU', 'dGPU', 'CPU', 'laptop', 'server', 'workstation', 'SSD', 'NVMe drive', 'mini PC', 'cluster', 'old GPU', 'second GPU'))}",
        )
    )  # fmt: skip


def model(r: random.Random, word: str) -> str:
    size = r.choice(
        (
            "0.5B",
            "1B",
            "3B",
            "4B",
            "7B",
            "8B",
            "12B",
            "14B",
            "27B",
            "32B",
            "70B",
            "120B",
            "405B",
            "30B-A3B",
            "8x7B",
        )
    )
    name = r.choice(
        (
            "Llama",
            "Qwen",
            "Gemma",
            "Mistral",
            "Phi",
            "DeepSeek",
            "Yi",
            "Falcon",
            "OLMo",
            "Granite",
            word,
            word,
            word,
        )
    )
    n = r.randint(2, 9)
    return r.choice(
        (f"{name} {n}", f"{name}-{size}", f"{name} {n} {size}", f"{name}{n}-{size}", f"{name} {n}.{r.randint(1, 5)}",
         f"the {size} model", f"a {size} model", f"{name}-{size}-Instruct", f"{name} MoE", f"the {name} model", f"{name}BERT", f"{name}Net", f"{name}Former")
    )  # fmt: skip


def paper(r: random.Random, word: str) -> str:
    a, b = r.choice(LAST), r.choice(LAST)
    year = r.randint(1990, 2026)
    thing = r.choice(
        (
            "Attention",
            "Memory",
            "Inference",
            "Language Models",
            "Graphs",
            "Retrieval",
            "Quantization",
            "Caches",
            "Experts",
            "Agents",
            "Transformers",
            "Scheduling",
        )
    )
    how = r.choice(
        (
            "Efficient",
            "Scalable",
            "Fast",
            "Learning",
            "Rethinking",
            "Towards Better",
            "Sparse",
            "Adaptive",
            "On the Limits of",
            "Unified",
        )
    )
    return r.choice(
        (f"the {word} paper", f"arXiv {r.randint(15, 26):02}{r.randint(1, 12):02}.{r.randint(10000, 29999)}", f"arXiv:{r.randint(15, 26):02}{r.randint(1, 12):02}.{r.randint(10000, 29999)}",
         f"{a} et al. {year}", f"{a} et al., {year}", f"{a} and {b} ({year})", f"{how} {thing}", f"{word}: {how} {thing}", f"the {a} paper", f"the paper by {a}",
         f"{how} {thing} for {thing}", f"the {thing.lower()} paper")
    )  # fmt: skip
