"""Plain data and rules of ingestion: no outside library, no input or output."""
