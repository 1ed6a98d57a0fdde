"""How the shipped extractor of entities and relations was made."""
