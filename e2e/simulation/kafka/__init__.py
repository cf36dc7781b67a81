"""A model of Kafka that does what the real one may do, at its worst."""
