"""The dialects of Text Generation Inference and Text Embeddings Inference over HTTP."""
