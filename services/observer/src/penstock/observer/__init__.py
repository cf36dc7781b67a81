"""What requests, stages and topics are doing: traces, the log on demand, usage, dead letters."""
