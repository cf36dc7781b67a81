"""What operators and their tools do with a cluster; no stage needs it to run."""
