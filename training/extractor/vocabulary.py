"""Names and terms that fill the templates, besides those the public data is full of."""

from __future__ import annotations

WORDS: dict[str, list[str]] = {
    key: [w.strip() for w in text.replace("\n", " ").split("|") if w.strip()]
    for key, text in {
        "topic": """chess|climbing|painting|running|swimming|gardening|cooking|reading|sailing|photography|
            cycling|knitting|dancing|fishing|hiking|pizza|sushi|pasta|curry|cheese|mangoes|tacos|pancakes|
            chocolate|olives|jazz|techno|folk music|opera|football|tennis|rugby|yoga|meditation|board games|
            science fiction|history|biology|physics|law|medicine|economics|philosophy|linguistics|mathematics|
            Spanish|Japanese|Italian|blue|green|red|purple|coffee|green tea|red wine|dark beer|spicy food|
            horror films|crime novels|poetry|bird watching|road trips|camping|mushrooms|coriander|liquorice|
            piano|guitar|violin|drums|pottery|origami|astronomy|machine learning|compilers|robotics|
            vegetarian food|long walks|early mornings|cold weather|crowds|loud music|small talk|seafood|peanuts""",
        "product": """ThinkPad X1|MacBook Pro|Framework 13|Pixel 9|iPhone 15|Kindle|Nintendo Switch|PlayStation 5|
            Volvo V60|Tesla Model 3|Golf|Fiat Panda|Vespa|Canon R6|Leica Q3|espresso machine|3D printer|robot vacuum|
            cargo bike|electric bike|telescope|sewing machine|drone|Raspberry Pi|Notion|Slack|Excel|Photoshop|
            Project Falcon|Project Nightjar|project Lighthouse|Atlas|Bluebird|the Orion app|Kestrel|Zephyr|
            Google Maps|Spotify|Obsidian|Figma|Blender|Roomba|Fairphone|Surface Pro|e-reader|camper van|kayak""",
        "event": """the Christmas party|Oktoberfest|the team retreat|PyCon|FOSDEM|NeurIPS|the summer festival|
            the Berlin marathon|the wedding of my cousin|the board meeting|World War II|the Olympics|the World Cup|
            Glastonbury|the product launch|the job interview|the dentist appointment|the book fair|Burning Man|
            the general election|the hackathon|the open day|the concert|the school play|the annual review|KubeCon""",
        "date": """Monday|next Friday|3 May 1990|12 March|June 2024|1987|2019|the 4th of July|tomorrow|
            next week|last summer|December 24|15/08/2023|2025-01-31|noon on Tuesday|8 pm|the end of October|
            spring 2022|Sunday morning|14 February|the 1990s|November|Wednesday the 9th|half past six|May|
            1 January 2030|yesterday|two weeks ago|3 October|the weekend""",
        "quantity": """3 weeks|two days|400 dollars|$25|12 kilometres|1,200 euros|five hours|50 people|
            70 years|15%|a dozen|3.5 million|32 GB|64 gigabytes|128 GB|20 tok/s|4711|2 litres|six months|
            90 kg|1500|a thousand|10 minutes|three times|28 percent|7 billion parameters|512 MB""",
        "misc": """Nobel Prize|Turing Award|French|German|Spanish|Chinese|Oscar|Grammy|Euro|Bitcoin|
            Buddhism|Apache licence|GDPR|Dutch|Polish|Booker Prize|Fields Medal|Pulitzer Prize""",
        "creative_work": """The Silent River|Dune|Casablanca|The Hobbit|Moby Dick|Blade Runner|Hamlet|
            Kind of Blue|Abbey Road|The Name of the Rose|Spirited Away|Breaking Bad|The Matrix|Ulysses|
            The Golden Garden|Winter Light|Nighthawks|Guernica|War and Peace|Stardew Valley|Minecraft|
            The Daily|Solaris|Persuasion|Thriller|Bohemian Rhapsody|Dracula|The Last Letter""",
        "hardware": """Radeon 8060S|Strix Halo|Ryzen AI Max+ 395|RX 7900 XTX|H100|A100|RTX 4090|MI300X|
            Apple M3|Raspberry Pi 5|Xeon|EPYC 9654|LPDDR5X|the NPU|the integrated GPU|HBM3|gfx1151|RDNA 3.5|
            Jetson Orin|TPU v5|Steam Deck|Instinct MI250|the APU|Snapdragon X|Arc A770|PCIe 5.0|Grace Hopper""",
        "gpu_feature": """wave64|wave32|WMMA|tensor cores|cooperative matrices|shared memory|LDS|unified memory|
            VK_KHR_cooperative_matrix|subgroup operations|async copy|wgmma|dynamic parallelism|matrix cores|
            the L2 cache|bf16 support|fp8 support|hardware scheduling|large BAR|register file|dual issue""",
        "optimization_technique": """kernel fusion|quantization|loop tiling|KV cache compaction|speculative decoding|
            flash attention|paged attention|operator fusion|prefix caching|continuous batching|pruning|
            weight sharing|int8 quantization|expert caching|double buffering|loop unrolling|memory coalescing|
            vectorization|gradient checkpointing|mixed precision|chunked prefill|graph capture|prefetching""",
        "algorithm": """Attention Matching|orthogonal matching pursuit|PageRank|quicksort|beam search|
            Dijkstra's algorithm|non-negative least squares|ridge regression|k-means|Newton-Schulz|Adam|
            gradient descent|top-k routing|A*|BM25|dynamic programming|simulated annealing|radix sort|LRU|
            Viterbi decoding|RoPE|softmax|Monte Carlo tree search|the FFT|binary search|reciprocal rank fusion""",
        "software_framework": """llama.cpp|PyTorch|vLLM|ONNX Runtime|TensorFlow|ROCm|CUDA|Vulkan|Textual|
            FalkorDB|Redis|Django|React|Kubernetes|Python|Rust|C++|JAX|Triton|OpenBLAS|ggml|NumPy|HIP|Haskell|
            Go|SQLite|PostgreSQL|FastAPI|Docker|Linux|TypeScript|Swift|Transformers|LangChain|Ollama|Spark""",
        "performance_metric": """throughput|latency|perplexity|tokens per second|time to first token|
            memory bandwidth|recall@10|F1|accuracy|power draw|GPU utilization|p99 latency|cache hit rate|
            KL divergence|FLOPS|occupancy|step time|memory usage|startup time|frame rate|load time|pp512""",
        "memory_pattern": """cache misses|memory copies|strided access|bank conflicts|random access|page faults|
            memory fragmentation|KV reads|host to device copies|coalesced reads|zero copy|spilling|
            cache thrashing|pointer chasing|sequential reads|false sharing|memory mapping|swapping""",
        "kernel_operation": """matrix multiplication|GEMM|softmax kernel|layer norm|mul_mat_id|the attention kernel|
            the delta-net kernel|RMS norm|elementwise ops|reduction|top-k kernel|dequantization|argsort|
            the conv kernel|scatter|gather|prefix sum|transpose|rope kernel|memcpy""",
        "model_architecture": """Qwen3|Qwen3.5-35B-A3B|Llama 3|Mixtral|mixture of experts|transformer|BERT|
            ModernBERT|GPT-4|Gemma 3|DeepSeek V3|Mamba|a hybrid model|MiniLM|T5|ResNet|the encoder|
            grouped-query attention|halo-mini|LFM2|a 7B model|Phi-4|the router|diffusion model|GLiNER""",
        "constraint": """memory limit|bandwidth limit|the carve-out|thermal throttling|register pressure|
            the power budget|the context length|lack of VRAM|batch size one|licence terms|the 512 MB limit|
            kernel launch overhead|the GTT limit|the latency budget|context window|synchronization|the GIL""",
        "data_structure": """hash table|radix tree|ring buffer|KV cache|priority queue|block table|graph|
            linked list|B-tree|bloom filter|bitmap|page table|adjacency list|vector index|sparse matrix|
            tensor|heap|trie|free list|the cell map|reservoir|lookup table""",
        "research_paper": """the Attention Matching paper|arXiv 2602.16284|FlashAttention-2|
            Attention Is All You Need|the vLLM paper|the GLiNER paper|the cache-prior paper|
            arXiv 2412.00099|the LoRA paper|the Mamba paper|the ModernBERT paper|Re-DocRED|the scaling laws paper|
            the PagedAttention paper|the H2O paper|SnapKV|the GraphRAG paper""",
        "location": """the old town|the office kitchen|room 12|the harbour|Main Street|the Alps|Lake Geneva|
            Central Park|the airport|Bavaria|Tuscany|New Zealand|South Korea|Kreuzberg|Brooklyn|Silicon Valley|
            the Black Forest|Oxford Street|Scandinavia|the lab|France|Germany|Japan|Brazil|Kenya|Peru""",
    }.items()
}
