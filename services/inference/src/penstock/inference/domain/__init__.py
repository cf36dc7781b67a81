"""Plain data and rules of inference: no outside library, no input or output."""
