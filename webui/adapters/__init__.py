"""Small files that attach to a checkpoint: LoRA and LyCORIS weights, embeddings, hypernetworks. One file a kind."""
