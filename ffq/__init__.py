"""ffq: an actor framework on Trio that embeds the FFQ distributed query protocol."""
